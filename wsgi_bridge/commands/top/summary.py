"""The figures of a look: of each process, of all together, of queues and of routes.

They are what `--json` prints; docs/reference/command.md has a table of the keys. A rate, or a time,
that is not known yet is None. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from wsgi_bridge.commands.top.rates import Change, Rates, add_rows, percentile_of_row
from wsgi_bridge.commands.top.reading import Reading
from wsgi_bridge.figures import ProcessFigures
from wsgi_bridge.figures.trees import Tree

__all__ = ["summarise"]

REFUSED = (
    *("refused_full_count", "refused_address_count", "refused_handshakes_count"),
    "invalid_requests_count",
)
LATE = ("late_requests_count", "late_answers_count")
LOST = ("slow_client_lost_count", "silent_clients_count", "unacknowledged_count")
SENT = ("websocket_sent_count", "websocket_answers_count")

_ROUTE_COUNTS = ("count", "errors", "timeouts", "retries")
_ROUTE_NOW = ("in_flight", "run_time_p50", "run_time_p99", "queue_age", "processes")


def summarise(reading: Reading, rates: Rates, *, layer: str, limit: int) -> dict[str, Any]:
    """Return what is shown of a reading; of channels and routes the first ``limit``."""
    now = datetime.fromtimestamp(reading.now, timezone.utc).isoformat(timespec="milliseconds")
    return {
        "layer": layer,
        "time": now.replace("+00:00", "Z"),
        "total": _total(reading, rates.all()),
        "processes": [_process(each, rates, reading.now) for each in reading.figures.processes],
        "queues": _queues(reading, rates.all()),
        "channels": _channels(reading)[:limit],
        "routes": _routes(reading, rates.all())[:limit],
    }


def _total(reading: Reading, changes: Sequence[Change]) -> dict[str, Any]:
    figures = reading.figures
    counted = {
        name: figures.counts.get(name, 0)
        for name in ("requests_count", "websocket_connects_count", *REFUSED, *LATE, *LOST)
    }
    return {
        "processes": len(figures.processes),
        "starts": figures.starts,
        "losses": figures.losses,
        **_gauges(figures.gauges),
        **_rates(changes),
        **_sums(figures.counts),
        **counted,
    }


def _process(process: ProcessFigures, rates: Rates, now: float) -> dict[str, Any]:
    change = rates.of(process)
    return {
        "pid": process.pid,
        "host": process.host,
        "role": process.role,
        "up": max(0.0, now - process.started),
        "age": max(0.0, now - process.reported),
        **_gauges(process.gauges),
        **_rates([change] if change else []),
        **_sums(process.counts),
    }


def _gauges(gauges: Tree) -> dict[str, int]:
    return {name: gauges.get(name, 0) for name in ("connections", "websockets", "consumers")}


def _rates(changes: Sequence[Change]) -> dict[str, float | None]:
    """Return what the changes of processes come to; nothing of it is known without one."""
    answers = add_rows(change.answers() for change in changes)
    failures = [sum(change.answers("5")) / change.seconds for change in changes]
    return {
        "requests_per_second": _sum(changes, "requests_count"),
        "handshakes_per_second": _sum(changes, "websocket_connects_count"),
        "received_per_second": _sum(changes, "websocket_messages_count"),
        "sent_per_second": _sum(changes, *SENT),
        "errors_per_second": sum(failures) if changes else None,
        "time_p50": percentile_of_row(answers, 0.50),
        "time_p99": percentile_of_row(answers, 0.99),
    }


def _sum(changes: Sequence[Change], *names: str) -> float | None:
    return sum(change.rate(*names) for change in changes) if changes else None


def _sums(counts: Tree) -> dict[str, int]:
    groups = {"refused": REFUSED, "late": LATE, "lost": LOST}
    return {
        f"{group}_count": sum(counts.get(name, 0) for name in names)
        for group, names in groups.items()
    }


def _queues(reading: Reading, changes: Sequence[Change]) -> dict[str, Any]:
    """Return what the layer counts, with what goes through the processes' own memory."""
    here = reading.figures.gauges.get("layer", {})
    counts = reading.figures.counts.get("layer", {})
    total: dict[str, Any] = {**reading.layer}
    for name in total:
        if name == "messages_max_age":
            total[name] = max(total[name], here.get(name, 0.0))
        else:
            total[name] += here.get(name, 0) + counts.get(name, 0)
    total["messages_count_per_second"] += sum(
        change.counts.get("layer", {}).get("messages_count", 0) / change.seconds
        for change in changes
    )
    return total


def _channels(reading: Reading) -> list[dict[str, Any]]:
    """Return the channels on which something waits, the fullest first."""
    found = [
        {"channel": name, **figures}
        for name, figures in reading.channels.items()
        if figures["messages_pending"]
    ]
    return sorted(found, key=lambda each: (-each["messages_pending"], each["channel"]))


def _routes(reading: Reading, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return the routes that ever ran, the busiest first."""
    found: list[dict[str, Any]] = []
    for name, counts in reading.figures.counts.get("routes", {}).items():
        if not counts["count"]:
            continue
        runs = [change.counts.get("routes", {}).get(name, {}).get("count", 0) / change.seconds
                for change in changes]  # fmt: skip
        now = reading.routes.get(name, {})
        found.append(
            {
                "route": name,
                "runs_per_second": sum(runs) if changes else None,
                **{each: counts.get(each, 0) for each in _ROUTE_COUNTS},
                **{each: now.get(each) for each in _ROUTE_NOW},
            }
        )
    return sorted(found, key=lambda each: (-(each["runs_per_second"] or 0), -each["count"]))
