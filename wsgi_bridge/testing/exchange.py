"""Exchange: an HTTP request and its answer, at the server's side of a test client.

It does what a server's HTTP connection does (gunicorn_asgi.connection), with the same machines for
the response, the body and the flow of both, and takes the bytes apart again as a client would.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from wsgi_bridge.events.server import HTTP_INVALID_RESPONSE
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.protocols.broadcast import Broadcast
from wsgi_bridge.protocols.http import (
    BROKEN,
    CHUNKED,
    DONE,
    STREAMING,
    WAITING,
    HttpExchange,
    ResponseError,
    error_response,
)
from wsgi_bridge.server.request_body import RequestBody
from wsgi_bridge.server.response_flow import ResponseFlow
from wsgi_bridge.server.server import NEVER
from wsgi_bridge.testing.engine import Engine
from wsgi_bridge.testing.headers import Headers, parse_fields
from wsgi_bridge.testing.request import Request

logger = logging.getLogger(__name__)


class Exchange:
    """The owner of one request at the server.

    ``is_stepwise``: whoever streams the answer is left after each block until it is asked for.
    """

    def __init__(self, engine: Engine, request: Request, *, is_stepwise: bool) -> None:
        self.status = 0
        self.headers = Headers()
        self.chunks: deque[bytes] = deque()
        self._engine = engine
        self._server = engine.server
        self._request = request
        self._is_stepwise = is_stepwise
        self._machine = HttpExchange(request.method == "HEAD", False, True)
        self._flow: ResponseFlow | None = None
        self._body: RequestBody | None = None
        self._blocks = request.blocks()
        self._reply_channel = self._server.register(self)
        self.deadline = self._server.clock() + (self._server.settings.http_timeout or NEVER)
        self._server.timed.add(self)

    @property
    def is_answered(self) -> bool:
        """Whether the head of the answer is there."""
        return self._machine.state is not WAITING

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._machine.state is DONE or self._machine.state is BROKEN

    @property
    def is_complete(self) -> bool:
        """Whether the answer was not broken off."""
        return self._machine.state is DONE

    def begin(self, client: tuple[str, int]) -> None:
        """Send the request on."""
        message = self._request.to_message(client)
        message["reply_channel"] = self._reply_channel
        self._server.counters.requests_count += 1
        if not self._request.is_inline:
            self._body = RequestBody(self._server, "expect" in self._request.headers)
            message["body_channel"] = self._body.channel
        try:
            self._server.layer.hand_over("http.request", message)
        except (ChannelFull, ChannelLayerUnavailable):
            self._server.counters.refused_full_count += 1
            self.deliver(error_response(503, headers=[(b"Retry-After", b"1")]))
            return
        self._send_body()

    def _send_body(self) -> None:
        """Send on as much of the body as its reader is ready for."""
        body = self._body
        while body is not None and body.is_open and not body.is_complete:
            block = next(self._blocks, None)
            if block is None:
                body.finish()
            elif block:
                body.send(block)

    # What the server calls

    def deliver(self, message: dict[str, Any]) -> None:
        """Take one message from the reply channel."""
        machine = self._machine
        if "body_window" in message:
            if self._body is not None:
                self._body.open_window(message["body_window"])
                self._send_body()
            return
        is_first = machine.state is WAITING
        if is_first:
            self._prepare(message)
        try:
            data = machine.encode(message, self._server.preamble)
        except ResponseError as exc:
            HTTP_INVALID_RESPONSE.log(
                logger,
                "response to %(request)s cannot be sent: %(cause)s",
                cause=exc,
                request=self._request.url,
            )
            self._server.counters.invalid_answers_count += 1
            data = machine.encode(error_response(500), self._server.preamble)
        if is_first and data:
            data = self._take_head(data)
        self._take_content(data)
        if machine.state is STREAMING:
            self._account(message)
        else:
            self._finish()

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Take a group message: a long poll may wait for one."""
        self.deliver(dict(broadcast.message))

    def stop(self, code: int) -> None:
        """Nothing: what was asked is answered."""

    def on_due(self) -> None:
        """No answer came in time."""
        self.deadline = NEVER
        if self._body is not None:
            self._body.abandon()
        self.deliver(error_response(504))

    def _prepare(self, message: dict[str, Any]) -> None:
        self.deadline = NEVER
        if "flow_channel" in message:
            self._flow = ResponseFlow(self._server, message["flow_channel"])

    def _account(self, message: dict[str, Any]) -> None:
        if self._flow is not None:
            self._flow.take(len(message.get("content", b"")), 0)
        if self._is_stepwise:
            self._engine.strands.held.add(self._reply_channel)

    def _finish(self) -> None:
        self._server.unregister(self._reply_channel)
        self._server.timed.discard(self)
        self._engine.strands.held.discard(self._reply_channel)
        if self._flow is not None and self.is_complete:
            self._flow.clear()
        if self._body is not None:
            self._body.clear()
        self._flow = self._body = None

    # What the client reads

    def _take_head(self, data: bytes) -> bytes:
        """Read status and fields; return what follows them."""
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        self.status = int(first.split(b" ")[1])
        self.headers = parse_fields(lines)
        return rest

    def _take_content(self, data: bytes) -> None:
        """Read one block of content; a chunk comes whole, since it was written whole."""
        if self._machine.framing is CHUNKED and data:
            size, _, data = data.partition(b"\r\n")
            data = data[: int(size, 16)]
        if data:
            self.chunks.append(data)

    # What the client does

    def next_chunk(self, timeout: float) -> bytes | None:
        """Return the next block of content, None at the end or when none came in time."""
        if not self.chunks and not self.is_over:
            self._engine.strands.held.discard(self._reply_channel)
            self.run_until(lambda: bool(self.chunks) or self.is_over, timeout)
        return self.chunks.popleft() if self.chunks else None

    def read_all(self, timeout: float) -> bytes:
        """Return all that is left of the content."""
        self._is_stepwise = False
        self._engine.strands.held.discard(self._reply_channel)
        self.run_until(lambda: self.is_over, timeout)
        content = b"".join(self.chunks)
        self.chunks.clear()
        return content

    def run_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Let everybody have their turn; see Engine."""
        return self._engine.run_until(condition, timeout)

    def abandon(self) -> None:
        """Go away, as a client that closes its connection before the answer is complete."""
        if self.is_over:
            return
        if self._body is not None:
            self._body.abandon()
        if self._flow is not None:
            self._flow.close()
            self._engine.strands.abandoned.add(self._reply_channel)
        message = {"reply_channel": self._reply_channel, "path": self._request.path}
        try:
            self._server.layer.hand_over("http.disconnect", message)
        except ChannelLayerError as exc:
            logger.info("nobody heard that %s was left: %r", self._request.url, exc)
        self._machine.break_off()
        self._finish()
        self._engine.run()
