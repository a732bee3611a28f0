"""The hijack convention: a WSGI app that takes the socket for itself.

Under gunicorn an app finds the raw socket in ``environ["gunicorn.socket"]`` and, when it has talked
over it, raises StopIteration out of its callable. flask-sock (simple-websocket) and others do this
for WebSockets. Here the socket belongs to a connection on the hub until the app touches it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import socket

from wsgi_bridge.protocols.websocket import CONNECTING
from wsgi_bridge.server.websocket import WebSocketOwner


class HijackedSocket(socket.socket):
    """The app's own socket. Bytes that came in one packet with the handshake are read first."""

    early = b""

    def recv(self, size: int, *flags: int) -> bytes:
        """Return up to ``size`` bytes."""
        early = self.early
        if not early:
            return bytes(super().recv(size, *flags))
        self.early = early[size:]
        return early[:size]

    def recv_into(self, buffer: Any, size: int = 0, *flags: int) -> int:
        """Read up to ``size`` bytes into ``buffer``; return how many."""
        if not self.early:
            return int(super().recv_into(buffer, size, *flags))
        data = self.recv(size or len(buffer))
        buffer[: len(data)] = data
        return len(data)


class LazySocket:
    """Stands for the socket of a held opening handshake; touching it takes it.

    ``is_taken`` says whether an app did. From then on it behaves as the (gevent) socket it has
    become, and the connection is the app's alone. To be used in a greenlet, not in the hub.
    """

    def __init__(self, owner: WebSocketOwner) -> None:
        self._owner = owner
        self._taken: HijackedSocket | None = None
        self._on_close: Callable[[], None] | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the app has taken the socket."""
        return self._taken is not None

    def __getattr__(self, name: str) -> Any:
        if self._taken is None:
            self._taken = self._take()
        return getattr(self._taken, name)

    def _take(self) -> HijackedSocket:
        owner = self._owner
        if owner.machine.state is not CONNECTING:
            raise ConnectionAbortedError("the client has gone, or its handshake was answered")
        raw = owner.detach()
        self._on_close, raw.on_close = raw.on_close, None
        taken = HijackedSocket(raw.family, raw.type, raw.proto, fileno=raw.detach())
        taken.early = owner.machine.take_unread()
        taken.setblocking(True)
        return taken

    def finish(self) -> None:
        """Close the socket, which the app is done with, and log the connection."""
        if self._taken is None:
            return
        self._taken.close()
        owner = self._owner
        owner.machine.status = 101
        owner.sockets.on_closed(owner)
        if self._on_close is not None:
            self._on_close()
