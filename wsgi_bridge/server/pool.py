"""GreenletPool: consumers run here, in greenlets that are used again.

A fresh greenlet a request maps and unmaps a stack, which costs more than a hello-world. So a
greenlet that has finished parks, and the next job is given to the one parked last, whose memory is
warm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

import greenlet
from gevent import Timeout, get_hub

from wsgi_bridge.events.server import SERVER_JOB_FAILED
from wsgi_bridge.exceptions import ConsumerTimeout

logger = logging.getLogger(__name__)

Job = Callable[[Any, Any], None]


class GreenletPool:
    """Runs jobs in at most ``size`` greenlets.

    ``start`` must be called from the hub: it switches into the greenlet, which runs until it blocks
    or ends, and so comes back. ``on_free`` is called in the hub whenever a greenlet has become free
    after the pool was full. Each job has a fresh contextvars context, as a thread's would.
    """

    __slots__ = ("_all", "_hub", "_on_free", "_parked", "size")

    def __init__(self, size: int, on_free: Callable[[], None]) -> None:
        self.size = size
        self._hub = get_hub()
        self._on_free = on_free
        self._parked: list[Any] = []
        self._all: set[Any] = set()

    @property
    def free(self) -> int:
        """How many more jobs can start now."""
        return self.size - len(self._all) + len(self._parked)

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self._all) - len(self._parked)

    def start(self, job: Job, first: Any, second: Any) -> None:
        """Run ``job(first, second)`` in a parked greenlet, or a new one."""
        if self._parked:
            worker = self._parked.pop()
        else:
            worker = greenlet.greenlet(self._run, self._hub)
            self._all.add(worker)
            # To where it waits for a job: what a greenlet begins with is kept until it ends.
            worker.switch()
        worker.switch(job, first, second)

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """Raise ConsumerTimeout out of the block if it takes longer.

        Inside it is a gevent.Timeout, which is no Exception: a consumer that catches those goes on
        no further. It is raised where the greenlet waits: who only computes is not interrupted.
        """
        timeout = Timeout.start_new(seconds)
        try:
            yield
        except Timeout as exc:
            if exc is not timeout:
                raise
            raise ConsumerTimeout(f"not done in {seconds} s") from exc
        finally:
            timeout.close()

    def unfinished(self) -> list[Any]:
        """Return the greenlets that run now, for the caller to end (gevent.kill)."""
        return list(self._all.difference(self._parked))

    def _run(self) -> None:
        me = greenlet.getcurrent()
        switch_to_hub = self._hub.switch
        while True:
            # A new one before the wait: the last job's would keep alive what it has set.
            me.gr_context = Context()
            job, first, second = switch_to_hub()
            try:
                job(first, second)
            except greenlet.GreenletExit:
                was_full = not self.free
                self._all.discard(me)
                if was_full:
                    self._on_free()
                return
            except BaseException as exc:
                # The top of a supervised loop: whatever a job lets out must not end the process.
                SERVER_JOB_FAILED.log(logger, "a job of the pool failed", cause=exc, exc_info=True)
            was_full = not self.free
            self._parked.append(me)
            if was_full:
                self._on_free()
            # References to the finished job must not outlive it in a parked greenlet.
            del job, first, second
