"""The way of a connection from HTTP to a WebSocket: an opening handshake, and who owns the socket.

What is behind the handshake in the same packet goes with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gunicorn_asgi.connection import HttpConnection
    from gunicorn_asgi.request import Request


def open_websocket(connection: HttpConnection, request: Request) -> None:
    """Check the opening handshake and give the socket to a WebSocket's owner.

    Raises HandshakeError; then the socket is still the connection's.
    """
    http = connection.http
    scheme = "wss" if (request.forwarded or connection.scheme) == "https" else "ws"
    message = request.to_message("", scheme, http.root_path, connection.client, connection.server)
    message["order"] = 0
    method = message.pop("method")
    del message["body"]
    handshake = http.sockets.check_handshake(message, method)
    watcher, rest = connection.detach()
    entry = None if http.access_log is None else (request, connection.client)
    owner = http.sockets.open(connection.sock, watcher, handshake, message, entry)
    if rest:
        owner.resume(rest)
