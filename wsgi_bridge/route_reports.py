"""What all processes together count of each route: each reports its own to the layer's storage.

Every process that runs consumers has a value there, which it writes again when a count has changed,
and now and then in any case: REPORT_EVERY and RENEW_EVERY. Under INDEX is who has one. Whoever asks
reads them all and adds them up. Rules kept here:

- Nothing is done for a message: what is counted in any case is copied by a thread of its own.
- What a process counted is gone with it, at once if it ends well, else when its value expires:
  figures are those of the processes that run now, and begin at nothing with each.
- Times are added up as histograms, never as percentiles.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.consumers import WORKER_ROUTES_UNREPORTED
from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidName
from wsgi_bridge.histogram import Histogram, percentile_of
from wsgi_bridge.names import check_channel

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["INDEX", "RouteReporter", "Snapshot", "load_snapshots", "merge"]

logger = logging.getLogger(__name__)

#: Where the names of all reports are, and how the key of each begins.
INDEX = "wsgi-bridge.routes"
#: Seconds for which the index is kept, unless somebody joins; who misses it makes it again.
INDEX_TTL = 86400.0
#: Attempts to join the index while others do.
JOINS = 50
#: Seconds between two reports, if a count has changed.
REPORT_EVERY = 5.0
#: Seconds between two reports in any case, and for which one counts: a process that was killed is
#: in the figures for that long.
RENEW_EVERY = 15.0
#: More buckets than a time of years needs.
BUCKETS = 1000
REPORT_TTL = 2 * RENEW_EVERY + REPORT_EVERY

#: What a process has counted of each route, by its name: `RouteStatistics.snapshot` has each.
Snapshot = dict[str, dict[str, Any]]

_SUMS = ("count", "errors", "timeouts", "retries", "in_flight")


class RouteReporter:
    """Reports what ``take`` returns to a layer that processes share; to others, nothing.

    ``changes`` returns a number that is another one when something was counted.
    """

    def __init__(
        self, layer: BaseLayer, take: Callable[[], Snapshot], changes: Callable[[], int]
    ) -> None:
        #: Which report is this process's own.
        self.name = secrets.token_hex(8)
        self._layer = layer
        self._take = take
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._changes = changes
        self._reported = -1
        self._reported_at = 0.0

    def start(self) -> None:
        """Begin, in a thread of its own, unless it was stopped; idempotent."""
        if self._thread is None and not self._stopped.is_set() and is_shared(self._layer):
            self._thread = threading.Thread(target=self._run, name="route-reports", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Withdraw the report, soon; does not wait. Idempotent."""
        self._stopped.set()

    def report(self) -> None:
        """Write the report, if there is a reason. Raises ChannelLayerUnavailable."""
        changes, now = self._changes(), time.monotonic()
        if changes != self._reported or now - self._reported_at >= RENEW_EVERY:
            value = {"routes": self._take()}
            self._layer.storage.save(_key(self.name), value, ttl=REPORT_TTL)
            _join(self._layer, self.name)
            self._reported, self._reported_at = changes, now

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._attempt(self.report)
            self._stopped.wait(REPORT_EVERY)
        self._attempt(self._withdraw)

    def _withdraw(self) -> None:
        self._layer.storage.save(_key(self.name), None, ttl=REPORT_TTL)

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except ChannelLayerUnavailable:
            pass  # it says so in the log itself, or is closed with its process
        except Exception as exc:
            # The top of a supervised loop: the next report may succeed.
            WORKER_ROUTES_UNREPORTED.log(
                logger, "the figures of routes cannot be reported", cause=exc, exc_info=True
            )


def is_shared(layer: BaseLayer) -> bool:
    """Whether there are reports on a layer at all."""
    return "storage" in layer.extensions and layer.storage.is_shared


def load_snapshots(layer: BaseLayer, *, without: str = "") -> list[Snapshot]:
    """Return what was reported by every process, but that of the name ``without``.

    Raises ChannelLayerUnavailable.
    """
    if not is_shared(layer):
        return []
    names = [name for name in _index(layer)[0] if name != without]
    found = [layer.storage.load(_key(name)).value for name in names]
    return [value["routes"] for value in found if value is not None and _is_report(value)]


def merge(snapshots: Iterable[Snapshot], layer: BaseLayer) -> dict[str, dict[str, Any]]:
    """Return the figures of each route over all snapshots; see docs/reference/statistics.md.

    Asks the layer for the age of what waits; raises ChannelLayerUnavailable.
    """
    totals: dict[str, dict[str, Any]] = {}
    times: dict[str, Histogram] = {}
    channels: dict[str, set[str]] = {}
    for snapshot in snapshots:
        for name, route in snapshot.items():
            total = totals.setdefault(name, {**dict.fromkeys(_SUMS, 0), "processes": 0})
            for figure in _SUMS:
                total[figure] += route[figure]
            total["processes"] += 1
            times.setdefault(name, Counter()).update(dict(route["times"]))
            channels.setdefault(name, set()).update(route["channels"])
    ages = {
        channel: layer.channel_statistics(channel)["messages_max_age"]
        for channel in set().union(*channels.values())
    }
    for name, total in totals.items():
        total["run_time_p50"] = percentile_of(times[name], 0.50)
        total["run_time_p99"] = percentile_of(times[name], 0.99)
        total["queue_age"] = max((ages[channel] for channel in channels[name]), default=0.0)
    return totals


def _is_report(value: dict[str, Any]) -> bool:
    """Whether a value is a report as this version writes it: others may run, or anyone write."""
    routes = value.get("routes")
    return isinstance(routes, dict) and all(map(_is_route, routes.values()))


def _is_route(route: Any) -> bool:
    if not isinstance(route, dict) or not all(type(route.get(name)) is int for name in _SUMS):
        return False
    times, channels = route.get("times"), route.get("channels")
    if not isinstance(times, list) or not isinstance(channels, list):
        return False
    return all(map(_is_bucket, times)) and all(map(_is_channel, channels))


def _is_bucket(pair: Any) -> bool:
    if not isinstance(pair, list) or [*map(type, pair)] != [int, int]:
        return False
    bucket, count = pair
    is_one: bool = 0 <= bucket <= BUCKETS and count > 0
    return is_one


def _is_channel(name: Any) -> bool:
    try:
        check_channel(name)
    except InvalidName:
        return False
    return True


def _key(name: str) -> str:
    return f"{INDEX}.{name}"


def _index(layer: BaseLayer) -> tuple[list[str], int]:
    value, version = layer.storage.load(INDEX)
    names = value.get("names") if value else None
    return [each for each in names if _is_channel(each)] if type(names) is list else [], version


def _join(layer: BaseLayer, name: str) -> None:
    """Put a name into the index, and take those out whose report has expired."""
    storage = layer.storage
    for _ in range(JOINS):
        names, version = _index(layer)
        if name in names:
            return
        kept = [other for other in names if storage.load(_key(other)).value is not None]
        value = {"names": [*kept, name]}
        if storage.save(INDEX, value, ttl=INDEX_TTL, expected_version=version):
            return
