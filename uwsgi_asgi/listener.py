"""Listener: a socket of the terminators' own, for a front end that speaks the uwsgi protocol.

    location /ws/ { include uwsgi_params; uwsgi_pass unix:/run/mysite/asgi.sock; }

What comes here touches no worker. The master makes the socket, so that it is there as long as
uWSGI is: who connects while a terminator is replaced waits in the kernel.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from uwsgi_asgi.body import MAX_INLINE
from uwsgi_asgi.connection import Connection
from uwsgi_asgi.events import LISTENER_INVALID
from uwsgi_asgi.http import HandedConnection, HandedRequest
from uwsgi_asgi.message import BadRequest, check_framing, to_message
from uwsgi_asgi.protocol import UwsgiError, UwsgiReader
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.server.server import NEVER

if TYPE_CHECKING:
    from uwsgi_asgi.terminator import Terminator

__all__ = ["Arrival", "Listener"]

logger = logging.getLogger(__name__)

READ = 1  # libev's EV_READ
READ_SIZE = 65536
# Connections accepted at one wake-up: with several terminators each has its turn.
MAX_ACCEPT = 4


class Listener:
    """Accepts for one terminator, from a socket that others may accept from too."""

    def __init__(self, terminator: Terminator, sock: socket.socket) -> None:
        self._terminator = terminator
        self._sock = sock
        self._sock.setblocking(False)
        self._watcher = terminator.server.loop.io(sock.fileno(), READ)

    def start(self) -> None:
        """Accept."""
        self._watcher.start(self._on_readable)

    def stop(self) -> None:
        """Leave what comes to others, or to whoever comes next."""
        self._watcher.stop()

    def _on_readable(self) -> None:
        for _ in range(MAX_ACCEPT):
            if self._terminator.is_full():
                return
            try:
                descriptor, _ = self._sock._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as exc:
                self._terminator.rest(exc)
                return
            Arrival(self._terminator, Connection(self._terminator.server, descriptor))


class Arrival:
    """A connection whose request is read; its owner until that is there."""

    def __init__(self, terminator: Terminator, sock: Connection) -> None:
        self._terminator = terminator
        self._sock = sock
        self._reader = UwsgiReader()
        self._message: dict[str, Any] = {}
        self._body = b""
        self._size = 0  # of the body
        server = terminator.server
        self.deadline = server.clock() + (server.settings.head_timeout or NEVER)
        self._watcher = server.loop.io(sock.fileno(), READ)
        self._watcher.start(self._on_readable)
        server.timed.add(self)

    def on_due(self) -> None:
        """It took too long."""
        self._terminator.server.counters.late_requests_count += 1
        self._refuse(HandshakeError("the request took too long to come", 408))

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave()
            self._watcher.close()
            self._sock.close()
            return
        try:
            self._take(data)
        except (UwsgiError, BadRequest) as exc:
            LISTENER_INVALID.log(
                logger, "what came through the socket for uwsgi is no request: %(cause)s", cause=exc
            )
            self._refuse(HandshakeError(str(exc), getattr(exc, "status", 400)))

    def _take(self, data: bytes) -> None:
        if self._message:
            self._body += data
        else:
            environ = self._reader.feed(data)
            if environ is None:
                return
            self._begin(environ)
        if self._message["scheme"] in ("ws", "wss"):
            self._leave()
            self._terminator.open_websocket(self._sock, self._watcher, self._message, self._body)
        elif len(self._body) >= min(self._size, MAX_INLINE):
            self._leave()
            self._hand_on()

    def _begin(self, environ: dict[str, Any]) -> None:
        """Make a message of the variables."""
        if "REQUEST_METHOD" not in environ:
            raise UwsgiError("there is no REQUEST_METHOD among the variables: include uwsgi_params")
        check_framing(environ)
        is_secure = environ.get("HTTPS", "off") not in ("", "off", "0")
        scheme = environ.get("UWSGI_SCHEME") or ("https" if is_secure else "http")
        is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit():
            raise UwsgiError(f"CONTENT_LENGTH is {length[:40]!r}, not a number")
        self._size = int(length)
        self._message = to_message(
            {**environ, "wsgi.url_scheme": scheme}, is_websocket=is_websocket
        )
        self._body = self._reader.rest

    def _hand_on(self) -> None:
        """Have the request answered; what is missing of its body comes as its reader asks."""
        message, body = self._message, self._body[: self._size]
        is_complete = len(body) == self._size
        message["body"] = body if is_complete else b""
        http = self._terminator.http
        request = HandedRequest(message, http.clock(), is_complete=is_complete)
        if is_complete:
            HandedConnection(http, self._sock, self._watcher, None).begin(request)
        else:
            BodyConnection(http, self._sock, self._watcher, body, self._size).begin(request)

    def _refuse(self, exc: HandshakeError) -> None:
        self._leave()
        self._terminator.refuse(self._sock, self._watcher, exc)

    def _leave(self) -> None:
        self._watcher.stop()
        self._terminator.server.timed.discard(self)


class BodyConnection(HandedConnection):
    """A connection that brings the rest of its request's body. ``size``: of all of it."""

    def __init__(self, http: Any, sock: Connection, watcher: Any, body: bytes, size: int) -> None:
        super().__init__(http, sock, watcher, None)
        self._first = body
        self._left = size

    def _send_body(self) -> None:
        first, self._first = self._first, b""
        if first:
            self._take(first)
        if self._left:
            self.start_reading()

    def start_reading(self) -> None:
        """Read on: the reader of the body asks for more."""
        if not self.is_eof:
            self._watcher.start(self._on_readable)

    def stop_reading(self) -> None:
        """Leave the rest to the kernel for now."""
        self._watcher.stop()

    def _on_data(self, data: bytes) -> None:
        if self._left:
            self._take(data)

    def _take(self, data: bytes) -> None:
        body = self._work.body
        part = data[: self._left]
        self._left -= len(part)
        if body is None or body.is_complete:
            return
        body.send(part)
        if not self._left:
            body.finish()
        elif not body.is_open:
            self.stop_reading()
