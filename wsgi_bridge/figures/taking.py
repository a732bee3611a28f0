"""What a process publishes of its parts: its server, its consumers, its own queues."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures.trees import Taken, Tree
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.layers.memory import MemoryLayer

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.server import ProtocolServer
    from wsgi_bridge.worker import Worker

__all__ = ["take_all"]

_LAYER_GAUGES = ("messages_pending", "messages_max_age")
_LAYER_COUNTS = (
    *("messages_count", "channel_full_count", "messages_expired_count"),
    *("group_messages_lost_count", "messages_undecodable_count"),
)


def take_all(
    layer: BaseLayer,
    *,
    server: ProtocolServer | None = None,
    worker: Worker | None = None,
    running: int = 0,
) -> Taken:
    """Return what a process has counted; ``running``: consumers at work in it now.

    Asks no layer but one in memory.
    """
    counts: Tree = {}
    gauges: Tree = {}
    if server is not None:
        counters = dataclasses.asdict(server.counters)
        gauges |= {name: counters.pop(name) for name in ("connections", "websockets")}
        counts |= counters
        counts["answers"] = server.answers.histograms()
        counts["request_seconds"] = server.answers.seconds
    if worker is not None:
        counts["routes"] = worker.route_counts()
        gauges["consumers"] = running
    counts["layer"], gauges["layer"] = _take_queues(layer)
    return Taken(counts, gauges)


def _take_queues(layer: BaseLayer) -> tuple[Tree, Tree]:
    """Return what the queues in this process's own memory count."""
    own = layer.local if isinstance(layer, LocalFirstLayer) else layer
    if not isinstance(own, MemoryLayer):
        return {}, {}
    try:
        figures: Tree = {**own.global_statistics()}
    except ChannelLayerUnavailable:  # it is closed
        return {}, {}
    return {n: figures[n] for n in _LAYER_COUNTS}, {n: figures[n] for n in _LAYER_GAUGES}
