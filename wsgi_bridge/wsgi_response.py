"""The response side of WSGI: start_response, write() and the app iterable → response messages.

It sends nothing itself: messages go to a sink (the reply channel, or a collector). Rules kept here,
from PEP 3333:

- the head goes out with the first bytes that are not empty, or at the end, so that ``exc_info`` can
  replace it until then; later ``exc_info`` is raised again ("The start_response() Callable")
- each block is sent before the next one is asked for ("Buffering and Streaming"); what is at hand
  as a whole, a list or a response whose Content-Length is reached, ends in the same message
- no more than Content-Length says is sent, and less is broken off ("Handling the Content-Length
  Header")
- HEAD, 204, 205 and 304 have no content (RFC 9110 sections 6.4.1 and 15.3.6)
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol

from wsgi_bridge.events.consumers import APP_RESPONSE_LONG, APP_RESPONSE_SHORT
from wsgi_bridge.protocols.http import BODILESS, error_response
from wsgi_bridge.wsgi_headers import encode_headers, parse_status
from wsgi_bridge.wsgi_reply import WINDOW

logger = logging.getLogger(__name__)

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Sink(Protocol):
    """Where response messages go."""

    def send(self, message: dict[str, Any]) -> None:
        """Take one response message, with ``content`` and ``more_content``."""
        ...

    def break_off(self) -> None:
        """Take note that the response ends here, incomplete."""
        ...

    def hint(self, headers: list[list[bytes]]) -> None:
        """Take fields that the client may have before the response."""
        ...


class State(enum.Enum):
    """Where a response is."""

    IDLE = enum.auto()  # start_response has not been called
    STARTED = enum.auto()  # it has, and nothing is out
    SENDING = enum.auto()  # the head is out
    COMPLETE = enum.auto()  # all content is out; the iterable may still run to its end
    OVER = enum.auto()  # nothing more of the app is wanted


IDLE, STARTED, SENDING, COMPLETE, OVER = State


class Response:
    """One response of a WSGI app. Owned by the greenlet or thread that runs the app.

    ``method`` and ``path`` are the request's, the path for the log; ``hijacked`` says whether the
    app took the connection for itself: then nothing is sent. Every method that sends may block, and
    raises what the sink does. ``status`` is what the app said, 500 when it failed, else 0.
    """

    __slots__ = ("_has_content", "_headers", "_is_head", "_path", "_remaining", "_sink",
                 "hijacked", "state", "status")  # fmt: skip

    def __init__(
        self, sink: Sink, method: str, path: str, hijacked: Callable[[], bool] | None = None
    ) -> None:
        self._sink = sink
        self._is_head = method == "HEAD"
        self._path = path
        self.hijacked = hijacked
        self.status = 0
        self.state = IDLE

    # What the app calls

    def start_response(
        self,
        status: str,
        headers: Iterable[tuple[str, str]],
        exc_info: ExcInfo | None = None,
    ) -> Callable[[bytes], None]:
        """Take the head of the response; return ``write``. Source: PEP 3333.

        Raises AssertionError when called twice without ``exc_info``, TypeError or ValueError for a
        head that is not HTTP, and ``exc_info`` itself when the head is out. Does not block.
        """
        if exc_info is not None:
            try:
                if self.state is not IDLE and self.state is not STARTED:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # PEP 3333: avoid a circular reference through the traceback
        elif self.state is not IDLE:
            raise AssertionError("start_response was called again, without exc_info")
        code = parse_status(status)
        fields, length = encode_headers(headers)
        self._has_content = not (self._is_head or code in BODILESS)
        self._remaining = length if self._has_content else None
        self.status, self._headers = code, fields
        self.state = STARTED
        return self.write

    def write(self, data: bytes, /) -> None:
        """Send a block of content. Blocks. Source: PEP 3333, "The write Callable"."""
        if type(data) is not bytes:
            data = _check_block(data)
        state = self.state
        if state is IDLE:
            raise AssertionError("the app sent content before it called start_response")
        if not data or state is OVER:
            return
        if not self._has_content:
            self._send(b"", False)
            self.state = OVER
            return
        remaining = self._remaining
        if remaining is None:
            self._send(data, True)
        else:
            self._send_counted(data, remaining)

    def send_early_hints(self, headers: Iterable[tuple[str, str]]) -> None:
        """Send a 103 with fields such as ``Link``, which the browser may act on at once.

        ``wsgi.early_hints``, as gunicorn has it: it may be called several times, and does nothing
        once the response has begun. Raises TypeError, ValueError. May block. Source: RFC 8297.
        """
        fields, _ = encode_headers([(_to_str(name), _to_str(value)) for name, value in headers])
        if self.state is IDLE or self.state is STARTED:
            self._sink.hint(fields)

    # What the server side calls

    def send_iterable(self, iterable: Iterable[bytes]) -> None:
        """Send what the app returned, to its end. Raises what iterating raises. Blocks."""
        kind = type(iterable)
        if kind is list or kind is tuple:
            blocks: Any = iterable
            if len(blocks) == 1:
                self.finish(blocks[0])
                return
            if sum(map(len, blocks)) <= WINDOW:
                self.finish(b"".join(blocks))
                return
        elif hasattr(kind, "__len__") and len(iterable) == 1:  # type: ignore[arg-type]
            self.finish(*iterable)
            return
        for block in iterable:
            self.write(block)
            if self.state is OVER:
                return
        self.finish()

    def finish(self, data: bytes = b"") -> None:
        """Send the last block and end the response. Raises AssertionError without a head."""
        if type(data) is not bytes:
            data = _check_block(data)
        state = self.state
        if state is IDLE:
            raise AssertionError("the app ended without calling start_response")
        if state is OVER:
            return
        if not self._has_content:
            self._send(b"", False)
            return
        remaining = self._remaining
        if remaining is None or (remaining == len(data) and state is not COMPLETE):
            self._send(data, False)
        else:
            self._finish_counted(data, remaining)

    def fail(self, status: int = 500, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answer for an app that failed: ``status`` while nothing is out, else break off.

        May block.
        """
        state, self.state = self.state, OVER
        self.status = status
        if state is COMPLETE or state is OVER:
            return
        if state is SENDING:
            self._sink.break_off()
            return
        message = error_response(status, headers=headers)
        if self._is_head:
            message["content"] = b""
        message["more_content"] = False
        self._sink.send(message)

    def break_off(self) -> None:
        """Leave the response as it is: there is nobody to answer. May block."""
        state, self.state = self.state, OVER
        if state is not COMPLETE and state is not OVER:
            self._sink.break_off()

    def is_hijacked(self) -> bool:
        """Whether the app took the connection for itself; nothing is sent from then on."""
        if self.hijacked is None or not self.hijacked():
            return False
        self.state = OVER
        return True

    def _send(self, content: bytes, has_more: bool) -> None:
        """Send content, with the head if it is not out yet."""
        if self.state is STARTED:
            if self.hijacked is not None and self.is_hijacked():
                return
            message = {
                "status": self.status,
                "headers": self._headers,
                "content": content,
                "more_content": has_more,
            }
        else:
            message = {"content": content, "more_content": has_more}
        # A send that fails may have sent some of it, or have found the client gone.
        self.state = SENDING
        self._sink.send(message)
        if not has_more:
            self.state = COMPLETE

    # Content-Length

    def _send_counted(self, data: bytes, remaining: int) -> None:
        if len(data) > remaining:
            self._warn_excess(len(data) - remaining)
        if self.state is not COMPLETE:
            self._remaining = max(remaining - len(data), 0)
            self._send(data[:remaining], self._remaining > 0)
        if len(data) > remaining:
            self.state = OVER

    def _finish_counted(self, data: bytes, remaining: int) -> None:
        if len(data) >= remaining:
            if data:
                self._send_counted(data, remaining)
            return
        if data or self.state is STARTED:
            self._send(data, True)
        APP_RESPONSE_SHORT.log(
            logger,
            "the response to %(path)r ended %(missing)d bytes before its "
            "Content-Length: connection closed",
            cause="Content-Length",
            path=self._path,
            missing=remaining - len(data),
        )
        self.break_off()

    def _warn_excess(self, size: int) -> None:
        APP_RESPONSE_LONG.log(
            logger,
            "the response to %(path)r is longer than its Content-Length: "
            "%(excess)d bytes and any later ones cut",
            cause="Content-Length",
            path=self._path,
            excess=size,
        )


def _check_block(block: Any) -> bytes:
    if isinstance(block, (bytes, bytearray, memoryview)):
        return bytes(block)
    raise TypeError(f"a block of content is bytes, not {type(block).__name__}")


def _to_str(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else text
