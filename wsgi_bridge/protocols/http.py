"""An HTTP exchange: one request, one answer, as a sans-I/O state machine.

It turns response messages (MESSAGES.md section 2) into the bytes of an HTTP/1.x response, and keeps
the account of the request body's flow. It does not parse requests, and knows no socket.

Rules kept here, from RFC 9110 and RFC 9112:

- a response to HEAD, a 204, a 205 and a 304 have no content, whatever was sent (9110 sections 6.4.1
  and 15.3.6)
- a response has exactly one framing: Content-Length, chunked (HTTP/1.1 only) or the connection's
  end (9112 section 6.3); the consumer's own Transfer-Encoding is never believed
- no more content than Content-Length says is ever written, and a response that ends early ends the
  connection, so that no client reads one response's bytes as another's
- a field that could split a response is an error before any byte is out (9110 section 5.5)
"""

from __future__ import annotations

import enum
import http
from collections.abc import Iterable, Mapping
from typing import Any

from wsgi_bridge.exceptions import BridgeError
from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.protocols.fields import has_bad_byte, is_token

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\n"
# Statuses of responses without content, beside 1xx.
BODILESS = frozenset((204, 205, 304))

# Field names remembered with their kind. Consumers may make names up, so there is a bound.
KINDS_LIMIT = 1024


class _Kind(enum.Enum):
    """What has to be done with a field of a response."""

    PLAIN = enum.auto()
    LENGTH = enum.auto()
    HOP_BY_HOP = enum.auto()  # RFC 9110 section 7.6.1: the server's to write, never the consumer's
    OURS = enum.auto()  # the server writes it, unless the consumer does


_PLAIN, _LENGTH, _HOP_BY_HOP, _OURS = _Kind
_KINDS = {
    b"content-length": _Kind.LENGTH,
    b"connection": _Kind.HOP_BY_HOP,
    b"keep-alive": _Kind.HOP_BY_HOP,
    b"proxy-connection": _Kind.HOP_BY_HOP,
    b"te": _Kind.HOP_BY_HOP,
    b"transfer-encoding": _Kind.HOP_BY_HOP,
    b"upgrade": _Kind.HOP_BY_HOP,
    b"date": _Kind.OURS,
    b"server": _Kind.OURS,
}
_kinds: dict[bytes, _Kind] = {}
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}


class ResponseError(BridgeError):
    """A consumer's response message that cannot be sent as HTTP."""


class State(enum.Enum):
    """Where the response is."""

    WAITING = enum.auto()  # no response message yet
    STREAMING = enum.auto()  # the head is out, content follows
    DONE = enum.auto()  # the response is complete
    BROKEN = enum.auto()  # it ended early: the connection must be closed


# Names of the module: reading them off an Enum class costs as much as a function call.
WAITING, STREAMING, DONE, BROKEN = State


class Framing(enum.Enum):
    """How the response says where it ends."""

    NONE = enum.auto()  # HEAD, 204, 304
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


NONE, LENGTH, CHUNKED, CLOSE = Framing

# What ends a head, by (keep_alive, is_http10).
_HEAD_ENDS = {
    (True, False): b"\r\n",
    (True, True): b"Connection: keep-alive\r\n\r\n",
    (False, False): b"Connection: close\r\n\r\n",
    (False, True): b"Connection: close\r\n\r\n",
}


