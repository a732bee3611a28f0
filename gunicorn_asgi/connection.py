"""An HTTP connection: one socket, its requests one after the other, their answers.

The half of a connection that faces the client: the adapter between a socket and ``RequestReader``.
The other half is ``RequestAtWork``. An idle connection is these objects and a libev watcher; there
is no greenlet. All methods run in the hub, nothing blocks.

While a response is due the socket is still read, to notice a client that goes away. Requests that
come meanwhile (pipelining) wait in a queue, and then the socket is not read on; of what the last
read has brought no more than ``max_pipelined`` are made requests at once.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.events import HTTP_INVALID_REQUEST
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import Request, RequestError
from gunicorn_asgi.upgrade import open_websocket
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.protocols.http import WAITING, HttpExchange, error_response
from wsgi_bridge.server.body_clock import BodyClock
from wsgi_bridge.server.outbound import Outbound, Socket
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


class HttpConnection:
    """The owner of one client's socket, until it closes or becomes a WebSocket."""

    __slots__ = ("__weakref__", "_body_clock", "_is_fresh", "_is_head_begun", "_is_held",
                 "_is_reading", "_reader", "_refusal", "_watcher", "_work", "client", "deadline",
                 "http", "is_eof", "is_left", "out", "queue", "scheme", "server",
                 "sock")  # fmt: skip

    def __init__(self, http: HttpServer, sock: Socket, client: Any, server: Any) -> None:
        """Own ``sock``; ``client`` and ``server`` are [address, port], None for a Unix socket."""
        self.http = http
        self.sock = sock
        self.client = client
        self.server = server
        self.scheme = "http"
        self.out = Outbound(http.loop, sock, self._on_progress, self.lose, http.stalls)
        self._reader = RequestReader(self, http.policy, client[0] if client else None)
        self._work = http.make_work(self)
        self.queue: deque[Request] | None = None  # what was asked meanwhile
        self._refusal: RequestError | None = None  # to be answered when all before it is
        self.is_eof = False  # nothing more is read from the client
        self.is_left = False  # since it sends no more
        self._is_reading = True
        self._is_held = False  # the next request, until the client has read more of its answers
        self._body_clock: BodyClock | None = None  # of a body that comes inline, but not at once
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
        if self._work.exchange is None:
            self._await_request(len(data))

    def begin_encrypted(
        self, header: ProxyHeader | None, certificate: dict[str, str] | None
    ) -> None:
        """Go on where a TLS handshake has ended.

        ``header`` is what a proxy said before it, ``certificate`` what the environ says of the
        client's; None: nothing.
        """
        self.scheme = "https"
        variables = certificate
        if header is not None:
            self.client = header.client
            variables = {**header.variables, **(certificate or {})}
        self._reader.skip_preface(variables)

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
            self._body_clock = BodyClock(self.http.server, self.on_body_late)
            self._body_clock.start()
        elif not self._is_head_begun and not self._reader.is_idle:
            self._is_head_begun = True
            self.deadline = self.http.clock() + self.http.head_timeout

    def start_reading(self) -> None:
        """Read what the client sends, unless that is over."""
        if not self._is_reading and not self.is_eof and not self.out.is_lost:
            self._is_reading = True
            self._watcher.start(self._on_readable)
            if self._reader.is_holding:
                self._read_held()

    def _read_held(self) -> None:
        """Read what came with more requests than may wait: those have had their turn."""
        try:
            size = self._reader.go_on()
        except RequestError as exc:
            self._refuse(exc)
            return
        if self._work.exchange is None:
            self._await_request(size)

    def stop_reading(self) -> None:
        """Leave what the client sends to the kernel."""
        self._is_reading = False
        self._watcher.stop()

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that cannot be read. What follows it cannot be either."""
        self.stop_reading()
        self.is_eof = True
        self._refusal = error
        if error.status != 408:  # they are counted as late
            self.http.server.counters.invalid_requests_count += 1
        if self._work.exchange is None:
            self._end()
        elif self._has_open_body:  # it is this body that is bad
            self._work.abandon_body()
            self._work.answer(error.status, reason=str(error))

    @property
    def _has_open_body(self) -> bool:
        body = self._work.body
        return body is not None and not body.is_complete

    def _end(self) -> None:
        """All that could be read is answered: say why there is no more, and close."""
        error = self._refusal
        if error is not None:
            address = self.client[0] if self.client else "a Unix socket"
            HTTP_INVALID_REQUEST.log(
                logger, "Invalid request from ip=%(ip)s: %(cause)s", cause=error, ip=address
            )
            exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
            response = error_response(error.status, str(error))
            self.out.write(exchange.encode(response, self.http.server.preamble))
        self.close_gracefully()

    def _stop_body_clock(self, clock: BodyClock) -> None:
        clock.stop()
        self._body_clock = None

    def on_body_late(self) -> None:
        """The client sends a body at less than the least rate."""
        late = RequestError(408, "the body of the request came too slowly")
        exchange = self._work.exchange
        if exchange is None:
            self._refuse(late)
        elif exchange.state is WAITING:
            self._work.abandon_body()
            self._work.answer(late.status, reason=str(late))
        else:
            self.lose()

    # Requests, as the reader finds them

    def take_request(self, request: Request) -> None:
        """Handle a request now, or after those before it."""
        if self._work.exchange is not None or self._is_held:
            self._keep(request)
            return
        http = self.http
        self._is_head_begun = self._is_fresh = False
        if self._body_clock is not None:
            self._stop_body_clock(self._body_clock)
        request.started = now = http.clock()
        self.deadline = now + http.http_timeout
        if request.is_upgrade and self.out.size:
            # The socket's next owner knows nothing of what waits: all of it goes before.
            self._keep(request)
            self._hold()
        elif request.is_upgrade:
            self._open_websocket(request)
        else:
            self._work.begin(request)

    def _keep(self, request: Request) -> None:
        self.queue = self.queue or deque()
        self.queue.append(request)
        self.stop_reading()
        if len(self.queue) >= self.http.settings.max_pipelined:
            self._reader.hold()

    def take_body(self, request: Request, data: bytes) -> None:
        """Send body bytes on, or keep them until their request's turn has come."""
        work = self._work
        if request is not work.request:
            request.parts = request.parts or []
            request.parts.append(data)
        elif work.body is not None and not work.body.is_complete:
            work.body.send(data)
            self._await_answer()
            if not work.body.is_open:
                self.stop_reading()

    def take_end(self, request: Request) -> None:
        """The body is complete."""
        work = self._work
        if request is work.request and work.body is not None and not work.body.is_complete:
            work.body.finish()
            self._await_answer()
            self.start_reading()

    def take_proxy(self, header: ProxyHeader) -> None:
        """The client is not who the socket says: a proxy speaks for it."""
        self.client = header.client

    def _await_answer(self) -> None:
        """Give the consumer its time from the latest byte of the body on."""
        exchange = self._work.exchange
        if exchange is not None and exchange.state is WAITING:
            self.deadline = self.http.clock() + self.http.http_timeout

    def _open_websocket(self, request: Request) -> None:
        try:
            open_websocket(self, request)
        except HandshakeError as exc:
            self.is_eof = True
            self.stop_reading()
            self._work.refuse(request, exc)

    def detach(self) -> tuple[Any, bytes]:
        """Give the socket away; return its (stopped) watcher, and what came behind the handshake.

        This connection is over.
        """
        self.stop_reading()
        self.is_eof = True
        self.http.connections.discard(self)
        self.http.server.timed.discard(self)
        return self._watcher, self._reader.rest

    def go_on(self) -> None:
        """Take the next request, unless the client is to read more of its answers first."""
        if self.out.size > self.http.settings.write_buffer:
            self._hold()
        elif self.queue:
            self._begin_next(self.queue)
        elif self.is_eof:
            self._end()
        elif self.http.is_last:  # the server was told to stop when the head was out
            self.close_gracefully()
        else:
            self.deadline = self.http.clock() + self.http.keepalive
            self.start_reading()

    def _hold(self) -> None:
        """Go on when the client has read more."""
        self._is_held = True
        self.deadline = NEVER
        self.stop_reading()

    def _begin_next(self, queue: deque[Request]) -> None:
        """Go on with what was asked meanwhile."""
        request = queue.popleft()
        if self.is_eof and not request.is_complete:  # its rest will never come
            self._end()
            return
        self.take_request(request)
        if not queue and (self._work.body is None or self._work.body.is_open):
            self.start_reading()

    # The end

    def on_due(self) -> None:
        """What this connection waits for did not come in time."""
        self.deadline = NEVER
        if self._work.exchange is None and self._is_reading and self._hears_more():
            return
        if self._work.exchange is not None:
            self._work.abandon_body()
            self.http.server.counters.late_answers_count += 1
            self._work.answer(504)
        elif self._is_head_begun:
            self.http.server.counters.late_requests_count += 1
            self._refuse(RequestError(408, "the request took too long to come"))
        elif not self._reader.is_idle:  # a head that began behind the last request
            self._is_head_begun = True
            left = max(0.0, self.http.head_timeout - self.http.keepalive)
            self.deadline = self.http.clock() + left
        elif not self.out.size:  # else the client is still reading the last answer
            self._close()  # idle: gunicorn's ``keepalive``

    def _hears_more(self) -> bool:
        """Read what has come in time; whether that changes what this connection waits for.

        A hub that was held up sees the clock before it sees its sockets. A request that was not
        read when its connection is closed gets a reset for an answer.
        """
        was_begun = self._is_head_begun
        self._on_readable()
        is_begun = self._is_head_begun is not was_begun
        return is_begun or self._work.exchange is not None or not self._is_reading

    def stop(self, code: int) -> None:  # noqa: ARG002 - a close code is for WebSockets
        """The server stops: answer what was asked, close at once what is kept alive and idle.

        A kept-alive client expects that at any time; one that has just connected does not, and
        its request is on the way.
        """
        if self._work.exchange is None and self._is_reading:
            self._on_readable()  # what has arrived and was not read is a request, too
        if self._work.exchange is not None or not self._is_reading:
            return
        if self._is_fresh or not self._reader.is_idle:
            self.deadline = min(self.deadline, self.http.clock() + STOP_GRACE)
        elif not self.out.size:
            self._close()
        else:
            self.close_gracefully()

    def _on_eof(self) -> None:
        """The client sends no more. Many have gone then; some only wait for their answer.

        An answer of one message is still written, a stream's consumer is told that nobody listens.
        """
        self.is_eof = self.is_left = True
        self.stop_reading()
        if self._work.exchange is not None:
            self.deadline = min(self.deadline, self.http.clock() + GONE_TIMEOUT)
            self._work.tell_gone()
        elif self.out.size:  # the rest of the last answer
            self.close_gracefully()
        else:
            self._close()

    @property
    def busy_since(self) -> float:
        """The time at which the request at work came; NEVER when there is none."""
        return self._work.started

    def leave_will(self) -> None:
        """Have others tell whom it concerns that the client is gone, should this process die."""
        self._work.leave_will()

    def _on_progress(self) -> None:
        self._work.report_progress()
        if self._is_held:
            self._end_hold()
        elif self._work.exchange is not None or self.out.size:
            return
        elif self.is_eof:
            self.close_gracefully()
        elif not self._is_head_begun:
            self.deadline = self.http.clock() + self.http.keepalive

    def _end_hold(self) -> None:
        if self.out.size <= self.http.settings.write_buffer:
            self._is_held = False
            self.go_on()

    def lose(self) -> None:
        """The client is gone, or was given up: nothing more can be written."""
        work = self._work
        self.out.close()
        if not self.is_eof:
            self.is_eof = True
            self.stop_reading()
            self._work.tell_gone()
        if work.exchange is not None:
            work.break_off()
        else:
            self._close()

    def close_gracefully(self) -> None:
        """Close when everything is written, in a way that lets the client read it."""
        self.is_eof = True
        self.stop_reading()
        if self.out.is_lost:
            self._close()
        elif not self.out.size:
            self.out.shutdown()
            self._leave()
            self.http.server.linger(self.sock, self._watcher)

    def _close(self) -> None:
        self.stop_reading()
        self._leave()
        self._watcher.close()
        self.sock.close()

    def _leave(self) -> None:
        self.out.close()
        self.queue = None
        if self._body_clock is not None:
            self._stop_body_clock(self._body_clock)
        self.http.server.timed.discard(self)
        self.http.connections.discard(self)
