"""GreenletWorker: consumers in pooled greenlets, in a process that has no connections of its own.

What ThreadWorker is for native threads. `stop` may be called from any thread, everything else from
the thread of the hub.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import greenlet
from gevent import get_hub, monkey
from gevent.event import Event

from wsgi_bridge.server.pool import GreenletPool, Job
from wsgi_bridge.server.wakeup import Wakeup
from wsgi_bridge.threads import Unfinished
from wsgi_bridge.worker import Worker

__all__ = ["GreenletWorker", "patch"]

# Seconds between two looks at what is left, once it stops.
DRAIN_STEP = 0.02


def patch() -> None:
    """Have everything that waits switch greenlets. To be called before the site is imported."""
    monkey.patch_all()


class GreenletWorker:
    """Runs the consumers of ``worker``, which was made with ``Wakeup``, in ``greenlets``."""

    def __init__(
        self, worker: Worker, *, greenlets: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker = worker
        self._clock = clock
        self._pool = _CountingPool(greenlets, worker.pump_soon, clock)
        self._thread: int = get_hub().thread_ident
        self._is_stopped = False
        self._stopped = Event()
        self._stop_soon = Wakeup(self._stop)

    @property
    def taken(self) -> int:
        """Messages taken so far."""
        return self._pool.taken

    @property
    def running(self) -> int:
        """How many messages are being handled now."""
        return self._pool.running

    def start(self) -> None:
        """Begin to take messages."""
        if not self._is_stopped:
            self._worker.start(self._pool)

    def stop(self) -> None:
        """Take no more messages; those taken are run. From any thread; idempotent."""
        self._is_stopped = True
        self._stop_soon()

    def _stop(self) -> None:
        self._worker.stop()
        self._stopped.set()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it was stopped and has finished, up to ``timeout`` seconds; whether it has."""
        end = None if timeout is None else self._clock() + timeout
        if not self._stopped.wait(timeout):
            return False
        while self.running:
            if end is not None and self._clock() >= end:
                return False
            gevent.sleep(DRAIN_STEP)
        return True

    def unfinished(self) -> list[Unfinished]:
        """Return what is being handled now, the longest first. From any thread."""
        now = self._clock()
        found = [
            Unfinished.describe(self._worker, job, now, id(each))
            for each, job in list(self._pool.jobs.items())
        ]
        return sorted(found, key=lambda item: -item.seconds)

    def stack_of(self, item: Unfinished) -> str:
        """Return where the greenlet of an unfinished message is now. From any thread."""
        for each in list(self._pool.jobs):
            if id(each) == item.ident:
                # The one that runs has no frame of its own: it is in that of the hub's thread.
                frame = each.gr_frame or sys._current_frames().get(self._thread)
                return "".join(traceback.format_stack(frame)) if frame is not None else ""
        return ""


class _CountingPool(GreenletPool):
    """Knows what it runs."""

    def __init__(self, size: int, on_free: Callable[[], None], clock: Callable[[], float]) -> None:
        super().__init__(size, on_free)
        self.taken = 0
        self.jobs: dict[greenlet.greenlet, tuple[str, dict[str, Any], float]] = {}
        self._clock = clock

    def start(self, job: Job, first: Any, second: Any) -> None:
        """Run ``job(first, second)`` in a parked greenlet, or a new one."""
        self.taken += 1
        super().start(partial(self._track, job), first, second)

    def _track(self, job: Job, channel: str, message: dict[str, Any]) -> None:
        me = greenlet.getcurrent()
        self.jobs[me] = (channel, message, self._clock())
        try:
            job(channel, message)
        finally:
            del self.jobs[me]
