"""The TLS handshake: an accepted socket's way to its first request.

Nothing blocks, all in the hub. A client that says nothing has ``tls_timeout`` seconds.
"""

from __future__ import annotations

import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.client_certificate import describe_client
from gunicorn_asgi.connection import STOP_GRACE, HttpConnection
from gunicorn_asgi.events import TLS_HANDSHAKE_FAILED
from wsgi_bridge.protocols.http import HttpExchange, error_response
from wsgi_bridge.server.outbound import WRITE
from wsgi_bridge.server.sockets import READ
from wsgi_bridge.server.tls import TlsSocket

if TYPE_CHECKING:
    from gunicorn_asgi.proxy_protocol import ProxyHeader
    from gunicorn_asgi.server import ClientSocket, HttpServer

logger = logging.getLogger(__name__)

PLAIN = "this port speaks HTTPS: a plain HTTP request was sent to it"


class TlsHandshake:
    """The owner of a client's socket until it is encrypted; then an HttpConnection is."""

    __slots__ = ("__weakref__", "_addresses", "_header", "_http", "_plain", "_reading",
                 "_sock", "_writing", "deadline")  # fmt: skip

    def __init__(
        self,
        http: HttpServer,
        sock: ClientSocket,
        context: ssl.SSLContext,
        client: Any,
        server: Any,
        *,
        header: ProxyHeader | None = None,
        early: bytes = b"",
    ) -> None:
        """Own ``sock``; ``client`` and ``server`` are [address, port], None for a Unix socket.

        ``header`` is what a proxy said first, ``early`` what came with that.
        """
        self._http = http
        self._plain = sock
        self._sock = TlsSocket(sock, context, early)
        self._addresses = client, server
        self._header = header
        self._reading = http.loop.io(sock.fileno(), READ)
        self._reading.start(self.go_on)
        self._writing: Any = None
        self.deadline = http.clock() + http.settings.tls_timeout
        http.server.timed.add(self)
        http.handshakes.add(self)

    def go_on(self) -> None:
        """Go on with the handshake, with what has come."""
        try:
            is_done = self._sock.handshake()
        except ssl.SSLError as exc:
            self._refuse(exc)
        except OSError:
            self._close()
        else:
            self._write_on() if self._sock.has_unsent else self._stop_writing()
            if is_done:
                self._begin()

    def _write_on(self) -> None:
        """The kernel did not take all of our certificates at once."""
        if self._writing is None:
            self._writing = self._http.loop.io(self._plain.fileno(), WRITE)
            self._writing.start(self.go_on)

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.stop()
            self._writing.close()
            self._writing = None

    def _begin(self) -> None:
        self._leave()
        self._reading.close()
        connection = HttpConnection(self._http, self._sock, *self._addresses)
        certificate = describe_client(self._sock.tls)
        connection.begin_encrypted(self._header, certificate)
        if self._http.server.is_stopping:
            connection.stop(0)
        elif self._sock.has_input:  # a request came with the last of the handshake
            connection.resume()

    def _refuse(self, error: ssl.SSLError) -> None:
        """Say what was wrong, if there is somebody to be told, and close."""
        if isinstance(error, ssl.SSLEOFError):
            self._close()
            return
        client = self._addresses[0] if self._header is None else self._header.client
        address = client[0] if client else "a Unix socket"
        TLS_HANDSHAKE_FAILED.log(
            logger,
            "TLS handshake with ip=%(ip)s failed: %(cause)s",
            cause=error.reason or error,
            ip=address,
        )
        self._leave()
        try:
            if error.reason == "HTTP_REQUEST":
                exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
                answer = exchange.encode(error_response(400, PLAIN), self._http.preamble)
                self._plain.send(answer)
            self._plain.shutdown(socket.SHUT_WR)
        except OSError:
            self._reading.close()
            self._plain.close()
            return
        self._http.server.linger(self._plain, self._reading)  # an alert or an answer is under way

    def on_due(self) -> None:
        """The client had its time."""
        logger.info("a client was closed that took too long for its TLS handshake")
        self._close()

    def stop(self) -> None:
        """The server stops: a request may be on its way, but it must come soon."""
        self.deadline = min(self.deadline, self._http.clock() + STOP_GRACE)

    def _close(self) -> None:
        self._leave()
        self._reading.close()
        self._sock.close()

    def _leave(self) -> None:
        self._stop_writing()
        self._reading.stop()
        self._http.server.timed.discard(self)
        self._http.handshakes.discard(self)
