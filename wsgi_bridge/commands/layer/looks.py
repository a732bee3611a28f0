"""What looks at a layer and changes nothing: `stats`, `channels`, `groups`, `routes`, `delays`."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Mapping
from typing import Any

from wsgi_bridge.commands.errors import CommandError
from wsgi_bridge.commands.opening import is_any_ipc, opened, urls_of_ipc
from wsgi_bridge.commands.tables import Shown, Table, Watched, show, watch
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.route_reports import is_shared, load_snapshots, merge

__all__ = ["EPILOGS", "channel_table", "channels", "delays", "groups", "routes", "stats"]

EPILOGS = {
    "stats": """\
examples:
  wsgi-bridge layer ipc:// stats                     every ipc layer of this user
  wsgi-bridge layer ipc://mysite stats --watch 2
  wsgi-bridge layer ipc://mysite stats --channel http.request --json
""",
    "channels": """\
The fullest come first. Capacity is what the URL says, else what the gunicorn worker takes by
default; it is not written down in the layer. What waits in the memory of a worker is not seen.

examples:
  wsgi-bridge layer ipc://mysite channels
  wsgi-bridge layer ipc://mysite channels 'gunicorn.response.*' --limit 10
""",
    "groups": """\
examples:
  wsgi-bridge layer ipc://mysite groups
  wsgi-bridge layer ipc://mysite groups room-lobby
""",
    "routes": """\
The busiest come first; `site` is the WSGI app. Figures are those of the processes that run now,
each as of some five seconds ago.

examples:
  wsgi-bridge layer ipc://mysite routes --watch 5
  wsgi-bridge layer ipc://mysite routes '*chat*' --json
""",
    "delays": """\
A message to a group is for the channel wsgi-bridge.due, under the id GROUP:ID.

examples:
  wsgi-bridge layer ipc://mysite delays
  wsgi-bridge layer redis://localhost delays --limit 10 --json
