"""TlsPreface: what a proxy says of a connection in clear, before the client's TLS begins.

The header of the PROXY protocol, from peers in ``proxy_allow_ips``. As without TLS, a connection
that begins otherwise is served as it is. Nobody can be answered here: who must be refused is closed
with a warning in the log.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.connection import STOP_GRACE
from gunicorn_asgi.events import HTTP_INVALID_PROXY_HEADER
from gunicorn_asgi.proxy_protocol import ProxyHeader, check_proxy, read_proxy_header
from gunicorn_asgi.request import RequestError
from gunicorn_asgi.tls_handshake import TlsHandshake
from wsgi_bridge.server.sockets import READ

if TYPE_CHECKING:
    from gunicorn_asgi.server import ClientSocket, HttpServer

logger = logging.getLogger(__name__)

READ_SIZE = 16384


class TlsPreface:
    """The owner of a client's socket until it is known for whom it is; then a TlsHandshake is.

    Both together have ``tls_timeout``.
    """

    __slots__ = ("__weakref__", "_addresses", "_begun", "_context", "_http", "_sock", "_watcher",
                 "deadline")  # fmt: skip

    def __init__(
        self,
        http: HttpServer,
        sock: ClientSocket,
        context: ssl.SSLContext,
        client: Any,
        server: Any,
    ) -> None:
        """Own ``sock``; ``client`` and ``server`` are [address, port], None for a Unix socket."""
        self._http = http
        self._sock = sock
        self._context = context
        self._addresses = client, server
        self._begun = b""
        self._watcher = http.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)
        self.deadline = http.clock() + http.settings.tls_timeout
        http.server.timed.add(self)
        http.handshakes.add(self)

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        self._begun += data
        try:
            self._read()
        except RequestError as exc:
            client = self._addresses[0]
            address = client[0] if client else "a Unix socket"
            HTTP_INVALID_PROXY_HEADER.log(
                logger, "Invalid PROXY header from ip=%(ip)s: %(cause)s", cause=exc, ip=address
            )
            self._close()

    def _read(self) -> None:
        policy = self._http.policy
        found = read_proxy_header(self._begun, policy.proxy_protocol)
        if found is None:
            return
        header, size = found
        client = self._addresses[0]
        if size:
            check_proxy(policy, client[0] if client else None)
        self._begin(header, self._begun[size:])

    def _begin(self, header: ProxyHeader | None, rest: bytes) -> None:
        self._leave()
        self._watcher.close()
        handshake = TlsHandshake(
            self._http, self._sock, self._context, *self._addresses, header=header, early=rest
        )
        handshake.deadline = self.deadline
        if rest:
            handshake.go_on()

    def on_due(self) -> None:
        """The client had its time."""
        logger.info("a client was closed that did not begin its TLS handshake")
        self._close()

    def stop(self) -> None:
        """The server stops: a request may be on its way, but it must come soon."""
        self.deadline = min(self.deadline, self._http.clock() + STOP_GRACE)

    def _close(self) -> None:
        self._leave()
        self._watcher.close()
        self._sock.close()

    def _leave(self) -> None:
        self._watcher.stop()
        self._http.server.timed.discard(self)
        self._http.handshakes.discard(self)
