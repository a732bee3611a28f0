"""An HTTP connection: one socket, its requests one after the other, their answers.

The adapter between a socket, ``RequestReader``, ``HttpExchange`` and the layer. An idle connection
is this object and a libev watcher; there is no greenlet. All methods run in the hub, nothing
blocks.

While a response is due the socket is still read, to notice a client that goes away; requests that
come meanwhile (pipelining) wait in a queue, and then the socket is not read on.
"""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.left_requests import Concerned, describe, leave_will, tell_gone
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import Request, RequestError
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
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
from wsgi_bridge.server.body_clock import BodyClock
from wsgi_bridge.server.outbound import Outbound, Socket
from wsgi_bridge.server.request_body import RequestBody
from wsgi_bridge.server.response_flow import ResponseFlow
from wsgi_bridge.server.server import NEVER

if TYPE_CHECKING:
    from gunicorn_asgi.proxy_protocol import ProxyHeader
    from gunicorn_asgi.server import HttpServer

logger = logging.getLogger(__name__)

READ_SIZE = 65536
READ = 1  # libev's EV_READ
# Seconds that an answer is awaited for a client that sends no more: most have gone. nginx's
# `proxy_ignore_client_abort off` waits for none.
GONE_TIMEOUT = 10.0
# Seconds that a stopping server waits for a request that may be on its way: some round trips.
STOP_GRACE = 0.5
# A consumer that streams without a flow channel may run this many write buffers ahead.
OVERRUN_FACTOR = 4


