"""`wsgi.input`: the body of a request, pulled through the channel layer as the app reads it.

A body that came whole inside the request is an ``io.BytesIO``; the rest of this module is for one
that comes as chunks on ``body_channel`` (MESSAGES.md section 2, and `body_window` in messages.py).
Rules kept here:

- nothing is asked for before the app reads: ``Expect: 100-continue`` is answered by the first
  ``body_window``, and an app that ignores the body costs the server's initial window at most
- the window is moved only while the app waits, when all that came is wanted: whatever the size of
  the upload, no more than WINDOW and what the app itself asked for is in memory
- the end of the stream is the end of the body; a body that breaks off is RequestAborted, never a
  short read, so that half an upload is not taken for the whole (RFC 9112 section 8)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_bridge.exceptions import RequestAborted
from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.wsgi_reply import STALL_TIMEOUT

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

# Bytes ahead of what the app has read that the server may send: at 1 Gbit/s and a round trip of
# 2 ms between the processes the line stays full. HTTP/2's default is 65535, too little by that.
WINDOW = 262144
# Chunks taken from the layer in one operation.
BATCH = 16


class InputStream(Protocol):
    """What a WSGI app may do with its input (PEP 3333, "Input and Error Streams")."""

    def read(self, size: int | None = -1, /) -> bytes: ...  # noqa: D102
    def readline(self, size: int | None = -1, /) -> bytes: ...  # noqa: D102
    def readlines(self, hint: int = -1, /) -> list[bytes]: ...  # noqa: D102
    def __iter__(self) -> Iterator[bytes]: ...


def open_input(
    message: Mapping[str, Any],
    layer: BaseLayer,
    post: Callable[[dict[str, Any]], None],
    stall_timeout: float = STALL_TIMEOUT,
) -> InputStream:
    """Return the ``wsgi.input`` of an ``http.request`` message.

    ``post`` sends on the request's reply channel. Does not block; reading the stream does.
    """
    if "body_channel" not in message:
        return io.BytesIO(message.get("body", b""))
    return ChunkedInput(message, layer, post, stall_timeout)


class ChunkedInput:
    """A body that comes as chunks on a channel. One reader: the app that handles the request.

    Reading blocks until the bytes are there, and raises RequestAborted (a ConnectionError) when
    the client goes away, when the body ends before its Content-Length, or when nothing comes for
    ``stall_timeout`` seconds.
    """

    def __init__(
        self,
        message: Mapping[str, Any],
        layer: BaseLayer,
        post: Callable[[dict[str, Any]], None],
        stall_timeout: float = STALL_TIMEOUT,
    ) -> None:
        self._layer = layer
        self._channel: str = message["body_channel"]
        self._post = post
        self._stall_timeout = stall_timeout
        self._buffer: bytes = message.get("body", b"")
        self._position = 0  # where the unread part of the buffer begins
        length, expects_continue = _find_framing(message["headers"])
        # Bytes that the chunks still bring; None when only their end says.
        self._to_come = None if length is None else max(length - len(self._buffer), 0)
        self._received = 0
        self._window = 0 if expects_continue else BODY_WINDOW
        self._has_ended = self._to_come == 0
        self._failure = ""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return ``size`` bytes, fewer only at the end of the body; all that is left without it."""
        return self._take(size, is_line=False)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return a line with its newline, at most ``size`` bytes of it."""
        return self._take(size, is_line=True)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines that are left, stopping after ``hint`` bytes when that is positive."""
        lines = []
        size = 0
        for line in self:
            lines.append(line)
            size += len(line)
            if hint is not None and 0 < hint <= size:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def discard(self) -> None:
        """Take from the layer what came and was not read, so that it does not lie there."""
        self._layer.receive_many([self._channel], limit=1024, timeout=0)

    def _take(self, size: int | None, *, is_line: bool) -> bytes:
        """Return up to ``size`` bytes, or up to a newline, receiving until they are there."""
        limit = None if size is None or size < 0 else size
        part = self._take_buffered(limit, is_line)
        if _is_enough(part, len(part), limit, is_line) or not self._maybe_fill():
            return part
        taken = bytearray(part)  # not a list of parts: a client may send a byte in each
        while True:
            part = self._take_buffered(None if limit is None else limit - len(taken), is_line)
            taken += part
            if _is_enough(part, len(taken), limit, is_line) or not self._maybe_fill():
                return bytes(taken)

    def _take_buffered(self, limit: int | None, is_line: bool) -> bytes:
        buffer, start = self._buffer, self._position
        end = len(buffer)
        if is_line:
            end = buffer.find(b"\n", start) + 1 or end
        if limit is not None:
            end = min(end, start + limit)
        if end == len(buffer):
            self._buffer, self._position = b"", 0
        else:
            self._position = end
        return buffer[start:end]

    # The channel

    def _maybe_fill(self) -> bool:
        """Receive into the buffer, which is empty; return False at the end of the body."""
        if self._has_ended:
            return False
        if self._failure:
            raise RequestAborted(self._failure)
        self._maybe_move_window()
        batch = self._layer.receive_many([self._channel], limit=BATCH, timeout=self._stall_timeout)
        if not batch:
            self._failure = f"no request body for {self._stall_timeout} seconds"
        self._buffer = b"".join([self._accept(chunk) for _, chunk in batch])
        # What came before the end is the app's; the next call finds the failure.
        if self._failure and not self._buffer:
            raise RequestAborted(self._failure)
        return True

    def _maybe_move_window(self) -> None:
        """Ask for more when the server may not send what the app waits for, or will run dry."""
        ahead = self._window - self._received
        has_enough = ahead > WINDOW // 2 or (self._to_come is not None and ahead >= self._to_come)
        # A window of 0 is a client that waits for 100 (Continue), however little it has to send.
        if self._window and has_enough:
            return
        self._window = self._received + WINDOW
        self._post({"body_window": self._window})

    def _accept(self, chunk: Mapping[str, Any]) -> bytes:
        if chunk.get("closed"):
            self._failure = "the client went away while its request body was read"
            return b""
        content: bytes = chunk.get("content", b"")
        self._received += len(content)
        if self._to_come is not None:
            content = content[: self._to_come]
            self._to_come -= len(content)
            self._has_ended = self._to_come == 0
        if not chunk.get("more_content"):
            if self._to_come:
                self._failure = f"the request body ended {self._to_come} bytes before its end"
            else:
                self._has_ended = True
        return content


def _is_enough(part: bytes, size: int, limit: int | None, is_line: bool) -> bool:
    """Whether a read that got ``size`` bytes, ``part`` the last of them, has what it wants."""
    return size == limit or (is_line and part.endswith(b"\n"))


def _find_framing(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    """Return the Content-Length (None without one), and whether 100 (Continue) is expected."""
    length = None
    expects_continue = False
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name == b"expect":
            expects_continue = value.lower() == b"100-continue"
    return length, expects_continue