""",
}

# More messages than any layer has scheduled.
ALL = 1_000_000_000

_KINDS = {"?": "single-reader", "!": "process-specific"}


def stats(arguments: argparse.Namespace) -> int:
    """Show the figures of a layer, or of one channel; of `ipc://`, of all layers there are."""
    if is_any_ipc(arguments.url) and arguments.channel is None:
        _show_or_watch(arguments, _all_ipc)
        return 0
    with opened(arguments.url) as layer:
        _show_or_watch(arguments, lambda: _figures(layer, arguments.channel))
    return 0


def channels(arguments: argparse.Namespace) -> int:
    """Show every channel, the fullest first."""
    with opened(arguments.url) as layer:
        _check_introspection(layer)
        is_hashed = bool(layer.describe().get("hash_names"))
        found: list[dict[str, Any]] = [
            {
                "channel": name,
                "kind": None if is_hashed else _kind(name),
                "capacity": None if is_hashed else layer.capacity_of(name),
                **figures,
            }
            for name, figures in layer.statistics_by_channel().items()
            if fnmatch.fnmatchcase(name, arguments.glob)
        ]
    found.sort(key=lambda each: (-each["messages_pending"], each["channel"]))
    found = found[: arguments.limit]
    _show(arguments, channel_table(found), found)
    return 0


def groups(arguments: argparse.Namespace) -> int:
    """Show every group, the largest first; or the members of one."""
    with opened(arguments.url) as layer:
        if arguments.group is not None:
            members = sorted(layer.group_channels(arguments.group))[: arguments.limit]
            table = Table(["member"], [[name] for name in members])
            _show(arguments, table, {"group": arguments.group, "members": members})
            return 0
        _check_introspection(layer)
        sizes = layer.statistics_by_group().items()
    found: list[dict[str, Any]] = [{"group": name, **size} for name, size in sizes]
    found.sort(key=lambda each: (-each["members_count"], each["group"]))
    found = found[: arguments.limit]
    rows = [[str(value) for value in each.values()] for each in found]
    _show(arguments, Table(["group", "members", "readers"], list(rows)), found)
    return 0


def delays(arguments: argparse.Namespace) -> int:
    """Show the messages for later, the next one first."""
    with opened(arguments.url) as layer:
        if "storage" not in layer.extensions:
            raise CommandError(f"{type(layer).__name__} has no extension 'storage': no delays")
        now = layer.clock()
        plans = layer.storage.plans(arguments.limit or ALL)
    found: list[dict[str, Any]] = [
        {
            "channel": each.channel,
            "id": each.key,
            "due_in": each.due - now,
            "every": each.every or None,
        }
        for each in plans
    ]
    columns = ["channel", "id", "due in", "every"]
    rows = [[_text(each[name.replace(" ", "_")]) for name in columns] for each in found]
    _show(arguments, Table(columns, list(rows), left=2), found)
    return 0


def routes(arguments: argparse.Namespace) -> int:
    """Show what all processes count of each route, the busiest first."""
    with opened(arguments.url) as layer:
        if not is_shared(layer):
            raise CommandError(
                f"{type(layer).__name__} keeps no state (it has no extension 'storage'): "
                "Bridge.statistics() tells of routes, in each process"
            )
        _show_or_watch(arguments, lambda: _routes(layer, arguments.glob, arguments.limit))
    return 0


def _routes(layer: BaseLayer, glob: str, limit: int | None) -> tuple[Table, list[dict[str, Any]]]:
    figures = merge(load_snapshots(layer), layer).items()
    found = [{"route": name, **each} for name, each in figures if fnmatch.fnmatchcase(name, glob)]
    found.sort(key=lambda each: (-each["count"], each["route"]))
    found = found[:limit]
    columns = ["route", "count", "errors", "timeouts", "retries", "in flight", "p50 ms", "p99 ms"]
    table = Table([*columns, "queue age", "processes"])
    for each in found:
        counts = [str(each[name]) for name in ("count", "errors", "timeouts", "retries")]
        times = [f"{each[name] * 1000:.2f}" for name in ("run_time_p50", "run_time_p99")]
        rest = [_text(each["queue_age"]), str(each["processes"])]
        table.rows.append([each["route"], *counts, str(each["in_flight"]), *times, *rest])
    return table, found


def _show(arguments: argparse.Namespace, table: Shown, value: Any) -> None:
    show(table, value, as_json=arguments.json)


def _show_or_watch(arguments: argparse.Namespace, make: Watched) -> None:
    if arguments.watch is None:
        _show(arguments, *make())
    else:
        watch(make, arguments.watch, as_json=arguments.json)


def _check_introspection(layer: BaseLayer) -> None:
    if "introspection" not in layer.extensions:
        raise CommandError(
            f"{type(layer).__name__} cannot tell what is in it (it has no extension "
            "'introspection'): stats, flush and ping are what can be asked of it"
        )


def _figures(layer: BaseLayer, channel: str | None) -> tuple[Table, dict[str, Any]]:
    figures: dict[str, Any]
    if channel:
        figures = {"channel": channel, **layer.channel_statistics(channel)}
    else:
        figures = {**layer.global_statistics(), **_scheduled(layer)}
    rows = [[name, _text(value)] for name, value in figures.items()]
    return Table(["figure", "value"], list(rows)), figures


def _scheduled(layer: BaseLayer) -> dict[str, Any]:
    """Return how many messages are for later, and in how many seconds the next one is due."""
    if "storage" not in layer.extensions:
        return {}
    number, due = layer.storage.scheduled()
    due_in = None if due is None else due - layer.clock()
    return {"scheduled_count": number, "scheduled_next_due_in": due_in}


def _all_ipc() -> tuple[Table, list[dict[str, Any]]]:
    """Return what there is in each ipc layer of this user; for one that cannot be used, why."""
    columns = ["layer", "processes", "pending", "oldest", "sent", "full", "lost", "expired"]
    table = Table(columns)
    found: list[dict[str, Any]] = []
    for url in urls_of_ipc():
        try:
            with opened(url) as layer:
                facts, figures = layer.describe(), layer.global_statistics()
        except CommandError as exc:
            if url not in urls_of_ipc():
                continue  # it has gone meanwhile
            found.append({"layer": url, "error": str(exc)})
            table.rows.append([f"{url} ({exc})", *["-"] * (len(columns) - 1)])
            continue
        found.append({"layer": url, "processes": facts["processes"], **figures})
        table.rows.append([url, str(len(facts["processes"])), *_counts(figures)])
    return table, found


def channel_table(found: list[dict[str, Any]]) -> Table:
    """Return the table of channels; each is its statistics with `channel`, `kind`, `capacity`."""
    columns = ["channel", "kind", "pending", "oldest", "sent", "full", "lost", "expired"]
    table = Table([*columns, "capacity"], left=2)
    for each in found:
        capacity = "-" if each["capacity"] is None else str(each["capacity"])
        table.rows.append([each["channel"], each["kind"] or "hashed", *_counts(each), capacity])
    return table


def _counts(figures: Mapping[str, Any]) -> list[str]:
    names = (
        *("messages_pending", "messages_max_age", "messages_count", "channel_full_count"),
        *("group_messages_lost_count", "messages_expired_count"),
    )
    return [_text(figures[name]) for name in names]


def _kind(name: str) -> str:
    return next((kind for mark, kind in _KINDS.items() if mark in name), "normal")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