class HttpConnection:
    """The owner of one client's socket, until it closes or becomes a WebSocket."""

    __slots__ = ("__weakref__", "_body", "_body_clock", "_exchange", "_flow", "_is_eof",
                 "_is_fresh", "_is_head_begun", "_is_held", "_is_reading", "_queue", "_reader",
                 "_refusal",
                 "_reply_channel", "_request", "_response_headers", "_watcher", "_will",
                 "client", "deadline", "http", "out", "scheme", "server",
                 "sock")  # fmt: skip

    def __init__(self, http: HttpServer, sock: Socket, client: Any, server: Any) -> None:
        """Own ``sock``; ``client`` and ``server`` are [address, port], None for a Unix socket."""
        self.http = http
        self.sock = sock
        self.client = client
        self.server = server
        self.scheme = "http"
        self.out = Outbound(http.loop, sock, self._on_progress, self._on_lost, http.stalls)
        self._reader = RequestReader(self, http.policy, client[0] if client else None)
        self._request: Request | None = None
        self._exchange: HttpExchange | None = None
        self._reply_channel = ""
        self._queue: deque[Request] | None = None
        self._refusal: RequestError | None = None  # to be answered when all before it is
        self._is_eof = False  # nothing more is read from the client
        self._is_reading = True
        self._is_held = False  # the next request, until the client has read more of its answers
        self._body: RequestBody | None = None  # of a request that does not come as a whole
        self._body_clock: BodyClock | None = None  # of a request that does, but not at once
        self._flow: ResponseFlow | None = None  # of a response that does not
        self._response_headers: Any = ()
        # Channels that others close should this process die; None if no will was left.
        self._will: Concerned | None = None
        self._watcher = http.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)
        self._is_head_begun = False
        self._is_fresh = True  # no request was read yet
        self.deadline = http.clock() + http.head_timeout
        http.server.timed.add(self)
        http.connections.add(self)

    # Reading

    def _on_readable(self) -> None:
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._on_eof()
            return
        try:
            self._reader.feed(data)
        except RequestError as exc:
            self._refuse(exc)
            return
        if self._exchange is None:
            self._await_request(len(data))
        elif self._queue or (self._body is not None and not self._body.is_open):
            self._stop_reading()

    def resume(self) -> None:
        """Read what had come when this connection began, and is not in the kernel."""
        self._on_readable()

    def _await_request(self, size: int) -> None:
        """Time a request's head from its first byte on: absolutely, not from read to read."""
        if self._body_clock is not None:
            self._body_clock.take(size)
        elif self._reader.is_in_body:  # a short one, which comes with its request
            self._is_head_begun = True
            self.deadline = NEVER
            self._body_clock = BodyClock(self.http.server, self._on_body_late)
            self._body_clock.start()
        elif not self._is_head_begun and not self._reader.is_idle:
            self._is_head_begun = True
            self.deadline = self.http.clock() + self.http.head_timeout

    def _start_reading(self) -> None:
        if not self._is_reading and not self._is_eof and not self.out.is_lost:
            self._is_reading = True
            self._watcher.start(self._on_readable)

    def _stop_reading(self) -> None:
        self._is_reading = False
        self._watcher.stop()

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that cannot be read. What follows it cannot be either."""
        self._stop_reading()
        self._is_eof = True
        self._refusal = error
        if self._exchange is None:
            self._end()
        elif self._body is not None and not self._body.is_complete:  # it is this body that is bad
            self._abandon_body()
            self._answer(error.status, reason=str(error))

    def _end(self) -> None:
        """All that could be read is answered: say why there is no more, and close."""
        error = self._refusal
        if error is not None:
            address = self.client[0] if self.client else "a Unix socket"
            logger.warning("Invalid request from ip=%s: %s", address, error)
            exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
            response = error_response(error.status, str(error))
            self.out.write(exchange.encode(response, self.http.server.preamble))
        self._close_gracefully()

    def _stop_body_clock(self, clock: BodyClock) -> None:
        clock.stop()
        self._body_clock = None

    def _on_body_late(self) -> None:
        late = RequestError(408, "the body of the request came too slowly")
        if self._exchange is None:
            self._refuse(late)
        elif self._exchange.state is WAITING:
            self._abandon_body()
            self._answer(late.status, reason=str(late))
        else:
            self._on_lost()

    # Requests, as the reader finds them

    def take_request(self, request: Request) -> None:
        """Handle a request now, or after those before it."""
        if self._exchange is not None or self._queue:
            self._queue = self._queue or deque()
            if len(self._queue) >= self.http.settings.max_pipelined:
                raise RequestError(429, "too many requests at once")
            self._queue.append(request)
        else:
            self._begin(request)

    def take_body(self, request: Request, data: bytes) -> None:
        """Send body bytes on, or keep them until their request's turn has come."""
        if request is not self._request:
            request.parts = request.parts or []
            request.parts.append(data)
            return
        if self._body is not None and not self._body.is_complete:
            self._body.send(data)
            self._await_answer()

    def take_end(self, request: Request) -> None:
        """The body is complete."""
        if request is self._request and self._body is not None and not self._body.is_complete:
            self._body.finish()
            self._await_answer()
            self._start_reading()

    def take_proxy(self, header: ProxyHeader) -> None:
        """The client is not who the socket says: a proxy speaks for it."""
        self.client = header.client

    def _await_answer(self) -> None:
        """Give the consumer its time from the latest byte of the body on."""
        if self._exchange is not None and self._exchange.state is WAITING:
            self.deadline = self.http.clock() + self.http.http_timeout

    def _begin(self, request: Request) -> None:
        http = self.http
        self._request = request
        self._is_head_begun = self._is_fresh = False
        if self._body_clock is not None:
            self._stop_body_clock(self._body_clock)
        request.started = now = http.clock()
        self.deadline = now + http.http_timeout
        if request.is_upgrade:
            self._open_websocket(request)
            return
        keep_alive = http.count_request() and request.keep_alive
        kind = EXCHANGES.get(request.method, HttpExchange)
        self._exchange = kind(request.method == "HEAD", request.version == "1.0", keep_alive)
        self._reply_channel = http.server.register(self)
        scheme = request.forwarded or self.scheme
        message = request.to_message(
            self._reply_channel, scheme, http.root_path, self.client, self.server
        )
        if not request.is_complete:
            self._body = RequestBody(http.server, request.expects_continue, self._on_body_late)
            message["body_channel"] = self._body.channel
            if not self._body.is_open:
                self._stop_reading()
        if http.server.gathers:
            http.server.post("http.request", message, partial(self._settle_request, message))
            return
        try:
            http.layer.hand_over("http.request", message)
        except ChannelFull:
            # Once more, when the workers of this process had their turn: a burst is no overload.
            http.loop.run_callback(self._send_again, message)
        except ChannelLayerUnavailable:
            self._answer_unavailable()

    def _settle_request(self, message: dict[str, Any], refusal: ChannelLayerError | None) -> None:
        """Learn what became of a posted request."""
        is_due = message["reply_channel"] == self._reply_channel and self._exchange is not None
        if refusal is not None and is_due:
            self._answer_unavailable()

    def _send_again(self, message: dict[str, Any]) -> None:
        if message["reply_channel"] != self._reply_channel or self._exchange is None:
            return
        try:
            self.http.layer.hand_over("http.request", message)
        except (ChannelFull, ChannelLayerUnavailable):
            self._answer_unavailable()

    def _answer_unavailable(self) -> None:
        self.http.server.counters.refused_full_count += 1
        self._answer(503, [(b"Retry-After", b"1")])

    def _answer(self, status: int, headers: Any = (), reason: str = "") -> None:
        """Answer with a status of the server's own, and close."""
        if self._exchange is not None:
            self._exchange.keep_alive = False
            self.deliver(error_response(status, reason, headers))

    # Replies

    def deliver(self, message: dict[str, Any]) -> None:
        """Take one message from the reply channel."""
        exchange = self._exchange
        if exchange is None:
            return
        if "status" not in message and self._take_aside(exchange, message):
            return
        if exchange.state is WAITING:
            self._prepare_response(exchange, message)
        try:
            data = exchange.encode(message, self.http.server.preamble)
        except ResponseError as exc:
            logger.error("response to %s cannot be sent: %s", describe(self._request), exc)
            self.http.server.counters.invalid_answers_count += 1
            self._response_headers = ()  # whatever they are, the access log cannot show them
            data = exchange.encode(error_response(500), self.http.server.preamble)
        if data and not self.out.write(data):
            self._on_lost()
        elif exchange.state is STREAMING:
            self._account_flow(message)
        else:
            self._finish(exchange)

    def _take_aside(self, exchange: HttpExchange, message: dict[str, Any]) -> bool:
        """Take a message that is no part of the response; whether it is one."""
        if "body_window" in message:
            self._open_body_window(exchange, message["body_window"])
            return True
        if "early_hints" in message:
            self.out.write(exchange.encode_hints(message["early_hints"]))
            return True
        return False

    def _open_body_window(self, exchange: HttpExchange, window: int) -> None:
        body = self._body
        if body is None:
            return
        interim = body.open_window(window)
        if interim and exchange.state is WAITING:
            self.out.write(interim)
        if body.is_open and not self._queue:
            self._start_reading()

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Take a group message: a long poll may wait for one."""
        self.deliver(dict(broadcast.message))

    def _prepare_response(self, exchange: HttpExchange, message: dict[str, Any]) -> None:
        if not self._is_eof or self._refusal is not None:
            self.deadline = NEVER
        request = self._request
        if request is not None and not request.is_complete:
            # What is left of the body will not be read: nobody may take it for a request.
            exchange.keep_alive = False
        if self.http.is_last:
            exchange.keep_alive = False
        self._response_headers = message.get("headers", ())
        if "flow_channel" in message:
            self._flow = ResponseFlow(self.http.server, message["flow_channel"])
            if self._is_eof and self._refusal is None:
                self._flow.close()

    def _account_flow(self, message: dict[str, Any]) -> None:
        """Note what a streaming consumer sent; tell it what has gone out."""
        if self._flow is not None:
            self._flow.take(len(message.get("content", b"")), self.out.size)
        elif self.out.size > OVERRUN_FACTOR * self.http.settings.write_buffer:
            logger.warning("closing %s: the client does not read", describe(self._request))
            self.http.server.counters.slow_client_lost_count += 1
            self._on_lost()

    def _finish(self, exchange: HttpExchange) -> None:
        """The response is complete, or broken off: go on to the next request, or close."""
        http = self.http
        request, self._request = self._request, None
        self._exchange = None
        http.server.unregister(self._reply_channel)
        if self._will is not None:
            self._will = None
            http.server.wills.revoke(self._reply_channel)
        self._reply_channel = ""
        if http.access_log is not None and request is not None:
            self._log(request, exchange)
        if self._flow is not None or self._body is not None:
            self._clear_channels(exchange)
        if not exchange.keep_alive:
            self._close_gracefully()
        elif self._queue or self._is_eof or self.out.size:
            self._go_on()
        else:
            self.deadline = http.clock() + http.keepalive

    def _go_on(self) -> None:
        """Take the next request, unless the client is to read more of its answers first."""
        if self.out.size > self.http.settings.write_buffer:
            self._is_held = True
            self.deadline = NEVER
            self._stop_reading()
        elif self._queue:
            self._begin_next(self._queue)
        elif self._is_eof:
            self._end()
        else:
            self.deadline = self.http.clock() + self.http.keepalive
            self._start_reading()

    def _begin_next(self, queue: deque[Request]) -> None:
        """Go on with what was asked meanwhile."""
        request = queue.popleft()
        if self._is_eof and not request.is_complete:  # its rest will never come
            self._end()
            return
        self._begin(request)
        if not queue and (self._body is None or self._body.is_open):
            self._start_reading()

    def _clear_channels(self, exchange: HttpExchange) -> None:
        if self._flow is not None and exchange.state is DONE:
            self._flow.clear()
        if self._body is not None:
            self._body.clear()
        self._flow = self._body = None

    def _log(self, request: Request, exchange: HttpExchange) -> None:
        assert self.http.access_log is not None
        seconds = self.http.clock() - request.started
        entry = (request, self.client)
        self.http.access_log(
            entry, exchange.status, self._response_headers, exchange.content_sent, seconds
        )

    # WebSocket

    def _open_websocket(self, request: Request) -> None:
        """Check the opening handshake and give the socket to a WebSocket's owner."""
        http = self.http
        scheme = "wss" if (request.forwarded or self.scheme) == "https" else "ws"
        message = request.to_message("", scheme, http.root_path, self.client, self.server)
        message["order"] = 0
        method = message.pop("method")
        del message["body"]
        try:
            handshake = http.sockets.check_handshake(message, method)
        except HandshakeError as exc:
            self._exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
            self._is_eof = True
            self._stop_reading()
            self.deliver(error_response(exc.status, str(exc), exc.headers))
            return
        rest = self._reader.rest
        self._stop_reading()
        self._is_eof = True  # of this connection: the socket is another's now
        http.connections.discard(self)
        http.server.timed.discard(self)
        entry = None if http.access_log is None else (request, self.client)
        owner = http.sockets.open(self.sock, self._watcher, handshake, message, entry)
        if rest:
            owner.resume(rest)

    # The end

    def on_due(self) -> None:
        """What this connection waits for did not come in time."""
        self.deadline = NEVER
        if self._exchange is not None:
            self._abandon_body()
            self._answer(504)
        elif self._is_head_begun:
            self.http.server.counters.late_requests_count += 1
            self._refuse(RequestError(408, "the request took too long to come"))
        elif not self._reader.is_idle:  # a head that began behind the last request
            self._is_head_begun = True
            left = max(0.0, self.http.head_timeout - self.http.keepalive)
            self.deadline = self.http.clock() + left
        elif not self.out.size:  # else the client is still reading the last answer
            self._close()  # idle: gunicorn's ``keepalive``

    def stop(self, code: int) -> None:  # noqa: ARG002 - a close code is for WebSockets
        """The server stops: answer what was asked, close at once what is kept alive and idle.

        A kept-alive client expects that at any time; one that has just connected does not, and
        its request is on the way.
        """
        if self._exchange is None and self._is_reading:
            self._on_readable()  # what has arrived and was not read is a request, too
        if self._exchange is not None or not self._is_reading:
            return
        if self._is_fresh or not self._reader.is_idle:
            self.deadline = min(self.deadline, self.http.clock() + STOP_GRACE)
        elif not self.out.size:
            self._close()
        else:
            self._close_gracefully()

    def _on_eof(self) -> None:
        """The client sends no more. Many have gone then; some only wait for their answer.

        An answer of one message is still written, a stream's consumer is told that nobody listens.
        """
        self._is_eof = True
        self._stop_reading()
        if self._exchange is not None:
            self.deadline = min(self.deadline, self.http.clock() + GONE_TIMEOUT)
            self._tell_gone()
        elif self.out.size:  # the rest of the last answer
            self._close_gracefully()
        else:
            self._close()

    @property
    def busy_since(self) -> float:
        """The time at which the request at work came; NEVER when there is none."""
        return NEVER if self._request is None else self._request.started

    def leave_will(self) -> None:
        """Have others tell whom it concerns that the client is gone, should this process die."""
        request = self._request
        if request is not None and self._exchange is not None:
            self._will = leave_will(
                self.http.server, self._reply_channel, request, self._flow, self._body, self._will
            )

    def _abandon_body(self) -> None:
        if self._body is not None:
            self._body.abandon()

    def _tell_gone(self) -> None:
        self._abandon_body()
        if self._flow is not None:
            self._flow.close()
        if self._request is not None:
            tell_gone(self.http.server, self._reply_channel, self._request)

    def _on_progress(self) -> None:
        if self._flow is not None:
            self._flow.report(self.out.size)
        if self._is_held:
            self._end_hold()
        elif self._exchange is not None or self.out.size:
            return
        elif self._is_eof:
            self._close_gracefully()
        elif not self._is_head_begun:
            self.deadline = self.http.clock() + self.http.keepalive

    def _end_hold(self) -> None:
        if self.out.size <= self.http.settings.write_buffer:
            self._is_held = False
            self._go_on()

    def _on_lost(self) -> None:
        """The client is gone, or was given up: nothing more can be written."""
        exchange = self._exchange
        self.out.close()
        if not self._is_eof:
            self._is_eof = True
            self._stop_reading()
            self._tell_gone()
        if exchange is not None:
            exchange.break_off()
            self._finish(exchange)
        else:
            self._close()

    def _close_gracefully(self) -> None:
        """Close when everything is written, in a way that lets the client read it."""
        self._is_eof = True
        self._stop_reading()
        if self.out.is_lost:
            self._close()
        elif not self.out.size:
            self.out.shutdown()
            self._leave()
            self.http.server.linger(self.sock, self._watcher)

    def _close(self) -> None:
        self._stop_reading()
        self._leave()
        self._watcher.close()
        self.sock.close()

    def _leave(self) -> None:
        self.out.close()
        self._queue = None
        if self._body_clock is not None:
            self._stop_body_clock(self._body_clock)
        self.http.server.timed.discard(self)
        self.http.connections.discard(self)
