"""A site from the socket to the WSGI app and back, as a worker with --threads: all but the master.

The server is on this thread's hub; the app runs in a native thread, nothing is patched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import gevent
from gevent import socket

from gunicorn_asgi.consumers import Threads
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.server import ClientSocket, HttpServer
from wsgi_bridge import Bridge
from wsgi_bridge.server.server import ProtocolServer
from wsgi_bridge.server.wakeup import Wakeup
from wsgi_bridge.worker import Worker

PATIENCE = 20.0  # seconds for a client's reading
LOOPBACK = ["127.0.0.1", 40000], ["127.0.0.1", 8000]


class SiteRig:
    """Serves ``app`` to the clients of ``connect``; see ``Talk``."""

    def __init__(
        self, app: Any, policy: RequestPolicy | None = None, *, keepalive: float = 5
    ) -> None:
        self.app = app  # may be another for each test
        bridge = Bridge(self._serve)
        layer = bridge.open_layer()
        self.server = ProtocolServer(layer, bridge.settings)
        self.http = HttpServer(
            self.server,
            policy or RequestPolicy(),
            max_connections=1000,
            keepalive=keepalive,
            max_requests=sys.maxsize,
            on_exhausted=lambda: None,
        )
        layer.hear_with(self.server.watch)
        self.consumers = Threads(Worker(bridge, layer, Wakeup), layer, threads=1)

    def __enter__(self) -> SiteRig:
        self.server.start()
        self.consumers.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert not self.consumers.finish()
        self.server.close()

    def _serve(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)

    def connect(self) -> Any:
        """Return a client's socket."""
        ours, client = socket.socketpair()
        sock = ClientSocket(ours.family, ours.type, 0, ours.detach())
        sock.on_close = self.http.on_closed
        sock.setblocking(False)
        self.http.add_connection(sock, *LOOPBACK)
        client.settimeout(PATIENCE)
        return client

    def talk(self, pieces: Iterable[bytes]) -> bytes:
        """Send pieces, each in a turn of the hub; end sending; return all that is answered."""
        with self.connect() as client:
            try:
                for piece in pieces:
                    client.sendall(piece)
                    gevent.sleep(0)
                    gevent.sleep(0)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was refused, and the server has gone
            return b"".join(iter(lambda: client.recv(65536), b""))
