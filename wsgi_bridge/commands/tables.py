"""Showing things: a table for people, JSON for programs, once or again and again.

On a terminal rich draws the tables, if it is installed (`pip install wsgi-bridge[cli]`). Into a
pipe or a file, and without rich, a table is plain aligned text: a line for each row, nothing cut
off, nothing wrapped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable

__all__ = ["Shown", "Table", "Watched", "show", "show_json", "watch"]

#: From the start of the screen: what was there is wiped out.
_CLEAR = "\x1b[H\x1b[J"


class Shown(Protocol):
    """What is shown for people."""

    def plain(self) -> str:
        """Return it as text."""

    def rich(self) -> RenderableType:
        """Return it as rich draws it."""


@dataclass
class Table:
    """Rows of texts. The first `left` columns are words, the others numbers."""

    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    left: int = 1

    def plain(self) -> str:
        """Return the table as text."""
        lines = [[name.upper() for name in self.columns], *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "".join(f"{self._line(line, widths)}\n" for line in lines)

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.ljust(width) if at < self.left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    def rich(self, *, is_compact: bool = False) -> RichTable:
        """Return the table as rich draws it; compact without borders, and a line for each row."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(header_style="bold")
        if is_compact:
            table = RichTable(header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False)
        for at, name in enumerate(self.columns):
            table.add_column(
                name,
                justify="left" if at < self.left else "right",
                overflow="ellipsis" if is_compact else "fold",
                no_wrap=is_compact,
            )
        for row in self.rows:
            table.add_row(*map(Text, row))  # a Text has no markup
        return table


#: What is shown: for people, and the same for programs.
Watched = Callable[[], tuple[Shown, Any]]


def show(table: Shown, value: Any, *, as_json: bool) -> None:
    """Show a table or more, or `value` as JSON."""
    if as_json:
        show_json(value, indent=2)
    elif _is_rich():
        from rich.console import Console

        Console().print(table.rich())
    else:
        sys.stdout.write(table.plain())


def show_json(value: Any, indent: int | None = None) -> None:
    """Write a value as JSON; on one line unless `indent` is given."""
    sys.stdout.write(json.dumps(value, indent=indent) + "\n")
    sys.stdout.flush()


def watch(make: Watched, interval: float, *, as_json: bool) -> None:
    """Show what `make` returns, now and every `interval` seconds, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        if not as_json and _is_rich():
            _watch_rich(make, interval)
        while True:
            table, value = make()
            if as_json:
                show_json(value)
            else:
                start = _CLEAR if sys.stdout.isatty() else ""
                sys.stdout.write(f"{start}{table.plain()}\n")
                sys.stdout.flush()
            time.sleep(interval)


def _watch_rich(make: Watched, interval: float) -> None:
    from rich.live import Live

    with Live(make()[0].rich(), auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(make()[0].rich(), refresh=True)


def _is_rich() -> bool:
    """Whether rich is to draw: its borders would be noise in a pipe."""
    return sys.stdout.isatty() and importlib.util.find_spec("rich") is not None
