"""The pace of one WebSocket: frames that may come in a second.

The policy holds back, it does not punish: a socket over its pace is not read until it is within it
again, and TCP slows its client down. Nobody is closed, nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

# Seconds' worth of frames that may come at once: a client that was silent has saved up so many.
BURST = 5.0


class Pace:
    """Counts the frames of one socket (the generic cell rate algorithm)."""

    __slots__ = ("_counted", "_paid_until", "_rate")

    def __init__(self, rate: int) -> None:
        """``rate``: frames a second, above 0."""
        self._rate = rate
        self._counted = 0
        self._paid_until = 0.0  # when all frames so far would have come at the rate

    def take(self, frames: int, now: float) -> float:
        """Count up to ``frames``, ever; return the seconds to wait before more are read."""
        cost = (frames - self._counted) / self._rate
        self._counted = frames
        self._paid_until = max(self._paid_until, now) + cost
        return max(0.0, self._paid_until - now - BURST)


class Pause:
    """A wait that ends with a call; as exact as the server's clock ticks."""

    __slots__ = ("_function", "_server", "deadline")

    def __init__(self, server: ProtocolServer, delay: float, function: Callable[[], None]) -> None:
        self._server = server
        self._function = function
        self.deadline = server.clock() + delay
        server.timed.add(self)

    def on_due(self) -> None:
        """Go on."""
        self._server.timed.discard(self)
        self._function()
