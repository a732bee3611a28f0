"""A client's socket in a terminator, wherever it came from."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

__all__ = ["Connection"]

# Bytes that the kernel takes for one client beyond what the client's window has room for; as in
# gunicorn_asgi.
MAX_UNSENT = 512 * 1024


class Connection(socket.socket):
    """A connection that counts as such until it is closed, whoever owns it then."""

    def __init__(self, server: ProtocolServer, descriptor: int) -> None:
        """Own ``descriptor``."""
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        self._counters = server.counters
        self._counters.connections += 1
        self._is_counted = True
        if self.family != socket.AF_UNIX:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)

    def close(self) -> None:
        """Close it."""
        if self._is_counted:
            self._is_counted = False
            self._counters.connections -= 1
        super().close()
