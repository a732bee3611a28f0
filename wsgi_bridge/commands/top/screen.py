"""What a look comes to on a terminal: three tables under a line, drawn by rich or plain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.commands.tables import Table

if TYPE_CHECKING:
    from rich.console import Group as RichGroup

__all__ = ["Screen"]

PROCESS_COLUMNS = (
    *("process", "role", "up", "conns", "sockets", "busy", "req/s", "5xx/s", "p50 ms", "p99 ms"),
    *("in/s", "out/s", "refused", "late", "lost"),
)
QUEUE_COLUMNS = ("channel", "waiting", "oldest s", "sent/s", "full", "expired", "lost")
ROUTE_COLUMNS = (
    *("route", "runs/s", "busy", "p50 ms", "p99 ms", "queue s", "errors", "timeouts", "retries"),
)

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Screen:
    """Shows what `summarise` returns, and a note if there is one."""

    def __init__(self, value: dict[str, Any], note: str = "") -> None:
        self._value = value
        self._note = note

    def plain(self) -> str:
        """Return it as text."""
        head = "".join(f"{line}\n" for line in self._head())
        return "\n".join([head, *(table.plain() for table in self._tables())])

    def rich(self) -> RichGroup:
        """Return it as rich draws it."""
        from rich.console import Group as RichGroup
        from rich.text import Text

        head = [Text(line, style="bold red" if at else "") for at, line in enumerate(self._head())]
        tables = [part for table in self._tables() for part in ("", table.rich(is_compact=True))]
        return RichGroup(*head, *tables)

    def _head(self) -> list[str]:
        total = self._value["total"]
        number = total["processes"]
        line = (
            f"{number} process{'' if number == 1 else 'es'}, {total['starts']} started so far, "
            f"{total['losses']} died  {self._value['time'][11:19]} UTC  {self._value['layer']}"
        )
        return [line, self._note] if self._note else [line]

    def _tables(self) -> list[Table]:
        return [self._processes(), self._queues(), self._routes()]

    def _processes(self) -> Table:
        table = Table(PROCESS_COLUMNS, left=2)
        processes = self._value["processes"]
        has_hosts = len({each["host"] for each in processes}) > 1
        for each in processes:
            name = f"{each['host']}:{each['pid']}" if has_hosts else str(each["pid"])
            table.rows.append([name, each["role"], _duration(each["up"]), *_figures(each)])
        table.rows.append(["all", "", "", *_figures(self._value["total"])])
        return table

    def _queues(self) -> Table:
        table = Table(QUEUE_COLUMNS)
        for each in self._value["channels"]:
            table.rows.append([each["channel"], *_queue(each)])
        table.rows.append(["all", *_queue(self._value["queues"])])
        return table

    def _routes(self) -> Table:
        table = Table(ROUTE_COLUMNS)
        for each in self._value["routes"]:
            table.rows.append(
                [
                    each["route"],
                    _rate(each["runs_per_second"]),
                    _number(each["in_flight"]),
                    _ms(each["run_time_p50"]),
                    _ms(each["run_time_p99"]),
                    _rate(each["queue_age"]),
                    *(str(each[name]) for name in ("errors", "timeouts", "retries")),
                ]
            )
        return table


def _figures(each: dict[str, Any]) -> list[str]:
    return [
        *(str(each[name]) for name in ("connections", "websockets", "consumers")),
        *(_rate(each[f"{name}_per_second"]) for name in ("requests", "errors")),
        *(_ms(each[name]) for name in ("time_p50", "time_p99")),
        *(_rate(each[f"{name}_per_second"]) for name in ("received", "sent")),
        *(str(each[f"{name}_count"]) for name in ("refused", "late", "lost")),
    ]


def _queue(each: dict[str, Any]) -> list[str]:
    return [
        str(each["messages_pending"]),
        _rate(each["messages_max_age"]),
        _rate(each["messages_count_per_second"]),
        str(each["channel_full_count"]),
        str(each["messages_expired_count"]),
        str(each["group_messages_lost_count"]),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f}s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f}m{seconds % _MINUTE:02.0f}"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f}h{seconds % _HOUR // _MINUTE:02.0f}"
    return f"{seconds // _DAY:.0f}d{seconds % _DAY // _HOUR:02.0f}h"
