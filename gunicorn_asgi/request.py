"""Requests: what llhttp (httptools) reads, under our own strict policy.

``RequestReader`` is the callbacks' target of one connection. It builds a ``Request`` and hands it
to the connection when its head is complete; body bytes follow. It decides nothing about answers:
what is wrong with a request is a ``RequestError`` with a status.

llhttp refuses most of what RFC 9112 forbids (bare LF, spaces before a colon, Content-Length beside
Transfer-Encoding, folded fields). Ours on top: the limits, one Host, no transfer coding but
chunked, no unknown expectation, request targets in the form their method allows.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools

from gunicorn_asgi.policy import RequestPolicy
from wsgi_bridge.protocols.handshake import is_websocket_upgrade

# Bytes of a request body that are read before its consumer is asked, so that small ones come
# inline.
MAX_INLINE_BODY = 65536
# Bytes of a chunked body that bring no content: extensions and trailers. A hundred fields of 1 KB.
MAX_BARREN = 131072

_VERSIONS = frozenset(("1.0", "1.1"))
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")}


class RequestError(Exception):
    """A request that is refused; ``status`` is the answer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Request:
    """A request as it was read. Its body's bytes are in ``parts`` until somebody takes them."""

    # Defaults on the class: most requests have no body, and set none of these.
    is_upgrade = False
    forwarded: bool | None = None  # whether a proxy says https; None when it says nothing
    expects_continue = False
    has_body = False
    body_size: int | None = None  # None: chunked
    parts: list[bytes] | None = None
    is_complete = False
    started = 0.0

    def __init__(
        self, method: str, target: bytes, version: str, headers: list[list[bytes]], keep_alive: bool
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive

    @property
    def is_inline(self) -> bool:
        """Whether the body is short enough to wait for before a consumer is asked."""
        size = self.body_size
        return size is not None and size <= MAX_INLINE_BODY and not self.expects_continue

    @property
    def path(self) -> str:
        """The path as in the message: percent-decoded."""
        raw_path = self.target.partition(b"?")[0]
        if not raw_path.startswith(b"/"):
            raw_path, _ = _split_target(self.target, self.method)
        return unquote_to_bytes(raw_path).decode("utf-8", "replace")

    def take_body(self) -> bytes:
        """Return the body bytes read so far, and forget them."""
        parts, self.parts = self.parts, None
        return b"" if parts is None else parts[0] if len(parts) == 1 else b"".join(parts)

    def to_message(
        self, reply_channel: str, scheme: str, root_path: str, client: Any, server: Any
    ) -> dict[str, Any]:
        """Return the ``http.request`` message; ``client`` and ``server`` are pairs, or None."""
        raw_path, _, query = self.target.partition(b"?")
        if not raw_path.startswith(b"/"):
            raw_path, query = _split_target(self.target, self.method)
        if b"%" in raw_path:
            path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        else:
            path = raw_path.decode("latin-1")
        return {
            "reply_channel": reply_channel,
            "http_version": self.version,
            "method": self.method,
            "scheme": scheme,
            "path": path,
            "raw_path": raw_path,
            "root_path": root_path,
            "query_string": query,
            "headers": self.headers,
            "body": b"" if self.parts is None else self.take_body(),
            "client": client,
            "server": server,
        }


class Receiver(Protocol):
    """The connection, as its reader sees it."""

    def take_request(self, request: Request) -> None:
        """A request can be handled: complete, or with more body to come."""

    def take_body(self, request: Request, data: bytes) -> None:
        """Body bytes of a request that was taken already."""

    def take_end(self, request: Request) -> None:
        """The body of a request that was taken already is complete."""


class RequestReader:
    """The parser of one connection, and the rules of what a request may be.

    ``feed`` raises RequestError for what must be refused. Bytes behind an accepted upgrade are in
    ``rest``.
    """

    __slots__ = ("_declined", "_field_room", "_had_content", "_headers", "_is_head_done",
                 "_is_taken", "_parser", "_pending", "_policy", "_receiver", "_request",
                 "_special", "_specials", "_target", "rest")  # fmt: skip

    def __init__(self, receiver: Receiver, policy: RequestPolicy) -> None:
        self._receiver = receiver
        self._policy = policy
        self._specials = policy.special_fields
        self._field_room = policy.field_size - len(b": \r\n")
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None
        self._declined: Request | None = None
        self._had_content = False  # of a body, since the last check
        self._pending = 0  # bytes read of a line or field that is not complete
        self.rest = b""
        self.on_message_begin()

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has been read."""
        if self._is_head_done:
            return self._request is None
        return not self._target and not self._pending

    @property
    def is_in_body(self) -> bool:
        """Whether a head is complete, and its body is not."""
        return self._is_head_done and self._request is not None

    def feed(self, data: bytes) -> None:
        """Read bytes. Requests go to the receiver while this runs."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as exc:
                data = self._take_upgrade(data[exc.args[0] :])
                if data:
                    continue
            except httptools.HttpParserCallbackError as exc:
                if isinstance(exc.__context__, RequestError):
                    raise exc.__context__ from None
                raise
            except httptools.HttpParserError as exc:
                raise RequestError(400, str(exc)) from exc
            break
        if not self._is_head_done:
            self._check_field(data)
        elif self._request is not None:
            self._check_body(self._request, len(data))

    def _check_field(self, data: bytes) -> None:
        """Bound what llhttp has read of a field that is not complete: no callback tells of it."""
        if self._had_content:
            # Where this head begins behind a body is not known: it counts from the next bytes on.
            self._had_content = False
            self._pending = 1
            return
        end = data.rfind(b"\n")
        self._pending = len(data) - end - 1 if end >= 0 else self._pending + len(data)
        if self._pending > self._policy.field_size + self._policy.line:
            raise RequestError(431, "a header field of the request is too large")

    def _check_body(self, request: Request, size: int) -> None:
        """Bound what comes of a chunked body between two pieces of content: httptools keeps it."""
        self._pending = 0 if self._had_content else self._pending + size
        self._had_content = False
        if self._pending > MAX_BARREN and request.body_size is None:
            raise RequestError(431, "the trailers of the request are too large")

    # Callbacks of httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target = b""
        self._headers: list[list[bytes]] = []
        self._special: dict[bytes, bytes] | None = None
        self._is_head_done = False
        self._is_taken = False
        self._pending = 0

    def on_url(self, target: bytes) -> None:
        """A piece of the request target."""
        self._target += target
        if len(self._target) > self._policy.line:
            raise RequestError(414, "the request line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or a trailer, which is dropped (RFC 9110 section 6.5.1)."""
        if self._is_head_done:
            return
        name = name.lower()
        headers = self._headers
        if len(name) + len(value) > self._field_room or len(headers) >= self._policy.fields:
            raise RequestError(431, f"header field {name[:40]!r} is too large, or one too many")
        headers.append([name, value])
        if name in self._specials:
            self._take_special(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        parser = self._parser
        self._is_head_done = True
        self._pending = 0
        if self._declined is not None:
            self._resume_declined(self._declined)
            return
        request = self._request = Request(
            _METHODS.get(parser.get_method()) or _check_method(parser.get_method()),
            self._target,
            parser.get_http_version(),
            self._headers,
            parser.should_keep_alive(),
        )
        if request.version not in _VERSIONS:
            raise RequestError(505, f"HTTP/{request.version} is not served here")
        if self._special is not None:
            self._apply_special(request, self._special)
        if not request.target.startswith(b"/"):
            _split_target(request.target, request.method)
        if request.has_body and not request.is_inline and not request.is_upgrade:
            self._is_taken = True
            self._receiver.take_request(request)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        request = self._request
        assert request is not None
        self._had_content = True
        if self._is_taken:
            self._receiver.take_body(request, data)
        elif request.parts is None:
            request.parts = [data]
        else:
            request.parts.append(data)

    def on_message_complete(self) -> None:
        """The request is complete."""
        request = self._request
        assert request is not None
        if request.is_upgrade:
            return  # httptools stops behind this head: see _take_upgrade
        request.is_complete = True
        self._request = None
        if self._is_taken:
            self._receiver.take_end(request)
        else:
            self._receiver.take_request(request)

    # Rules

    def _take_special(self, name: bytes, value: bytes) -> None:
        if self._special is None:
            self._special = {}
        elif name in self._special and name not in self._policy.secure_headers:
            # Host: RFC 9112 section 3.2. The others: two framings, or two minds.
            raise RequestError(400, f"more than one {name.decode()} field")
        self._special[name] = value

    def _apply_special(self, request: Request, special: dict[bytes, bytes]) -> None:
        if len(special) == 1 and b"host" in special:
            return
        coding = special.get(b"transfer-encoding")
        if coding is not None:
            if coding.strip().lower() != b"chunked":
                raise RequestError(501, f"transfer coding {coding[:40]!r} is not implemented")
            if request.version != "1.1":
                raise RequestError(400, "Transfer-Encoding needs HTTP/1.1")
            request.has_body = True
        elif b"content-length" in special:
            request.body_size = int(special[b"content-length"])
            request.has_body = request.body_size > 0
        for name, value in self._policy.secure_headers.items():
            if name in special:
                request.forwarded = special[name] == value
        self._apply_expect(request, special.get(b"expect"))
        request.is_upgrade = self._parser.should_upgrade()

    def _apply_expect(self, request: Request, expect: bytes | None) -> None:
        """RFC 9110 section 10.1.1."""
        if expect is None:
            return
        if expect.lower() != b"100-continue":
            raise RequestError(417, "the only expectation that can be met is 100-continue")
        request.expects_continue = request.version == "1.1" and request.has_body

    # Upgrades

    def _take_upgrade(self, rest: bytes) -> bytes:
        """llhttp stopped behind a head that asks for an upgrade, whatever the body.

        A WebSocket handshake is taken as it is. Any other upgrade is declined by being ignored (RFC
        9110 section 7.8), and reading goes on with a new parser. Returns what it has to read.
        """
        request, self._request = self._request, None
        assert request is not None
        if not request.has_body and is_websocket_upgrade(request.headers):
            request.is_complete = True
            self.rest = rest
            self._receiver.take_request(request)
            return b""
        request.is_upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        self.on_message_begin()
        if request.has_body:
            self._declined = request
            self._parser.feed_data(_framing_head(request))
        else:
            request.is_complete = True
            self._receiver.take_request(request)
        return rest

    def _resume_declined(self, request: Request) -> None:
        """Go on with the body of a request whose upgrade was declined."""
        self._declined = None
        self._request = request
        if not request.is_inline:
            self._is_taken = True
            self._receiver.take_request(request)


def _check_method(method: bytes) -> str:
    if method == b"CONNECT":
        raise RequestError(400, "this is no proxy")
    return method.decode("ascii")


def _framing_head(request: Request) -> bytes:
    """Return a head with nothing but a request's framing, for a parser that shall read its body."""
    if request.body_size is None:
        return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    return b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % request.body_size


def _split_target(target: bytes, method: str) -> tuple[bytes, bytes]:
    """Return path and query of a target that is not in origin-form (RFC 9112 section 3.2)."""
    if target == b"*" and method == "OPTIONS":
        return b"*", b""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https") and method != "CONNECT":
        location, _, query = rest.partition(b"?")
        _, _, path = location.partition(b"/")
        return b"/" + path, query
    raise RequestError(400, f"request target {target[:40]!r} does not fit {method}")
