"""Gauges of connections and sockets, through gunicorn's own statsd settings.

Every worker sends what all workers of its gunicorn have together, under one name, once a second.
The last one that a statsd server heard is what it shows, so it matters neither who sent it nor
whether some were lost:

- a worker's own number under that name would be replaced by the next one's;
- differences (`+1`, `-1`) never recover from one that was lost, and not every server knows them;
- a name for each worker stays in the server for ever, and each reload brings new ones.

What the others have is in memory that they share (shares.py): nobody is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gunicorn_asgi.shares import Share
    from wsgi_bridge.server.server import Counters

__all__ = ["Gauges"]

CONNECTIONS = "gunicorn.connections"
WEBSOCKETS = "gunicorn.websockets"


class Gauges:
    """What one worker sends. ``log``: gunicorn's logger, which may be one for statsd."""

    def __init__(self, log: Any, cfg: Any, share: Share, counters: Counters) -> None:
        self._gauge = getattr(log, "gauge", None) if cfg.statsd_host else None
        self._share = share
        self._counters = counters

    @property
    def are_asked_for(self) -> bool:
        """Whether gunicorn was told to send statistics, and its logger does."""
        return self._gauge is not None

    def send(self) -> None:
        """Send what there is now."""
        self._send(self._counters.connections, self._counters.websockets)

    def send_last(self) -> None:
        """Send what the others have: this process ends."""
        self._send(0, 0)

    def _send(self, connections: int, websockets: int) -> None:
        if self._gauge is not None:
            totals = self._share.tell_totals(connections, websockets)
            self._gauge(CONNECTIONS, totals.connections)
            self._gauge(WEBSOCKETS, totals.websockets)
