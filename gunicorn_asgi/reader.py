"""RequestReader: what comes on one connection, cut into requests.

It decides nothing about answers: what is wrong with a request is a ``RequestError`` with a status.
Where a request ends is decided here and nowhere else; behind one that was refused, or that is its
connection's last, nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gunicorn_asgi.chunked import ChunkedBody
from gunicorn_asgi.head import check_start, parse_head
from gunicorn_asgi.partial_head import PartialHead
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.proxy_protocol import ProxyHeader, check_proxy, read_proxy_header
from gunicorn_asgi.request import Request, RequestError

CR = 13


class Receiver(Protocol):
    """The connection, as its reader sees it."""

    def take_request(self, request: Request) -> None:
        """A request can be handled: complete, or with more body to come."""

    def take_body(self, request: Request, data: bytes) -> None:
        """Body bytes of a request that was taken already."""

    def take_end(self, request: Request) -> None:
        """The body of a request that was taken already is complete."""

    def take_proxy(self, header: ProxyHeader) -> None:
        """A proxy says for whom this connection is; before any request."""


class RequestReader:
    """The parser of one connection.

    ``peer`` is the address that the policy's proxies are known by, None that of a Unix socket.
    ``feed`` raises RequestError for what must be refused; after that it is not called again. Bytes
    behind an accepted upgrade are in ``rest``.
    """

    __slots__ = ("_chunked", "_held", "_held_step", "_is_taken", "_is_trusted", "_left", "_partial",
                 "_peer", "_policy", "_preface", "_receiver", "_request", "_step", "_variables",
                 "rest")  # fmt: skip

    def __init__(self, receiver: Receiver, policy: RequestPolicy, peer: str | None = "") -> None:
        self._receiver = receiver
        self._policy = policy
        self._peer = peer
        self._is_trusted: bool | None = None  # not asked yet
        self._partial: PartialHead | None = None
        self._request: Request | None = None  # whose body is read
        self._is_taken = False  # whether the receiver has it
        self._left = 0  # of a body with a length
        self._chunked: ChunkedBody | None = None
        self._variables: dict[str, str] | None = None  # of all requests
        self._preface = b""
        # Takes bytes, and returns those that are the next step's.
        self._step: Callable[[RequestReader, bytes], bytes] = RequestReader._read_head
        if policy.proxy_protocol != "off":
            self._step = RequestReader._read_preface
        self._held = b""  # what was fed meanwhile
        self._held_step: Callable[[RequestReader, bytes], bytes] | None = None
        self.rest = b""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has been read."""
        if self._preface or self._request is not None or self._held:
            return False
        return self._partial is None or self._partial.is_empty

    @property
    def is_in_body(self) -> bool:
        """Whether a head is complete, and its body is not."""
        return self._request is not None

    def feed(self, data: bytes) -> None:
        """Read bytes. Requests go to the receiver while this runs."""
        while data:
            data = self._step(self, data)

    def is_trusted(self) -> bool:
        """Whether the peer's forwarding fields are believed."""
        if self._is_trusted is None:
            self._is_trusted = self._policy.forwarders.includes(self._peer)
        return self._is_trusted

    @property
    def is_holding(self) -> bool:
        """Whether bytes are kept as they are, until ``go_on``."""
        return self._held_step is not None

    def hold(self) -> None:
        """Read no further for now, from within ``take_request``: its receiver has enough."""
        if self._held_step is None:
            self._held_step, self._step = self._step, RequestReader._hold

    def go_on(self) -> int:
        """Read what was held; return how many bytes. Raises RequestError."""
        assert self._held_step is not None
        self._step, self._held_step = self._held_step, None
        data, self._held = self._held, b""
        self.feed(data)
        return len(data)

    def skip_preface(self, variables: dict[str, str] | None) -> None:
        """Begin with a request's head: what comes before one was read, and said this."""
        self._step = RequestReader._read_head
        self._variables = variables

    # Steps

    def _read_preface(self, data: bytes) -> bytes:
        """What the PROXY protocol puts before the first request."""
        data, self._preface = self._preface + data, b""
        found = read_proxy_header(data, self._policy.proxy_protocol)
        if found is None:
            self._preface = data
            return b""
        header, size = found
        if size:
            check_proxy(self._policy, self._peer)
        if header is not None:
            self._variables = header.variables
            self._receiver.take_proxy(header)
        self._step = RequestReader._read_head
        return data[size:]

    def _read_head(self, data: bytes) -> bytes:
        if self._partial is not None:
            data = self._partial.add(data)
            if not data:
                return b""
            self._partial = None
        # RFC 9112 section 2.2: an empty line before a request is ignored. One: gunicorn too.
        start = 0
        if data[0] == CR and data.startswith(b"\r\n"):
            start = 2
            check_start(data)
        end = data.find(b"\r\n\r\n", start)
        if end < 0:
            self._partial = PartialHead(self._policy)
            self._partial.add(data)
            return b""
        request = parse_head(data[start:end], self._policy, self.is_trusted)
        if self._variables is not None:
            request.variables = {**(request.variables or {}), **self._variables}
        rest = data[end + 4 :]
        if request.has_body:
            self._begin_body(request)
            return rest
        if not request.keep_alive or request.is_upgrade:
            self._step = RequestReader._read_excess
        if request.is_upgrade:  # what follows is not HTTP
            self.rest, rest = rest, b""
        self._receiver.take_request(request)
        return rest

    def _begin_body(self, request: Request) -> None:
        self._request = request
        request.is_complete = False
        if request.body_size is None:
            self._chunked = ChunkedBody(self._policy)
            self._step = RequestReader._read_chunks
        else:
            self._left = request.body_size
            self._step = RequestReader._read_length
        self._is_taken = not request.is_inline
        if self._is_taken:
            self._receiver.take_request(request)

    def _read_length(self, data: bytes) -> bytes:
        """A body whose length is known."""
        request = self._request
        assert request is not None
        part = data if len(data) <= self._left else data[: self._left]
        self._left -= len(part)
        self._take_part(request, part)
        if not self._left:
            self._end(request)
        return data[len(part) :]

    def _read_chunks(self, data: bytes) -> bytes:
        """A body whose length is not."""
        request, chunked = self._request, self._chunked
        assert request is not None
        assert chunked is not None
        content, rest = chunked.read(data)
        if content:
            self._take_part(request, content)
        if chunked.is_complete:
            self._chunked = None
            self._end(request)
        return rest

    def _hold(self, data: bytes) -> bytes:
        self._held += data
        return b""

    def _read_excess(self, data: bytes) -> bytes:
        """RFC 9112 section 9.6: what follows the last request MUST NOT be processed."""
        raise RequestError(400, f"{len(data)} bytes behind the last request of the connection")

    # Parts of a request

    def _take_part(self, request: Request, part: bytes) -> None:
        if self._is_taken:
            self._receiver.take_body(request, part)
        elif request.parts is None:
            request.parts = [part]
        else:
            request.parts.append(part)

    def _end(self, request: Request) -> None:
        """The body is complete."""
        self._request = None
        is_last = not request.keep_alive
        self._step = RequestReader._read_excess if is_last else RequestReader._read_head
        request.is_complete = True
        if self._is_taken:
            self._receiver.take_end(request)
        else:
            self._receiver.take_request(request)
