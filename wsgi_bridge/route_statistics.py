"""What one process counts of each route: how often it ran, for how long, and how it ended.

Counting is on the path of every request: it may cost a tenth of a microsecond, and figures are made
when somebody asks for them. No I/O, no lock: each count has one statement that changes it, between
whose parts the interpreter does not switch threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wsgi_bridge.histogram import make_histogram

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

# Reading the clock twice costs as much as all the rest. So every run of a quiet route is timed, and
# of one that has run ALL_TIMED times, one in EACH_TIMED, a prime: no rhythm of requests fits it.
ALL_TIMED = 1000
EACH_TIMED = 31
# Times that are kept, the latest ones: 30 KB a route, and ten of them are above its p99. Log-
# spaced buckets would take a logarithm for each run, and remember last week's; they are made when
# a process reports what it counted.
KEPT = 1000


class RouteStatistics:
    """The counts of one route. ``channels`` are those it takes messages from."""

    __slots__ = ("begun", "channels", "ended", "errors", "name", "next_timed",
                 "retries", "timeouts", "times")  # fmt: skip

    def __init__(self, name: str, channels: Sequence[str]) -> None:
        self.name = name
        self.channels = tuple(channels)
        self.begun = 0
        self.ended = 0
        self.errors = 0
        self.timeouts = 0
        self.retries = 0
        #: The run that is to be timed next.
        self.next_timed = 1
        #: Seconds of the latest runs that were timed.
        self.times: deque[float] = deque(maxlen=KEPT)

    def add_time(self, seconds: float) -> None:
        """Note how long a run took."""
        self.times.append(seconds)
        self.next_timed = self.begun + (1 if self.begun < ALL_TIMED else EACH_TIMED)

    @property
    def changes(self) -> int:
        """A number that grows with every count."""
        return self.begun + self.ended + self.errors + self.timeouts + self.retries

    def counts(self) -> dict[str, int]:
        """Return what is counted."""
        return {
            "count": self.begun,
            "errors": self.errors,
            "timeouts": self.timeouts,
            "retries": self.retries,
            "in_flight": max(0, self.begun - self.ended),
        }

    def figures(self) -> dict[str, Any]:
        """Return the figures; see docs/reference/statistics.md."""
        times = sorted(self.times.copy())
        return {
            **self.counts(),
            "run_time_p50": percentile(times, 0.50),
            "run_time_p99": percentile(times, 0.99),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return what can be added to the snapshots of others: plain values, times in buckets."""
        times = make_histogram(self.times.copy())
        return {
            **self.counts(),
            "channels": list(self.channels),
            "times": [list(each) for each in sorted(times.items())],
        }


def percentile(times: Sequence[float], part: float) -> float:
    """Return the time that ``part`` of the runs did not exceed; ``times`` are sorted."""
    if not times:
        return 0.0
    # The nearest rank: the smallest that at least this part of them is not above.
    rank = -int(-part * len(times) // 1)
    return times[max(0, rank - 1)]


def report(routes: Iterable[RouteStatistics], layer: BaseLayer) -> dict[str, dict[str, Any]]:
    """Return the figures of each route by its name, with its ``queue_age``.

    That is how many seconds the oldest message on its channels has waited (Sidekiq's "latency"):
    asking the layer now is all that it costs, where a time in each message would cost every
    request. Raises ChannelLayerUnavailable.
    """
    reports: dict[str, dict[str, Any]] = {}
    ages: dict[str, float] = {}
    for route in routes:
        for channel in route.channels:
            if channel not in ages:
                ages[channel] = layer.channel_statistics(channel)["messages_max_age"]
        figures = route.figures()
        figures["queue_age"] = max((ages[channel] for channel in route.channels), default=0.0)
        reports[_unused(route.name, reports)] = figures
    return reports


def take_snapshot(routes: Iterable[RouteStatistics]) -> dict[str, dict[str, Any]]:
    """Return the snapshot of each route, by its name. Asks nobody."""
    found: dict[str, dict[str, Any]] = {}
    for route in routes:
        found[_unused(route.name, found)] = route.snapshot()
    return found


def count_routes(routes: Iterable[RouteStatistics]) -> dict[str, dict[str, int]]:
    """Return the counts of each route that only grow, by its name. Asks nobody."""
    found: dict[str, dict[str, int]] = {}
    for route in routes:
        counts = route.counts()
        del counts["in_flight"]
        found[_unused(route.name, found)] = counts
    return found


def _unused(name: str, reports: Container[str]) -> str:
    """Return the name, or for the second route that reads the same, the name and a number."""
    number, unused = 1, name
    while unused in reports:
        number += 1
        unused = f"{name} #{number}"
    return unused
