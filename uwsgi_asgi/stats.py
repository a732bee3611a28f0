"""What uWSGI's own stats server shows of mules and queues: metrics, set by a terminator.

All processes publish what they count to their layer (`wsgi_bridge.figures`). A terminator reads it
there, now and then, and tells uWSGI the sums: those of all mules, dead ones included, so that who
is killed takes nothing away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgi_bridge.exceptions import ChannelLayerUnavailable

if TYPE_CHECKING:
    from wsgi_bridge.figures import Figures, FiguresReporter
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.server import ProtocolServer

__all__ = ["METRICS", "Exporter", "metric_options"]

#: uWSGI's names of what there is now, and of what is only counted up, by the names of the figures.
GAUGES = {
    "connections": "asgi.connections",
    "websockets": "asgi.websockets",
    "consumers": "asgi.consumers",
}
COUNTS = {
    "requests_count": "asgi.requests",
    "websocket_connects_count": "asgi.websocket_connects",
    "websocket_messages_count": "asgi.websocket_messages",
    "websocket_sent_count": "asgi.websocket_sent",
    "refused_full_count": "asgi.refused_full",
    "slow_client_lost_count": "asgi.slow_client_lost",
    "unacknowledged_count": "asgi.unacknowledged",
}
#: Messages that wait in the layer, for whomever.
PENDING = "asgi.messages_pending"
METRICS = (*GAUGES.values(), *COUNTS.values(), PENDING)


def metric_options() -> list[str]:
    """Return the lines of ini that have uWSGI know these metrics."""
    kinds = {**dict.fromkeys(COUNTS.values(), "counter")}
    return [f"metric = name={name},type={kinds.get(name, 'gauge')}" for name in METRICS]


class Exporter:
    """Tells uWSGI, every ``every`` seconds. ``set_metric`` is `uwsgi.metric_set`."""

    def __init__(
        self,
        layer: BaseLayer,
        reporter: FiguresReporter,
        set_metric: Callable[[str, int], object],
        *,
        every: float,
    ) -> None:
        self._layer = layer
        self._reporter = reporter
        self._set = set_metric
        self._every = every
        self._due = 0.0
        self._clock: Callable[[], float] = float

    def attach(self, server: ProtocolServer) -> None:
        """Look at the clock of a server, every second."""
        self._clock = server.clock
        server.watch_slowly(self.look)

    def look(self) -> None:
        """Ask for the figures, if it is time to."""
        now = self._clock()
        if now >= self._due:
            self._due = now + self._every
            self._reporter.ask(self._tell)

    def _tell(self, figures: Figures | None) -> None:
        """Tell uWSGI; in the reporter's thread."""
        if figures is None:
            return
        for names, found in ((GAUGES, figures.gauges), (COUNTS, figures.counts)):
            for key, name in names.items():
                self._set(name, int(found.get(key, 0)))
        try:
            self._set(PENDING, self._layer.global_statistics()["messages_pending"])
        except ChannelLayerUnavailable:
            return  # it says so in the log itself
