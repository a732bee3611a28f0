"""Pings: the heartbeat of all WebSockets of a process, from one place.

A proxy closes what is silent for a minute; a peer that has gone without a word (a phone out of
reach) is noticed by nobody else. Fifteen thousand idle sockets are pinged a hundredth at a time,
without a timer for each: a wheel of sets, one of which is due at each step.

Whatever comes from a peer shows that it is there, not only a pong. A peer that gives no sign is cut
off without a close frame: most will not get it, and those that do, late, are to reconnect, as every
client does that sees a connection break (1006), but not every one that is told 1011.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from wsgi_bridge.protocols.states import OPEN

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer
    from wsgi_bridge.server.websocket import WebSocketOwner

# Steps in which all sockets are pinged once.
STEPS = 100


class Pinger:
    """Pings the sockets that were added, each every ``ping_interval`` seconds. In the hub only."""

    def __init__(self, server: ProtocolServer, tick: float) -> None:
        """``tick``: seconds between two calls of ``on_tick``."""
        settings = server.settings
        self._clock = server.clock
        self._counters = server.counters
        self._timeout = settings.ping_timeout
        self._step = max(tick, settings.ping_interval / STEPS)
        count = max(1, round(settings.ping_interval / self._step))
        self._wheel: deque[set[WebSocketOwner]] = deque(set() for _ in range(count))
        # Those pinged in one step, and when they must have given a sign.
        self._pinged: deque[tuple[float, list[WebSocketOwner]]] = deque()
        self._next = server.clock() + self._step

    def add(self, owner: WebSocketOwner) -> set[WebSocketOwner]:
        """Ping a socket from now on; return the set to discard it from."""
        # Anywhere on the later half of the wheel: those that reconnect together are not pinged
        # together, and who has just come needs no ping.
        count = len(self._wheel)
        turn = self._wheel[random.randrange(count // 2, count)]  # noqa: S311 - nothing secret
        turn.add(owner)
        return turn

    def on_tick(self) -> None:
        """Ping those whose turn it is; give up those that have been silent for too long."""
        now = self._clock()
        while self._pinged and self._pinged[0][0] <= now:
            for owner in self._pinged.popleft()[1]:
                self._check_sign(owner, now - self._timeout)
        if now < self._next:
            return
        self._next = max(self._next + self._step, now)
        turn = self._wheel[0]
        self._wheel.rotate(-1)
        pinged = [owner for owner in list(turn) if owner.ping(now)]
        if pinged and self._timeout:
            self._pinged.append((now + self._timeout, pinged))

    def _check_sign(self, owner: WebSocketOwner, limit: float) -> None:
        """Give a client up if it was pinged at ``limit``, or before, and is silent since.

        Not one that is not read, since its consumer is slow: its pong may be there.
        """
        is_silent = 0 < owner.silent_since <= limit and owner.is_reading
        if is_silent and owner.machine.state is OPEN:
            self._counters.silent_clients_count += 1
            owner.give_up(f"no pong in {self._timeout:g} s")