class HttpExchange:
    """One request and its answer. Owned by the HTTP connection that read the request.

    ``keep_alive`` says, once the state is DONE, whether the connection can carry another request.
    ``content_sent`` counts content bytes, without framing.
    """

    __slots__ = ("content_sent", "framing", "is_head", "is_http10", "keep_alive", "remaining",
                 "state", "status")  # fmt: skip

    def __init__(self, is_head: bool, is_http10: bool, keep_alive: bool) -> None:
        self.is_head = is_head
        self.is_http10 = is_http10
        self.keep_alive = keep_alive
        self.state = WAITING
        self.framing = NONE
        self.remaining = 0
        self.content_sent = 0
        self.status = 0

    def encode(self, message: Mapping[str, Any], preamble: bytes) -> bytes:
        """Return the bytes that one response message puts on the wire.

        ``preamble`` is the server's own fields (Server, Date), with CRLF after each. Raises
        ResponseError for a message that cannot be sent; in state WAITING nothing has been written
        then and another response may take its place.
        """
        state, sent = self.state, self.content_sent
        try:
            if state is STREAMING:
                return self._encode_content(message)
            if state is not WAITING:
                return b""
            if message.get("closed"):
                self.break_off()
                return b""
            return self._encode_response(message, preamble)
        except (AttributeError, TypeError, ValueError) as exc:
            # The layer lets through what is no response: a consumer's text where bytes belong.
            self.state, self.content_sent = state, sent
            raise ResponseError(f"a value of the wrong type: {exc}") from exc

    def encode_hints(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return a 103 (Early Hints, RFC 8297) with ``headers``.

        Nothing once the response has begun, or for a client of HTTP/1.0, which would take it for
        the response (RFC 9110 section 15.2). Raises ResponseError.
        """
        if self.state is not WAITING or self.is_http10:
            return b""
        parts = [EARLY_HINTS]
        try:
            for name, value in headers:
                kind = _kinds.get(name) or _add_kind(name)
                if has_bad_byte(value):
                    raise ResponseError(f"header field {name!r} has a byte that is not allowed")
                if kind is _PLAIN:
                    parts += (name, b": ", value, b"\r\n")
        except (TypeError, ValueError) as exc:
            raise ResponseError(f"early hints of the wrong type: {exc}") from exc
        return b"".join((*parts, b"\r\n"))

    def break_off(self) -> None:
        """End the response where it is: the connection cannot be used again."""
        self.state = BROKEN
        self.keep_alive = False

    # The head

    def _encode_response(self, message: Mapping[str, Any], preamble: bytes) -> bytes:
        status = message.get("status")
        if type(status) is not int or not 200 <= status <= 999:
            raise ResponseError(f"status is an int from 200 to 999, not {status!r}")
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, preamble]
        length, given = self._encode_fields(message.get("headers", ()), parts)
        if given is not None:
            parts[1] = _without(preamble, given)
        content = message.get("content", b"")
        has_more = bool(message.get("more_content"))
        if length is None and not has_more and not self.is_head and status != 304:
            length = len(content)
        self._choose_framing(status, length, parts)
        parts.append(_HEAD_ENDS[self.keep_alive, self.is_http10])
        self.status = status
        self.state = STREAMING
        if not has_more and self.framing is LENGTH and length == len(content):
            # All of it in one message: nearly every response. No chunk needs to be made.
            parts.append(content)
            self.content_sent = length
            self.state = DONE
        else:
            self._encode_chunk(content, has_more, parts)
        return b"".join(parts)

    def _encode_fields(
        self, headers: Iterable[tuple[bytes, bytes]], parts: list[bytes]
    ) -> tuple[int | None, set[bytes] | None]:
        """Encode the consumer's fields; return its Content-Length and which of ours it gave."""
        length: int | None = None
        given: set[bytes] | None = None
        for name, value in headers:
            kind = _kinds.get(name) or _add_kind(name)
            if kind is not _PLAIN:
                if kind is _LENGTH:
                    length = _parse_length(value, length)
                    continue
                if kind is _HOP_BY_HOP:
                    if b"close" in value.lower():
                        self.keep_alive = False
                    continue
                given = given or set()
                given.add(name.lower())
            if has_bad_byte(value):
                raise ResponseError(f"header field {name!r} has a byte that is not allowed")
            parts += (name, b": ", value, b"\r\n")
        return length, given

    def _choose_framing(self, status: int, length: int | None, parts: list[bytes]) -> None:
        """Choose the framing; ``length`` is the content's, if it is known."""
        if self.is_head or status in BODILESS:
            self.framing = NONE
            if status == 205:  # section 15.3.6: it says so itself that there is nothing
                length = 0
            if length is not None and status != 204:
                parts.append(b"Content-Length: %d\r\n" % length)
        elif length is not None:
            self.framing = LENGTH
            self.remaining = length
            parts.append(b"Content-Length: %d\r\n" % length)
        elif self.is_http10:
            self.framing = CLOSE
            self.keep_alive = False
        else:
            self.framing = CHUNKED
            parts.append(b"Transfer-Encoding: chunked\r\n")

    # The content

    def _encode_content(self, message: Mapping[str, Any]) -> bytes:
        # A second head: the consumer failed after its first one. It must not pass for content.
        if "status" in message or message.get("closed"):
            self.break_off()
            return b""
        parts: list[bytes] = []
        self._encode_chunk(message.get("content", b""), bool(message.get("more_content")), parts)
        return b"".join(parts)

    def _encode_chunk(self, content: bytes, has_more: bool, parts: list[bytes]) -> None:
        if self.framing is LENGTH:
            if len(content) > self.remaining:
                content = content[: self.remaining]
            self.remaining -= len(content)
            parts.append(content)
        elif self.framing is CHUNKED:
            if content:
                parts += (b"%x\r\n" % len(content), content, b"\r\n")
            if not has_more:
                parts.append(b"0\r\n\r\n")
        elif self.framing is CLOSE:
            parts.append(content)
        if self.framing is not NONE:
            self.content_sent += len(content)
        if not has_more:
            self._finish()

    def _finish(self) -> None:
        # RFC 9112 section 6.3: content shorter than its Content-Length is incomplete, and only the
        # connection's end can say so.
        if self.framing is LENGTH and self.remaining:
            self.break_off()
        else:
            self.state = DONE


class ConnectExchange(HttpExchange):
    """The answer to CONNECT: 501 in place of one that would make the client begin a tunnel.

    RFC 9110 section 9.3.6: behind a 2xx to CONNECT come the tunnel's bytes, whatever it says of
    its content.
    """

    __slots__ = ()

    def _encode_response(self, message: Mapping[str, Any], preamble: bytes) -> bytes:
        status = message.get("status")
        if type(status) is int and 200 <= status < 300:
            message = error_response(501, "there are no tunnels here")
        return super()._encode_response(message, preamble)


#: Kinds of exchanges by method, where it is not HttpExchange.
EXCHANGES: Mapping[str, type[HttpExchange]] = {"CONNECT": ConnectExchange}


class BodyFlow:
    """The account of one request body that goes out in chunks.

    The reader says how many bytes it is ready to take in all (``body_window``); the server stops
    reading the socket when it has taken as many. ``expects_continue``: RFC 9110 section 10.1.1,
    100 (Continue) is sent when the reader asks first, and only then.
    """

    __slots__ = ("expects_continue", "taken", "window")

    def __init__(self, expects_continue: bool) -> None:
        self.expects_continue = expects_continue
        self.taken = 0
        self.window = 0 if expects_continue else BODY_WINDOW

    @property
    def is_open(self) -> bool:
        """Whether the reader is ready for more."""
        return self.taken < self.window

    def open(self, window: int) -> bytes:
        """Widen the window to ``window`` bytes in all; return what must be written first.

        Raises ResponseError for what is no number.
        """
        if type(window) is not int:
            raise ResponseError(f"body_window is a number of bytes, not {window!r}")
        self.window = max(self.window, window)
        if self.expects_continue and self.taken < self.window:
            self.expects_continue = False
            return CONTINUE if not self.taken else b""
        return b""


def error_response(
    status: int, reason: str = "", headers: Iterable[tuple[bytes, bytes]] = ()
) -> dict[str, Any]:
    """Return a plain-text response message for a status that the server itself answers."""
    phrase = http.HTTPStatus(status).phrase
    content = f"{status} {phrase}\n{reason}\n" if reason else f"{status} {phrase}\n"
    fields = [[b"Content-Type", b"text/plain; charset=utf-8"], *(list(pair) for pair in headers)]
    return {"status": status, "headers": fields, "content": content.encode()}


def _without(preamble: bytes, given: set[bytes]) -> bytes:
    """Return the server's fields without those that the consumer gave itself."""
    lines = preamble.splitlines(keepends=True)
    return b"".join(line for line in lines if line.partition(b":")[0].lower() not in given)


def _add_kind(name: bytes) -> _Kind:
    """Return the kind of a field name, and remember it. Raises ResponseError."""
    if not is_token(name):
        raise ResponseError(f"header field name {name!r} is no token")
    kind = _KINDS.get(name.lower(), _PLAIN)
    if len(_kinds) < KINDS_LIMIT:
        _kinds[name] = kind
    return kind


def _parse_length(value: bytes, earlier: int | None) -> int:
    if not value.isdigit() or (earlier is not None and earlier != int(value)):
        raise ResponseError(f"Content-Length is {value!r}, not one number")
    return int(value)
