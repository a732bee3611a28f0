"""Lingering close (RFC 9112 section 9.6).

A socket that is closed while the peer still sends is reset, and the reset can destroy the answer
before the peer has read it. So the server says that it will write no more, and reads what comes,
into nothing, until the peer closes too, or for LINGER_TIMEOUT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.server.outbound import Socket

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

# Seconds. gunicorn's own lingering close waits 2, nginx's 5.
LINGER_TIMEOUT = 2.0
_DISCARD_SIZE = 65536


class Lingerer:
    """A socket on its way out. Owns it from its creation on."""

    __slots__ = ("_server", "_sock", "_watcher", "deadline")

    def __init__(self, server: ProtocolServer, sock: Socket, watcher: Any) -> None:
        """Take over ``sock``, whose sending side is shut, and its (stopped) read watcher."""
        self._server = server
        self._sock = sock
        self._watcher = watcher
        self.deadline = server.clock() + LINGER_TIMEOUT
        server.timed.add(self)
        watcher.start(self._on_readable)

    def _on_readable(self) -> None:
        try:
            if self._sock.recv(_DISCARD_SIZE):
                return
        except BlockingIOError:
            return
        except OSError:
            # A reset is an end as good as any here.
            self.close()
            return
        self.close()

    def on_due(self) -> None:
        """The peer had its time."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._server.timed.discard(self)
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
