"""FiguresReporter: publishes what one process counts, in a thread of its own.

What is counted is counted in any case, in plain numbers; here they are copied now and then, so a
request pays nothing for it. Whoever asks (a page of metrics) is answered by the same thread:
several who ask at once wait for one answer, and nobody else asks the layer. An answer is made of
what was published only: so it never says less than one that another process gave before.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wsgi_bridge.events.server import SERVER_FIGURES_FAILED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures.ledger import Figures, Ledger, ProcessFigures, keeps_figures
from wsgi_bridge.figures.trees import Taken, Tree, subtract

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["FiguresReporter"]

logger = logging.getLogger(__name__)

# What a layer that keeps no figures is asked, to see whether it is there.
PROBE = "wsgi-bridge.probe"

Tell = Callable[[Figures | None], None]


class FiguresReporter:
    """Publishes what ``take`` returns, every ``every`` seconds, until it is stopped.

    On ``layer``, or where that keeps no figures, on ``other``, if any, which is closed at the end.
    ``role``: see ProcessFigures.
    """

    def __init__(
        self,
        layer: BaseLayer,
        take: Callable[[], Taken],
        *,
        role: str,
        other: BaseLayer | None = None,
        every: float,
    ) -> None:
        self.name = secrets.token_hex(8)
        self._layer = layer
        self._store = layer if keeps_figures(layer) else other
        self._take = take
        self._role = role
        self._every = every
        # None: not known yet. Of a layer that is not asked, nothing else is.
        self._has_layer: bool | None = None if every else True
        self._started = time.time()
        self._epoch = ""
        # What was added to the total for this process, which was taken for dead; what it last said.
        self._base: Tree = {}
        self._reported: Tree = {}
        self._wanted = threading.Event()
        self._is_stopped = False
        self._asked: list[Tell] = []
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless ``every`` is 0; idempotent."""
        if self._thread is None and self._every:
            self._thread = threading.Thread(target=self._run, name="figures", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 0.0) -> None:
        """Publish a last time and leave; wait for that, up to ``timeout`` seconds. Idempotent.

        Not for a layer that is not there.
        """
        self._is_stopped = True
        self._wanted.set()
        if self._thread is not None and timeout and self._has_layer is not False:
            self._thread.join(timeout)

    def has_layer(self) -> bool:
        """Whether the layer was there when it was last asked, some seconds ago."""
        return bool(self._has_layer)

    def ask(self, tell: Tell) -> None:
        """Have ``tell`` called in the thread, once this process's figures of now are published.

        With the figures of all processes, None if they cannot be had now. From any thread.
        """
        self._asked.append(tell)
        self._wanted.set()

    def report(self) -> None:
        """Publish now. Raises ChannelLayerUnavailable. In the thread, or without one."""
        if self._store is None:
            return
        ledger = Ledger(self._store)
        page = ledger.read()
        report, version = ledger.load_report(self.name)
        is_new = self.name not in page.names or report is None or report["is_last"]
        if is_new:
            # Of the same epoch: what this process last said is, or will be, in the total.
            self._base = self._reported if page.epoch == self._epoch else {}
            self.name, version = secrets.token_hex(8), 0
        taken = self._take()
        if not ledger.save_report(self.name, self._make_report(taken), version):
            self.report()  # it was taken for dead just now
            return
        self._reported = taken.counts
        if is_new:
            page = ledger.join(self.name)
            self._epoch = page.epoch
        ledger.bury_next(self.name, page)
        ledger.renew(page)

    def load(self) -> Figures:
        """Return the figures of all processes; of this one, where none are published."""
        if self._store is not None:
            return Ledger(self._store).load()
        report = self._make_report(self._take())
        alone = ProcessFigures(self.name, **report.pop("process"), reported=time.time(), **report)
        return Figures([alone], alone.counts, alone.gauges, starts=1)

    def _make_report(self, taken: Taken) -> Tree:
        process = {"pid": os.getpid(), "host": socket.gethostname(), "role": self._role,
                   "started": self._started}  # fmt: skip
        return {
            "process": process,
            "every": self._every,
            "counts": subtract(taken.counts, self._base),
            "gauges": taken.gauges,
        }

    def _probe(self) -> None:
        self._layer.channel_statistics(PROBE)

    def _leave(self) -> None:
        if self._store is not None:
            self.report()
            Ledger(self._store).leave(self.name, subtract(self._reported, self._base))

    # The thread

    def _run(self) -> None:
        while not self._is_stopped:
            # Who asks from now on is told of the next report.
            asked, self._asked = self._asked, []
            is_published = self._attempt(self.report)
            is_own = self._store is self._layer
            self._has_layer = is_published if is_own else self._attempt(self._probe)
            if asked:
                self._attempt(partial(self._tell, asked, is_published))
            self._wanted.wait(self._every)
            self._wanted.clear()
        self._attempt(self._leave)
        self._attempt(partial(self._tell, self._asked, False))
        if self._store is not None and self._store is not self._layer:
            self._store.close()

    def _tell(self, asked: list[Tell], is_published: bool) -> None:
        figures = self._try_load() if is_published else None
        for tell in asked:
            tell(figures)

    def _try_load(self) -> Figures | None:
        try:
            return self.load()
        except ChannelLayerUnavailable:
            return None

    def _attempt(self, call: Callable[[], object]) -> bool:
        try:
            call()
        except ChannelLayerUnavailable:
            return False  # the layer says so in the log itself
        except Exception as exc:
            # The top of a supervised loop: the next report may succeed.
            SERVER_FIGURES_FAILED.log(
                logger,
                "the figures of this process cannot be published: %(cause)s",
                cause=exc,
                exc_info=exc,
            )
            return False
        return True
