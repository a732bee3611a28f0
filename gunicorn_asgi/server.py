"""HttpServer: what the HTTP connections of one process share, and the listeners that make them."""

from __future__ import annotations

import _socket
import contextlib
import enum
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from gunicorn_asgi.addresses import REFUSAL, AddressLimit
from gunicorn_asgi.connection import HttpConnection
from gunicorn_asgi.events import CONNECTION_ACCEPT_PAUSED
from gunicorn_asgi.own_pages import OwnPagesWork, Pages
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.shares import Courtesy, Share
from gunicorn_asgi.tls_handshake import TlsHandshake
from gunicorn_asgi.tls_preface import TlsPreface
from wsgi_bridge.server.request_at_work import RequestAtWork
from wsgi_bridge.server.server import NEVER, ProtocolServer
from wsgi_bridge.server.sockets import READ, WebSockets
from wsgi_bridge.server.stalls import Stalls

logger = logging.getLogger(__name__)

# Connections accepted at one wake-up.
MAX_ACCEPT = 64
# Connections that may wait in the kernel when a server stops: gunicorn's `backlog`.
MAX_WAITING = 2048
# Seconds without accepting when the process is out of descriptors.
ACCEPT_PAUSE = 0.5
# Seconds after which being out of them is worth another line in the log.
BURST = 10.0

# Bytes that the kernel takes for one client beyond what the client's window has room for; else it
# is megabytes, of memory that all connections of the machine share. With half of this a stream on
# one machine took a quarter more CPU time; with this none.
MAX_UNSENT = 512 * 1024

_OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class ClientSocket(_socket.socket):
    """An accepted socket that counts as a connection until it is closed, whoever owns it then."""

    __slots__ = ("on_close",)
    on_close: Callable[[], None] | None

    def close(self) -> None:
        """Close it; the first time, tell who counts."""
        on_close, self.on_close = self.on_close, None
        super().close()
        if on_close is not None:
            on_close()


