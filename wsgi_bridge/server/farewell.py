"""Farewell: what a server that stops keeps open is closed, one by one, in random order.

Their clients come back, to whoever serves then. All at once they would be a stampede: ten thousand
handshakes in the second in which the new worker has loaded the site.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Any, Protocol

from wsgi_bridge.events.server import CONNECTION_STOP_FAILED

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

logger = logging.getLogger(__name__)

# Sockets closed in a second, at least: a few are not worth a wait.
SLOWEST = 200
# Seconds between two steps.
STEP = 0.02


class Closable(Protocol):
    """A WebSocket, or an endless stream."""

    def close(self, code: int) -> None:
        """Close it, if it is still open."""


class Farewell:
    """Closes what was added in one turn of the hub, within ``window`` seconds."""

    def __init__(self, server: ProtocolServer, code: int, window: float) -> None:
        self._clock = server.clock
        self._code = code
        self._window = window
        self._owners: list[Closable] = []
        self._total = 0
        self._started = 0.0
        self._timer: Any = server.loop.timer(0, STEP)
        self._timer.start(self.step)

    def add(self, owner: Closable) -> None:
        """Close this one, too."""
        self._owners.append(owner)

    def step(self) -> None:
        """Close those that are due."""
        if not self._total:
            random.shuffle(self._owners)
            self._total, self._started = len(self._owners), self._clock()
        owners, window = self._owners, min(self._window, self._total / SLOWEST)
        elapsed = self._clock() - self._started
        left = int(self._total * (1 - elapsed / window)) if elapsed < window else 0
        while len(owners) > left:
            try:
                owners.pop().close(self._code)
            except Exception as exc:
                CONNECTION_STOP_FAILED.log(
                    logger, "a socket could not be closed", cause=exc, exc_info=True
                )
        if not owners:
            self._timer.stop()
            self._timer.close()
