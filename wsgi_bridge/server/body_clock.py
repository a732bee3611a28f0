"""The least rate at which a request's body may come.

A time limit from read to read is kept by a client that sends a byte a minute; one on the whole body
is broken by honest ones with much to send. So a client has ``body_timeout`` seconds for every
``body_timeout * min_body_rate`` bytes. The clock stands while it is the reader's turn, not the
client's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer


class BodyClock:
    """Times the client that sends one body. Costs nothing until it is started.

    ``on_late`` is called in the hub, once, when the client was too slow.
    """

    __slots__ = ("_count", "_least", "_on_late", "_server", "_timeout", "deadline")

    def __init__(self, server: ProtocolServer, on_late: Callable[[], None]) -> None:
        settings = server.settings
        self._server = server
        self._on_late = on_late
        self._timeout = settings.body_timeout
        self._least = max(1, int(settings.body_timeout * settings.min_body_rate))
        self._count = 0
        self.deadline = 0.0

    def start(self) -> None:
        """It is the client's turn."""
        if self._timeout:
            self._restart()
            self._server.timed.add(self)

    def take(self, size: int) -> None:
        """Count bytes that came."""
        self._count += size
        if self._count >= self._least:
            self._restart()

    def stop(self) -> None:
        """Nothing is awaited of the client."""
        self._server.timed.discard(self)

    def on_due(self) -> None:
        """Less came than should have."""
        self.stop()
        self._server.counters.late_requests_count += 1
        self._on_late()

    def _restart(self) -> None:
        self._count = 0
        self.deadline = self._server.clock() + self._timeout
