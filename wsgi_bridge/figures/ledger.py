"""Who publishes figures on a layer, and the total of those who do not any more.

Each process has a value of its own in the layer's storage, its report. One more, the ledger, names
all who have one, and has the total of what others had counted. A process leaves by one step that
takes its name out and adds its counts to the total: whoever reads both sees it in exactly one of
them. The reader looks again when the ledger was another one meanwhile. A process that is found dead
may only have been slow: so its report is sealed first, and it goes on under another name with what
it has counted since.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures.trees import Tree, add

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.layers.storage_base import Stored

__all__ = ["DEAD_REPORTS", "KEY", "Figures", "Ledger", "ProcessFigures", "keeps_figures",
           "load_figures"]  # fmt: skip

#: Where the ledger is, and how the key of each report begins.
KEY = "wsgi-bridge.figures"
#: Reports that a process misses until it is dead. One whose hub something blocked for as long
#: joins again, with what it has counted since.
DEAD_REPORTS = 8
#: Seconds for which the ledger and reports are kept: a report must outlive its process, to be added
#: to the total, and the total a site that nobody visits at the weekend.
TTL = 7 * 86400.0
#: Seconds after which the ledger is written again though nothing changed, so that it stays.
RENEW_EVERY = 3600.0
#: Attempts to change the ledger, or to read it with all its reports, while others change it.
ATTEMPTS = 50


@dataclass(frozen=True)
class ProcessFigures:
    """What one living process publishes, every so many seconds. Times are of the layer's clock.

    ``role`` is "server", "consumers", or "both".
    """

    name: str
    pid: int
    host: str
    role: str
    started: float
    reported: float
    every: float
    counts: Tree
    gauges: Tree


@dataclass(frozen=True)
class Figures:
    """What all processes publish, added up; see the package's docstring.

    ``starts``: processes that have begun to publish; ``losses``: those found dead, which had not
    ended by themselves.
    """

    processes: list[ProcessFigures] = field(default_factory=list)
    counts: Tree = field(default_factory=dict)
    gauges: Tree = field(default_factory=dict)
    starts: int = 0
    losses: int = 0


@dataclass
class Page:
    """The ledger as it was read, with its version. ``epoch``: made anew when it was lost."""

    version: int
    epoch: str
    written: float
    names: list[str]
    starts: int = 0
    losses: int = 0
    counts: Tree = field(default_factory=dict)


class Ledger:
    """The ledger of a layer. Every method asks the layer; raises ChannelLayerUnavailable."""

    def __init__(self, layer: BaseLayer) -> None:
        self._layer = layer
        self._storage = layer.storage

    def read(self) -> Page:
        """Return the ledger; an empty one, of a new epoch, if there is none."""
        value, version = self._storage.load(KEY)
        return Page(
            version, **(value or {"epoch": secrets.token_hex(8), "written": 0, "names": []})
        )

    def _change(self, change: Callable[[Page], bool]) -> Page:
        """Have ``change`` change the ledger, unless it returns False; return what is there then."""
        for _ in range(ATTEMPTS):
            page = self.read()
            if not change(page):
                return page
            page.written = self._layer.clock()
            value = {key: each for key, each in vars(page).items() if key != "version"}
            if self._storage.save(KEY, value, ttl=TTL, expected_version=page.version):
                return page
        raise ChannelLayerUnavailable("the ledger of figures is changed too often")

    def join(self, name: str) -> Page:
        """Add a process, which has a report already."""

        def change(page: Page) -> bool:
            page.names.append(name)
            page.starts += 1
            return True

        return self._change(change)

    def leave(self, name: str, counts: Tree, *, is_lost: bool = False) -> None:
        """Move a process's counts to the total, unless it has left. Its report goes."""

        def change(page: Page) -> bool:
            if name not in page.names:
                return False
            page.names.remove(name)
            page.losses += is_lost
            page.counts = add(page.counts, counts)
            return True

        self._change(change)
        self._storage.save(_key(name), None, ttl=TTL)

    def bury_next(self, name: str, page: Page) -> None:
        """Look after the process that comes after this one in the ledger: whether it lives.

        So everybody is looked after by one other, however many there are.
        """
        following = page.names[(page.names.index(name) + 1) % len(page.names)]
        if following == name:
            return
        report, version = self.load_report(following)
        if report is None:
            self.leave(following, {}, is_lost=True)
        elif self.is_dead(report) and self._seal(following, report, version):
            self.leave(following, report["counts"], is_lost=True)

    def _seal(self, name: str, report: dict[str, Any], version: int) -> bool:
        """Have a report be the last of its process, which sees that if it lives after all.

        False if there is a newer one: it lives.
        """
        if report["is_last"]:
            return True
        sealed = report | {"is_last": True}
        return self._storage.save(_key(name), sealed, ttl=TTL, expected_version=version)

    def renew(self, page: Page) -> None:
        """Write the ledger again, once in a while."""
        if self._layer.clock() - page.written > RENEW_EVERY:
            self._change(lambda _: True)

    def save_report(self, name: str, report: dict[str, Any], version: int) -> bool:
        """Publish a report in place of the one of that version, 0 for none; False if that is not.

        Then somebody has taken the process for dead.
        """
        dated = report | {"at": self._layer.clock(), "is_last": False}
        return self._storage.save(_key(name), dated, ttl=TTL, expected_version=version)

    def load_report(self, name: str) -> Stored:
        """Return the report of a process, None if there is none, with its version."""
        return self._storage.load(_key(name))

    def is_dead(self, report: dict[str, Any]) -> bool:
        """Whether a report is too old for a process that lives."""
        return bool(self._layer.clock() - report["at"] > DEAD_REPORTS * report["every"])

    def load(self) -> Figures:
        """Return all that is published."""
        page = self.read()
        for _ in range(ATTEMPTS):
            reports = {name: self.load_report(name).value for name in page.names}
            before, page = page, self.read()
            if page.version == before.version:
                break
        living = []
        counts: Tree = page.counts
        gauges: Tree = {}
        for name, report in reports.items():
            if report is None:
                continue
            counts = add(counts, report["counts"])
            if not (report["is_last"] or self.is_dead(report)):
                gauges = add(gauges, report["gauges"])
                living.append(_process(name, report))
        living.sort(key=lambda each: each.started)
        return Figures(living, counts, gauges, page.starts, page.losses)


def keeps_figures(layer: BaseLayer) -> bool:
    """Whether processes can publish on a layer at all."""
    return "storage" in layer.extensions and layer.storage.is_shared


def load_figures(layer: BaseLayer) -> Figures:
    """Return what all processes of a site publish on its layer; empty if nobody does.

    Blocks for two reads and one for each process. Raises ChannelLayerUnavailable.
    """
    return Ledger(layer).load() if keeps_figures(layer) else Figures()


def _key(name: str) -> str:
    return f"{KEY}.{name}"


def _process(name: str, report: dict[str, Any]) -> ProcessFigures:
    own = {key: report[key] for key in ("every", "counts", "gauges")}
    return ProcessFigures(name, **report["process"], reported=report["at"], **own)
