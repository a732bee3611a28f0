"""What one look at a site reads: of its layer, and of what its processes publish there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wsgi_bridge.figures import Figures, load_figures
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.layers.statistics import Statistics, no_statistics
from wsgi_bridge.route_reports import load_snapshots, merge

__all__ = ["Reading", "read"]


@dataclass(frozen=True)
class Reading:
    """What was read; `now` is of the layer's clock.

    ``routes`` are the run times and ages of `route_reports`; their counts are in ``figures``.
    """

    now: float
    figures: Figures
    layer: Statistics = field(default_factory=no_statistics)
    channels: dict[str, Statistics] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)


def read(layer: BaseLayer, *, is_brief: bool = False) -> Reading:
    """Read all of it, or only what processes publish. Raises ChannelLayerUnavailable."""
    now, figures = layer.clock(), load_figures(layer)
    if is_brief:
        return Reading(now, figures)
    return Reading(
        now,
        figures,
        layer.global_statistics(),
        layer.statistics_by_channel() if "introspection" in layer.extensions else {},
        merge(load_snapshots(layer), layer),
    )
