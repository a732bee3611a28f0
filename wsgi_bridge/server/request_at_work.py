"""RequestAtWork: the request whose turn it is on a connection, and its answer.

The half of a connection that faces the layer: it makes a message of a request, and bytes of what
the consumers reply. When an answer is complete, its connection is told to go on. All methods run in
the hub, nothing blocks. How requests are read, and who accepts connections, it does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sized
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_bridge.events.server import HTTP_INVALID_RESPONSE, HTTP_SLOW_CLIENT
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.figures.buckets import PER_SECOND
from wsgi_bridge.protocols.broadcast import Broadcast
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.protocols.http import (
    DONE,
    EXCHANGES,
    STREAMING,
    WAITING,
    HttpExchange,
    ResponseError,
    error_response,
)
from wsgi_bridge.server import left_requests
from wsgi_bridge.server.left_requests import Concerned, describe, leave_will, tell_gone
from wsgi_bridge.server.request_body import RequestBody
from wsgi_bridge.server.response_flow import ResponseFlow
from wsgi_bridge.server.server import NEVER
from wsgi_bridge.streams import is_endless

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.outbound import Outbound
    from wsgi_bridge.server.server import ProtocolServer
    from wsgi_bridge.settings import Settings

logger = logging.getLogger(__name__)

# A consumer that streams without a flow channel may run this many write buffers ahead.
OVERRUN_FACTOR = 4


class Request(left_requests.Request, Protocol):
    """A request that was read, all of it or its head."""

    version: str
    keep_alive: bool
    forwarded: str | None
    is_complete: bool
    expects_continue: bool

    def to_message(
        self, reply_channel: str, scheme: str, root_path: str, client: Any, server: Any
    ) -> dict[str, Any]:
        """Return the ``http.request`` message."""


class HttpSide(Protocol):
    """What the connections of a process share."""

    server: ProtocolServer
    layer: BaseLayer
    settings: Settings
    loop: Any
    clock: Callable[[], float]
    access_log: Callable[..., None] | None
    root_path: str
    keepalive: float
    is_last: bool

    def count_request(self) -> bool:
        """Count a request; whether its connection may have another."""


class ClientSide(Protocol):
    """The half of a connection that faces the client: its owner."""

    scheme: str
    client: Any
    server: Any
    deadline: float
    is_eof: bool
    is_left: bool

    @property
    def http(self) -> HttpSide:
        """What it shares with others."""

    @property
    def out(self) -> Outbound:
        """Where its answers go."""

    @property
    def queue(self) -> Sized | None:
        """What was asked meanwhile."""

    def start_reading(self) -> None:
        """Read what the client sends, unless that is over."""

    def stop_reading(self) -> None:
        """Leave what the client sends to the kernel."""

    def on_body_late(self) -> None:
        """The client sends a body at less than the least rate."""

    def go_on(self) -> None:
        """Take the next request."""

    def close_gracefully(self) -> None:
        """Close when everything is written."""

    def lose(self) -> None:
        """The client is gone."""


class RequestAtWork:
    """The requests of one connection at work, one after the other; owned by the connection.

    ``exchange`` is None while there is none. The consumers' replies come here by the reply channel.
    """

    __slots__ = ("_connection", "_flow", "_http", "_out", "_reply_channel", "_response_headers",
                 "_server", "_will", "body", "exchange", "request")  # fmt: skip

    def __init__(self, connection: ClientSide) -> None:
        self._connection = connection
        self._http = connection.http
        self._server = connection.http.server
        self._out = connection.out
        self.request: Request | None = None
        self.exchange: HttpExchange | None = None
        self._reply_channel = ""
        self.body: RequestBody | None = None  # of a request that does not come as a whole
        self._flow: ResponseFlow | None = None  # of a response that does not
        self._response_headers: Any = ()
        # Channels that others close should this process die; None if no will was left.
        self._will: Concerned | None = None

    # The request

    def begin(self, request: Request) -> None:
        """Have a consumer answer a request."""
        http, server, connection = self._http, self._server, self._connection
        self.request = request
        keep_alive = http.count_request() and request.keep_alive
        kind = EXCHANGES.get(request.method, HttpExchange)
        self.exchange = kind(request.method == "HEAD", request.version == "1.0", keep_alive)
        self._reply_channel = server.register(self)
        message = request.to_message(
            self._reply_channel,
            request.forwarded or connection.scheme,
            http.root_path,
            connection.client,
            connection.server,
        )
        if not request.is_complete:
            self._await_body(request, message)
        if server.gathers:
            server.post("http.request", message, partial(self._settle_request, message))
            return
        try:
            http.layer.hand_over("http.request", message)
        except ChannelFull:
            # Once more, when the workers of this process had their turn: a burst is no overload.
            http.loop.run_callback(self._send_again, message)
        except ChannelLayerUnavailable:
            self._answer_unavailable()

    def _await_body(self, request: Request, message: dict[str, Any]) -> None:
        connection = self._connection
        self.body = RequestBody(self._server, request.expects_continue, connection.on_body_late)
        message["body_channel"] = self.body.channel
        if not self.body.is_open:
            connection.stop_reading()

    def _settle_request(self, message: dict[str, Any], refusal: ChannelLayerError | None) -> None:
        """Learn what became of a posted request."""
        is_due = message["reply_channel"] == self._reply_channel and self.exchange is not None
        if refusal is not None and is_due:
            self._answer_unavailable()

    def _send_again(self, message: dict[str, Any]) -> None:
        if message["reply_channel"] != self._reply_channel or self.exchange is None:
            return
        try:
            self._http.layer.hand_over("http.request", message)
        except (ChannelFull, ChannelLayerUnavailable):
            self._answer_unavailable()

    def _answer_unavailable(self) -> None:
        self._server.counters.refused_full_count += 1
        self.answer(503, [(b"Retry-After", b"1")])

    def answer(self, status: int, headers: Any = (), reason: str = "") -> None:
        """Answer with a status of the server's own, and close."""
        if self.exchange is not None:
            self.exchange.keep_alive = False
            self.deliver(error_response(status, reason, headers))

    def refuse(self, request: Request, error: HandshakeError) -> None:
        """Answer a WebSocket's opening handshake that is none, and close."""
        self.request = request
        self._server.counters.refused_handshakes_count += 1
        self.exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
        self.deliver(error_response(error.status, str(error), error.headers))

    def abandon_body(self) -> None:
        """Tell the reader of the body that the rest does not come."""
        if self.body is not None:
            self.body.abandon()

    # Replies

    def deliver(self, message: dict[str, Any]) -> None:
        """Take one message from the reply channel."""
        exchange = self.exchange
        if exchange is None:
            return
        try:
            if "status" not in message and self._take_aside(exchange, message):
                return
            if exchange.state is WAITING:
                self._prepare_response(exchange, message)
            data = exchange.encode(message, self._server.preamble)
        except ResponseError as exc:
            data = self._encode_failure(exchange, exc)
        if data and not self._out.write(data):
            self._connection.lose()
        elif exchange.state is STREAMING:
            self._account_flow(message)
        else:
            self._finish(exchange)

    def _encode_failure(self, exchange: HttpExchange, error: ResponseError) -> bytes:
        """Return what takes the place of a message that cannot be sent."""
        HTTP_INVALID_RESPONSE.log(
            logger,
            "response to %(request)s cannot be sent: %(cause)s",
            cause=error,
            request=describe(self.request),
        )
        self._server.counters.invalid_answers_count += 1
        response = error_response(500)
        if exchange.state is WAITING:
            self._prepare_response(exchange, response)
        self._response_headers = ()  # whatever they are, the access log cannot show them
        return exchange.encode(response, self._server.preamble)

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Take a group message: a long poll may wait for one."""
        self.deliver(dict(broadcast.message))

    def _take_aside(self, exchange: HttpExchange, message: dict[str, Any]) -> bool:
        """Take a message that is no part of the response; whether it is one. ResponseError."""
        if "body_window" in message:
            self._open_body_window(exchange, message["body_window"])
            return True
        if "early_hints" in message:
            self._out.write(exchange.encode_hints(message["early_hints"]))
            return True
        return False

    def _open_body_window(self, exchange: HttpExchange, window: int) -> None:
        body = self.body
        if body is None:
            return
        interim = body.open_window(window)
        if interim and exchange.state is WAITING:
            self._out.write(interim)
        if body.is_open and not self._connection.queue:
            self._connection.start_reading()

    def _prepare_response(self, exchange: HttpExchange, message: dict[str, Any]) -> None:
        connection = self._connection
        if not connection.is_left:
            connection.deadline = NEVER
        if self.body is not None and self.request is not None and not self.request.is_complete:
            # What is left of the body will not be read: nobody may take it for a request.
            exchange.keep_alive = False
        if self._http.is_last:
            exchange.keep_alive = False
        self._response_headers = message.get("headers", ())
        if "flow_channel" in message:
            self._flow = ResponseFlow(self._server, message["flow_channel"])
            if connection.is_left:
                self._flow.close()

    def _account_flow(self, message: dict[str, Any]) -> None:
        """Note what a streaming consumer sent; tell it what has gone out."""
        if self._flow is not None:
            self._flow.take(len(message.get("content", b"")), self._out.size)
        elif self._out.size > OVERRUN_FACTOR * self._http.settings.write_buffer:
            HTTP_SLOW_CLIENT.log(
                logger,
                "closing %(request)s: the client does not read",
                cause="write_buffer",
                request=describe(self.request),
            )
            self._server.counters.slow_client_lost_count += 1
            self._connection.lose()

    def report_progress(self) -> None:
        """Bytes have gone out: tell a streaming consumer."""
        if self._flow is not None:
            self._flow.report(self._out.size)

    # The end

    def break_off(self) -> None:
        """Nothing more can be written."""
        exchange = self.exchange
        assert exchange is not None
        exchange.break_off()
        self._finish(exchange)

    def _finish(self, exchange: HttpExchange) -> None:
        """The response is complete, or broken off: have the connection go on, or close."""
        http, connection = self._http, self._connection
        request, self.request = self.request, None
        self.exchange = None
        self._server.unregister(self._reply_channel)
        if self._will is not None:
            self._will = None
            self._server.wills.revoke(self._reply_channel)
        now = http.clock()
        if request is not None:
            seconds = now - request.started
            answers = self._server.answers
            answers.rows[exchange.status // 100][int(seconds * PER_SECOND).bit_length()] += 1
            answers.seconds += seconds
            if http.access_log is not None:
                self._log(request, exchange, seconds)
        if self._flow is not None or self.body is not None:
            self._clear_channels(exchange)
        if not exchange.keep_alive:
            connection.close_gracefully()
        elif connection.queue or connection.is_eof or self._out.size or http.is_last:
            connection.go_on()
        else:
            connection.deadline = now + http.keepalive

    def _clear_channels(self, exchange: HttpExchange) -> None:
        if self._flow is not None and exchange.state is DONE:
            self._flow.clear()
        if self.body is not None:
            self.body.clear()
        self._flow = self.body = None

    def _log(self, request: Request, exchange: HttpExchange, seconds: float) -> None:
        assert self._http.access_log is not None
        entry = (request, self._connection.client)
        self._http.access_log(
            entry, exchange.status, self._response_headers, exchange.content_sent, seconds
        )

    @property
    def is_endless(self) -> bool:
        """Whether it is a stream that only its server's end, or the client's, ends."""
        exchange = self.exchange
        is_streaming = exchange is not None and exchange.state is STREAMING
        return is_streaming and is_endless(self._response_headers)

    def close(self, code: int) -> None:  # noqa: ARG002 - a close code is for WebSockets
        """Cut an endless stream, whose client comes back: what was written it still gets.

        The end of its content is not written: nobody takes it for whole.
        """
        if self.is_endless:
            self.tell_gone()
            self.break_off()

    def stop(self, code: int) -> None:
        """The server stops: what was asked is still answered."""

    @property
    def started(self) -> float:
        """The time at which the request came; NEVER when there is none."""
        return NEVER if self.request is None else self.request.started

    def leave_will(self) -> None:
        """Have others tell whom it concerns that the client is gone, should this process die."""
        request = self.request
        if request is not None and self.exchange is not None:
            self._will = leave_will(
                self._server, self._reply_channel, request, self._flow, self.body, self._will
            )

    def tell_gone(self) -> None:
        """Tell whom it concerns that the client has gone."""
        self.abandon_body()
        if self._flow is not None:
            self._flow.close()
        if self.request is not None:
            tell_gone(self._server, self._reply_channel, self.request)
