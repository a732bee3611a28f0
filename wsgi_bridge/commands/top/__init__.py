"""`wsgi-bridge top [URL]`: a running site as a live table: connections, rates, queues, routes.

    reading.py   what is read of the layer, and of what its processes publish (wsgi_bridge.figures)
    rates.py     how fast each process counts, from one of its reports to the next
    summary.py   the figures that are shown, as JSON has them
    screen.py    the same as tables

Looking changes nothing: no message is taken, no reader owned. The site is found by the URL of its
layer; one that names none has one of its own, and is found where this user has no other site.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.commands.errors import MISUSED, CommandError
from wsgi_bridge.commands.numbers import count, positive
from wsgi_bridge.commands.opening import is_any_ipc, opened, public_url, urls_of_ipc
from wsgi_bridge.commands.tables import show, watch
from wsgi_bridge.commands.top.rates import Rates
from wsgi_bridge.commands.top.reading import Reading, read
from wsgi_bridge.commands.top.screen import Screen
from wsgi_bridge.commands.top.summary import summarise
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures import load_figures
from wsgi_bridge.layers import BaseLayer

__all__ = ["DEFAULT_INTERVAL", "DEFAULT_LIMIT", "NAME", "add_parser", "complete"]

NAME = "top"

#: Seconds between two looks: as often as processes publish, unless told otherwise.
DEFAULT_INTERVAL = 2.0
#: Channels, and routes, that are shown.
DEFAULT_LIMIT = 10
#: Intervals of a process to wait for its next report, with which it has a rate.
PATIENCE = 2.0
#: Seconds between two looks for that.
LOOK_EVERY = 0.05

EPILOG = """\
examples:
  wsgi-bridge top                              the only site of this user on this machine
  wsgi-bridge top ipc://mysite --interval 1
  wsgi-bridge top redis://localhost --once --json | jq .total.requests_per_second

Figures are as fresh as the processes publish them (the setting figures_interval, 2 seconds). Ctrl-C
ends it. Exit status: 0; 1 if there is no such site or layer; 2 if the command line cannot be used.
"""


def complete(words: Sequence[str]) -> list[str]:
    """Return the words: nothing need be put in."""
    return list(words)


def add_parser(commands: Any) -> None:
    """Add the parser of `top`."""
    parser = commands.add_parser(
        NAME,
        help="watch a running site: connections, rates, queues, routes",
        description="Watch a running site: connections, rates, queues, routes, of each process "
        "and of all.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help=f"of the site's layer; left out: ${LAYER_VARIABLE}, or the only site on an ipc layer",
    )
    parser.add_argument("--once", action="store_true", help="show it once, and end")
    parser.add_argument("--json", action="store_true", help="print JSON, a line each time")
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=positive,
        default=DEFAULT_INTERVAL,
        help="between two looks (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=count,
        default=DEFAULT_LIMIT,
        help="of channels and of routes show so many (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    url = _find_url(arguments.url or os.environ.get(LAYER_VARIABLE, ""))
    with opened(url) as layer:
        look = Look(layer, public_url(url), arguments.limit)
        look.begin()
        if arguments.once:
            screen, value = look()
            show(screen, value, as_json=arguments.json)
        else:
            watch(look, arguments.interval, as_json=arguments.json)
    return 0


class Look:
    """Looks at a site, again and again; called by `watch`."""

    def __init__(
        self,
        layer: BaseLayer,
        name: str,
        limit: int,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._layer = layer
        self._name = name
        self._limit = limit
        self._sleep = sleep
        self._rates = Rates()
        self._latest: Reading | None = None

    def __call__(self) -> tuple[Screen, dict[str, Any]]:
        """Return what there is now; while the layer is away, what there was, with a word on it."""
        note = ""
        try:
            self._latest = self._read()
        except ChannelLayerUnavailable as exc:
            if self._latest is None:
                raise
            note = f"unavailable: {exc}"
        assert self._latest is not None
        value = summarise(self._latest, self._rates, layer=self._name, limit=self._limit)
        return Screen(value, note), value | ({"note": note} if note else {})

    def begin(self) -> None:
        """Wait until each process has a rate. Raises CommandError if there is no process."""
        processes = self._read().figures.processes
        if not processes:
            raise CommandError(
                f"no process publishes figures on {self._name}: none runs, its figures_interval is "
                "0, or its site has another layer (wsgi-bridge layer ipc:// lists those of this "
                "user)"
            )
        seconds = PATIENCE * max(each.every for each in processes)
        names = {each.name for each in processes}
        deadline = time.monotonic() + seconds
        while not self._rates.has_all(names) and time.monotonic() < deadline:
            self._sleep(LOOK_EVERY)
            self._rates.take(read(self._layer, is_brief=True).figures.processes)

    def _read(self) -> Reading:
        reading = read(self._layer)
        self._rates.take(reading.figures.processes)
        return reading


def _find_url(url: str) -> str:
    """Return the URL of one layer: that which was named, or that of the only site of this user."""
    if url and not is_any_ipc(url):
        return url
    found = [each for each in urls_of_ipc() if _is_site(each)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(public_url, found))
    which = f"which of {names}" if found else "no site of this user publishes on an ipc layer"
    raise CommandError(f"no site is named: wsgi-bridge top URL, or {LAYER_VARIABLE}; {which}",
                       MISUSED)  # fmt: skip


def _is_site(url: str) -> bool:
    """Whether a process publishes there now."""
    try:
        with opened(url) as layer:
            return bool(load_figures(layer).processes)
    except CommandError:
        return False  # it is damaged, or has gone meanwhile