class HttpServer:
    """The HTTP side of a gunicorn worker. All in the hub.

    ``keepalive``: seconds between two requests of a connection, 0 for one request each.
    ``max_requests``: requests after which ``on_exhausted`` is called, once. ``tls``: what encrypts
    new connections, None for plain ones; may be set anew.
    """

    def __init__(
        self,
        server: ProtocolServer,
        policy: RequestPolicy,
        *,
        max_connections: int,
        keepalive: float,
        max_requests: int,
        on_exhausted: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.server = server
        self.policy = policy
        self.layer = server.layer
        self.settings = server.settings
        self.access_log = server.access_log
        self.clock = server.clock
        self.loop = server.loop
        self.root_path = policy.root_path
        self.sockets = WebSockets(server)
        self.connections: set[HttpConnection] = set()
        self.handshakes: set[TlsHandshake | TlsPreface] = set()
        #: Makes what does the requests of a new connection.
        self.make_work: Callable[[HttpConnection], RequestAtWork] = RequestAtWork
        self.tls = tls
        self.max_connections = max_connections
        self.is_last = not keepalive  # whether each request is the last one of its connection
        self.keepalive = keepalive
        self.head_timeout: float = self.settings.head_timeout or NEVER
        self.stalls: Stalls = Stalls(server)
        limit = self.settings.max_connections_per_address
        self._addresses = AddressLimit(limit, policy.is_proxy) if limit else None
        self.http_timeout = self.settings.http_timeout or NEVER
        self._max_requests = max_requests
        self._on_exhausted = on_exhausted
        self._listeners: list[Listener] = []
        self._share: Share | None = None
        if server.wills:
            server.watch_slowly(self._leave_wills)

    @property
    def preamble(self) -> bytes:
        """The server's own response fields."""
        return self.server.preamble

    def listen(self, sockets: Iterable[Any], share: Share | None = None) -> None:
        """Accept from gunicorn's listening sockets; ``share`` is with whom others accept, too.

        Also again, after ``stop_listening``; then with nobody.
        """
        self._share = share
        if share is not None:
            share.set_count(self.server.counters.connections)
            share.give_sign()
            self.server.watch_slowly(share.give_sign)
        self._listeners = [Listener(self, sock) for sock in sockets]

    def serve_pages(self, pages: Pages) -> None:
        """Answer these pages without a consumer, on connections that are made from now on."""
        if pages:
            self.make_work = partial(OwnPagesWork, pages)

    def has_its_share(self) -> bool:
        """Whether a sibling should have the next connection."""
        share = self._share
        return share is not None and share.is_full(self.server.counters.connections)

    def is_quiet(self, seconds: float) -> bool:
        """Whether no request has been at work for as long as that; for 0, whether none is."""
        since = self.clock() - seconds
        return all(connection.busy_since > since for connection in self.connections)

    def stop_listening(self) -> None:
        """Accept no more."""
        if self._share is not None:
            self._share.leave()
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def stop(self, *, has_successor: bool = False) -> None:
        """Accept no more, close what is idle; a response that is due is its connection's last.

        Unless it ``has_successor``, who waits in the kernel is accepted before: nobody else may.
        """
        self.is_last = True
        for listener in () if has_successor else self._listeners:
            listener.accept_waiting()
        self.stop_listening()
        for connection in list(self.connections):
            connection.stop(0)
        for handshake in list(self.handshakes):
            handshake.stop()

    def _leave_wills(self) -> None:
        for connection in list(self.connections):
            connection.leave_will()

    def count_request(self) -> bool:
        """Count a request; whether its connection may have another."""
        counters = self.server.counters
        counters.requests_count += 1
        if counters.requests_count == self._max_requests:
            self.is_last = True
            self._on_exhausted()
        return not self.is_last

    def add_connection(self, sock: ClientSocket, client: Any, address: Any) -> None:
        """Own an accepted socket."""
        if self._addresses is not None and client is not None:
            key = self._addresses.admit(client[0])
            if key is None:
                self._refuse_address(sock)
                return
            sock.on_close = partial(self._on_left, self._addresses, key)
        self.server.counters.connections += 1
        if self.tls is None:
            HttpConnection(self, sock, client, address)
        else:
            begin = TlsHandshake if self.policy.proxy_protocol == "off" else TlsPreface
            begin(self, sock, self.tls, client, address)
        if self._share is not None:
            self._share.set_count(self.server.counters.connections)
        if self.server.counters.connections >= self.max_connections:
            for listener in self._listeners:
                listener.pause(Pause.FULL)

    def _refuse_address(self, sock: ClientSocket) -> None:
        """Say why, if the kernel takes it, and waste no more on a client that has too much."""
        self.server.counters.refused_address_count += 1
        sock.on_close = None
        with contextlib.suppress(OSError):
            sock.send(REFUSAL)
        sock.close()

    def _on_left(self, addresses: AddressLimit, key: str) -> None:
        addresses.leave(key)
        self.on_closed()

    def on_closed(self) -> None:
        """A client's socket was closed: there is room for another."""
        counters = self.server.counters
        counters.connections -= 1
        if self._share is not None:
            self._share.set_count(counters.connections)
        if counters.connections == self.max_connections - 1:
            for listener in self._listeners:
                listener.resume(Pause.FULL)


class Pause(enum.Enum):
    """Why a listener does not accept for now."""

    FULL = enum.auto()  # there are as many connections as may be
    RESTING = enum.auto()  # there are no descriptors left
    COURTESY = enum.auto()  # a sibling goes first


class Listener:
    """One listening socket. A full server does not poll it: the kernel's backlog waits."""

    __slots__ = ("_address", "_courtesy", "_family", "_http", "_last_rest", "_pauses", "_sock",
                 "_timer", "_watcher")  # fmt: skip

    def __init__(self, http: HttpServer, sock: Any) -> None:
        """Accept from ``sock``, gunicorn's wrapper of a listening socket, which stays open."""
        self._http = http
        # A duplicate of our own: gunicorn's may be a patched one, and is not ours to close.
        self._sock = socket.socket(fileno=os.dup(sock.fileno()))
        self._sock.setblocking(False)
        self._bound_kernel()
        self._family = self._sock.family
        name = self._sock.getsockname()
        self._address = [name[0], name[1]] if isinstance(name, tuple) else None
        self._timer: Any = None
        self._last_rest = -BURST
        self._watcher: Any = http.loop.io(self._sock.fileno(), READ)
        self._courtesy = Courtesy(
            http.loop,
            http.has_its_share,
            pause=partial(self.pause, Pause.COURTESY),
            resume=partial(self.resume, Pause.COURTESY),
            accept=self._accept_left,
        )
        self._pauses: set[Pause] = set()
        self._watcher.start(self._on_readable)

    def _bound_kernel(self) -> None:
        """Have the kernel hold less for a client that does not read; its connections inherit it."""
        if self._sock.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)

    def pause(self, why: Pause) -> None:
        """Do not accept for now."""
        self._pauses.add(why)
        self._watcher.stop()

    def resume(self, why: Pause) -> None:
        """Accept again, unless there is another reason not to."""
        self._pauses.discard(why)
        if not self._pauses and not self._watcher.active:
            self._watcher.start(self._on_readable)

    def accept_waiting(self) -> None:
        """Accept who waits in the kernel, though a sibling might."""
        for _ in range(MAX_WAITING):
            if self._pauses - {Pause.COURTESY} or not self._accept():
                return

    def close(self) -> None:
        """Never accept again."""
        self._courtesy.close()
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()

    def _on_readable(self) -> None:
        for _ in range(MAX_ACCEPT):
            if self._courtesy.should_wait() or not self._accept() or self._pauses:
                return

    def _accept_left(self) -> bool:
        """Accept what no sibling took; whether there was something."""
        return self._pauses == {Pause.COURTESY} and self._accept()

    def _accept(self) -> bool:
        """Accept one connection; False when there is none, or none can be had."""
        try:
            fd, peer = self._sock._accept()  # type: ignore[attr-defined]
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as exc:
            if exc.errno not in _OUT_OF_RESOURCES:
                raise
            self._rest(exc)
            return False
        client = ClientSocket(self._family, socket.SOCK_STREAM, 0, fd)
        client.on_close = self._http.on_closed
        client.setblocking(False)
        address = [peer[0], peer[1]] if isinstance(peer, tuple) else None
        self._http.add_connection(client, address, self._address)
        return True

    def _rest(self, exc: OSError) -> None:
        """Out of descriptors: open connections go on, new ones wait in the backlog.

        Said once in a burst, whose end is that it did not happen for some time.
        """
        now = self._http.clock()
        if now >= self._last_rest + BURST:
            CONNECTION_ACCEPT_PAUSED.log(
                logger, "no connection can be accepted, they wait: %(cause)s", cause=exc
            )
        self._last_rest = now
        self.pause(Pause.RESTING)
        # A new one each time: a libev timer that has run is started again with no time left.
        if self._timer is not None:
            self._timer.close()
        self._timer = self._http.loop.timer(ACCEPT_PAUSE)
        self._timer.start(self.resume, Pause.RESTING)
