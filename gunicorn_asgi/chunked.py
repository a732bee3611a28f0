"""The chunked transfer coding (RFC 9112 section 7.1), read under the policy of heads.

Extensions are checked and ignored; trailers are checked, counted against the limits of a head's
fields, and dropped (RFC 9110 section 6.5.1: they are merged only by who knows what they mean).
"""

from __future__ import annotations

import enum
import re

from gunicorn_asgi.head import TOKEN, check_field_line
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.request import RequestError

# Bytes of extensions, past what their content is worth, in a whole body. Go's net/http allows 16
# KB: a sender of one byte in each chunk of 8 KB means no good.
MAX_OVERHEAD = 16 * 1024
# Bytes of a chunk's size line that are not counted as overhead.
FREE_OVERHEAD = 16

_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# Section 7.1.1. More than 15 digits are more bytes than there are.
_match_size_line = re.compile(
    rb"0*([0-9A-Fa-f]{1,15})(?:[ \t]*;[ \t]*" + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*"
).fullmatch  # fmt: skip
# RFC 9110 section 6.5.1: what frames, routes or authorises is no trailer; gunicorn's list.
_FORBIDDEN = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"trailer", b"authorization", b"te")
)


class State(enum.Enum):
    """What is read next."""

    SIZE = enum.auto()  # the line that begins a chunk
    DATA = enum.auto()
    END = enum.auto()  # the CRLF behind a chunk's data
    TRAILER = enum.auto()
    DONE = enum.auto()


SIZE, DATA, END, TRAILER, DONE = State


class ChunkedBody:
    """One chunked body as it comes. Owned by the reader of its request."""

    __slots__ = ("_left", "_line", "_overhead", "_policy", "_state", "_trailers")

    def __init__(self, policy: RequestPolicy) -> None:
        self._policy = policy
        self._state = SIZE
        self._left = 0  # of the chunk's data
        self._line = b""  # the beginning of a line whose end has not come
        self._overhead = 0
        self._trailers = 0

    @property
    def is_complete(self) -> bool:
        """Whether the end of the body has come."""
        return self._state is DONE

    def read(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the content in ``data``, and the bytes behind the body. Raises RequestError."""
        parts = []
        if self._line:
            data, self._line = self._line + data, b""
        start = 0
        while start < len(data) and self._state is not DONE:
            if self._state is not DATA:
                start = self._read_line(data, start)
                continue
            part = data[start : start + self._left]
            parts.append(part)
            start += len(part)
            self._left -= len(part)
            self._overhead = max(self._overhead - 2 * len(part), 0)
            if not self._left:
                self._state = END
        return parts[0] if len(parts) == 1 else b"".join(parts), data[start:]

    def _read_line(self, data: bytes, start: int) -> int:
        """Read a line; return where the next begins. A line that has not ended is kept."""
        end = data.find(b"\r\n", start)
        if end < 0:
            self._keep(data[start:])
            return len(data)
        line = data[start:end]
        self._check_size(line)
        if self._state is SIZE:
            self._read_size(line)
        elif self._state is TRAILER:
            self._read_trailer(line)
        elif line:
            raise RequestError(400, "a chunk is longer than its size")
        else:
            self._state = SIZE
        return end + 2

    def _keep(self, line: bytes) -> None:
        if self._state is END and line != b"\r":
            raise RequestError(400, "a chunk is longer than its size")
        if b"\n" in line or b"\r" in line[:-1]:
            raise RequestError(400, "a line of a chunked body ends without CR and LF")
        self._check_size(line)
        self._line = line

    def _check_size(self, line: bytes) -> None:
        if len(line) + len(b"\r\n") > self._policy.field_size:
            raise RequestError(431, "a line of a chunked body is too long")

    def _read_size(self, line: bytes) -> None:
        match = _match_size_line(line)
        if match is None:
            raise RequestError(400, f"{line[:40]!r} is not the size of a chunk")
        self._left = int(match[1], 16)
        self._state = DATA if self._left else TRAILER
        self._overhead += max(len(line) - FREE_OVERHEAD, 0)
        if self._overhead > MAX_OVERHEAD:
            raise RequestError(431, "the chunks of the request are mostly extensions")

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self._state = DONE
            return
        check_field_line(line)
        self._trailers += 1
        if self._trailers > self._policy.fields:
            raise RequestError(431, "the request has too many trailers")
        if line.partition(b":")[0].lower() in _FORBIDDEN:
            raise RequestError(400, f"{line[:40]!r} may not be a trailer")
