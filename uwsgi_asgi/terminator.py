"""The terminator: takes connections from the queue, and holds them. What a mule runs.

It runs no code of the site, and does not import it: what consumers do happens in other processes,
and neither their errors nor the site's reloads close a socket.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import msgpack
from gevent import hub
from gevent.event import Event

from uwsgi_asgi.connection import Connection
from uwsgi_asgi.events import HANDOFF_INVALID, HANDOFF_PAUSED
from uwsgi_asgi.handoff import WEBSOCKET
from uwsgi_asgi.http import HttpConnections
from uwsgi_asgi.listener import Listener
from uwsgi_asgi.runtime import Runtime
from uwsgi_asgi.stats import Exporter
from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.figures import FiguresReporter
from wsgi_bridge.figures.taking import take_all
from wsgi_bridge.layers import open_layer
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.protocols.http import HttpExchange, error_response
from wsgi_bridge.server.capacity import server_capacity
from wsgi_bridge.server.descriptors import limit_connections
from wsgi_bridge.server.linger import Lingerer
from wsgi_bridge.server.server import ProtocolServer
from wsgi_bridge.server.sockets import READ, WebSockets
from wsgi_bridge.server.stream_ends import StreamEnds
from wsgi_bridge.settings import load_settings

__all__ = ["Terminator", "run_terminator"]

logger = logging.getLogger(__name__)

# Connections taken at one wake-up. With several terminators one each, so that they share them.
MAX_TAKE = 16
# Seconds without taking when the process is out of descriptors.
TAKE_PAUSE = 0.5
# Seconds to say what was counted, at the very end: a write, unless the layer is gone.
FIGURES_SECONDS = 1.0
# Seconds between two looks at what is left while the terminator drains.
DRAIN_STEP = 0.02


class Terminator:
    """The connections of one process."""

    def __init__(self, runtime: Runtime, server: ProtocolServer) -> None:
        self.server = server
        self.sockets = WebSockets(server)
        self.http = HttpConnections(server)
        self._queue = runtime.queue
        self._take_at_once = MAX_TAKE if runtime.options.terminators == 1 else 1
        self._most = limit_connections(runtime.options.max_connections, logger, "max_connections")
        self._watcher = server.loop.io(self._queue.fileno(), READ)
        self._timer: Any = None
        self._listeners = [Listener(self, sock) for sock in runtime.listeners]

    # Life

    def start(self) -> None:
        """Begin to take connections."""
        self.server.start()
        self._take_on()

    def stop(self) -> None:
        """Take no more; close what is open, with 1012, and end streams that have no end.

        All at once, and not over some time: while uWSGI reloads nobody is served.
        """
        self._take_none()
        self.server.stop()
        StreamEnds(self.server, grace=0.0, window=0.0).look()

    def is_done(self) -> bool:
        """Whether there is no connection left."""
        return not self.server.counters.connections

    def close(self) -> None:
        """End at once, and so that nobody takes what is cut for the whole."""
        for connection in list(self.http.connections):
            connection.out.give_up()
        self._take_none()
        self._watcher.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self.server.close()

    # The queue

    def is_full(self) -> bool:
        """Whether there are as many connections as there may be; then none is taken for now."""
        if self.server.counters.connections < self._most:
            return False
        self.rest("max_connections")
        return True

    def rest(self, cause: object) -> None:
        """Leave new connections where they wait, for a moment."""
        HANDOFF_PAUSED.log(logger, "no connection is taken, they wait: %(cause)s", cause=cause)
        self._take_none()
        # A new one each time: a libev timer that has run is started again with no time left.
        if self._timer is not None:
            self._timer.close()
        self._timer = self.server.loop.timer(TAKE_PAUSE)
        self._timer.start(self._take_on)

    def _take_on(self) -> None:
        if not self.server.is_stopping:
            self._watcher.start(self._on_queue)
            for listener in self._listeners:
                listener.start()

    def _take_none(self) -> None:
        self._watcher.stop()
        for listener in self._listeners:
            listener.stop()

    def _on_queue(self) -> None:
        for _ in range(self._take_at_once):
            if self.is_full():
                return
            try:
                taken = self._queue.take()
            except OSError as exc:
                self.rest(exc)
                return
            if taken is None:
                return
            self._begin(*taken)

    def _begin(self, packet: bytes, descriptors: list[int]) -> None:
        """Own a connection, whatever it was meant for."""
        try:
            kind, message = msgpack.unpackb(packet)
            sock = Connection(self.server, descriptors[0])
            body = os.fdopen(descriptors[1], "rb", 0) if descriptors[1:] else None
        except (ValueError, IndexError, OSError) as exc:
            HANDOFF_INVALID.log(
                logger, "what came through the queue is no connection", cause=exc, exc_info=True
            )
            for descriptor in descriptors:
                os.close(descriptor)
            return
        watcher = self.server.loop.io(sock.fileno(), READ)
        if kind == WEBSOCKET:
            self.open_websocket(sock, watcher, message)
        else:
            self.http.open(sock, watcher, message, body)

    def open_websocket(
        self, sock: Connection, watcher: Any, message: dict[str, Any], rest: bytes = b""
    ) -> None:
        """Give a connection on which a handshake was read to a WebSocket's owner, or refuse it.

        ``rest``: what came behind the handshake; ``watcher``: the connection's, stopped.
        """
        method = message.pop("method")
        message["order"] = 0
        try:
            handshake = self.sockets.check_handshake(message, method)
        except HandshakeError as exc:
            self.refuse(sock, watcher, exc)
            return
        owner = self.sockets.open(sock, watcher, handshake, message)
        if rest:
            owner.resume(rest)

    def refuse(self, sock: Connection, watcher: Any, exc: HandshakeError) -> None:
        """Answer a request that is none, and close."""
        exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
        answer = error_response(exc.status, str(exc), exc.headers)
        try:
            sock.send(exchange.encode(answer, self.server.preamble))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            logger.info("a client has gone before it was refused")
        Lingerer(self.server, sock, watcher)


def run_terminator(
    runtime: Runtime, set_metric: Callable[[str, int], object] | None = None
) -> None:
    """Hold sockets until uWSGI says that it is enough; then close them.

    ``set_metric`` is uWSGI's, where its stats server shows metrics.
    """
    hub.reinit()
    _raise_limit()
    stopped = Event()
    signals = [
        gevent.signal_handler(number, stopped.set)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    ]
    terminator = Terminator(runtime, make_server(runtime))
    while not runtime.presence.enter():
        gevent.sleep(DRAIN_STEP)
    figures = publish_figures(terminator.server, set_metric)
    terminator.start()
    logger.info("holding sockets")
    stopped.wait()
    runtime.presence.retire()
    terminator.stop()
    _wait_until(terminator.is_done, runtime.options.graceful_timeout)
    terminator.close()
    figures.stop(FIGURES_SECONDS)
    terminator.server.layer.close()
    tell_suppressed(at_once=True)
    for watcher in signals:
        watcher.cancel()


def make_server(runtime: Runtime) -> ProtocolServer:
    """Return the server half of this process, on the layer that all of them share."""
    settings = load_settings({})
    url = os.environ["CHANNEL_LAYER"]
    layer = open_layer(url, channel_capacity=server_capacity(runtime.options.max_connections))
    server = ProtocolServer(layer, settings, name="uwsgi", software="uwsgi", gathers=True)
    layer.hear_with(server.watch)
    return server


def publish_figures(
    server: ProtocolServer, set_metric: Callable[[str, int], object] | None
) -> FiguresReporter:
    """Begin to publish what this process counts, and what all count to uWSGI."""
    every = server.settings.figures_interval
    layer = server.layer
    reporter = FiguresReporter(
        layer, lambda: take_all(layer, server=server), role="server", every=every
    )
    reporter.start()
    if set_metric is not None and every:
        Exporter(layer, reporter, set_metric, every=every).attach(server)
    return reporter


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not condition():
        gevent.sleep(DRAIN_STEP)


def _raise_limit() -> None:
    """Have as many descriptors as the system lets us: workers have no use for them, sockets do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
