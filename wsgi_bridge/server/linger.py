"""Lingering close (RFC 9112 section 9.6).

A socket that is closed while the peer still sends is reset, and the reset can destroy the answer
before the peer has read it. So the server says that it will write no more, and reads what comes, into
nothing, until the peer closes too, or for LINGER_TIMEOUT.
"""

from __future__ import annotations

from typing import Any

from wsgi_bridge.server.deadlines import DeadlineQueue
from wsgi_bridge.server.outbound import Socket

# Seconds. gunicorn's own lingering close waits 2, nginx's 5.
LINGER_TIMEOUT = 2.0
_DISCARD_SIZE = 65536


class Lingerer:
    """A socket on its way out. Owns it from its creation on."""

    __slots__ = ("_deadlines", "_sock", "_watcher")

    def __init__(self, sock: Socket, watcher: Any, deadlines: DeadlineQueue[Lingerer]) -> None:
        """Take over ``sock``, whose sending side is shut, and its (stopped) read watcher."""
        self._sock = sock
        self._watcher = watcher
        self._deadlines = deadlines
        deadlines.add(self)
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

    def close(self) -> None:
        """Close the socket."""
        self._deadlines.discard(self)
        self._watcher.stop()
        self._watcher.close()
        self._sock.close()
