"""ThreadWorker: consumers in native threads, which take their messages from the layer themselves.

Leader and followers: one thread at a time has the lead and waits in the layer. It takes as many
messages as there are idle threads, gives the lead up and runs the first; who gets the lead next
finds the others taken and runs one. So there is no thread between the layer and the consumers, no
hub and no queue beside the layer's own. Where messages are short a leader keeps the lead while it
runs one (see `lead`), and goes on with the next: no lock is touched then, no thread switched to.

- No more is taken than can run: what waits does so in the layer, where its capacity counts, and
  where another process can take it.
- What was taken is run, whoever says stop.
- Whatever a consumer raises ends its message, never its thread.
- Each message has a contextvars context of its own.

Nothing is patched here. Where gevent has patched threading the threads are greenlets.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsgi_bridge.deadlines import stack_of
from wsgi_bridge.events.consumers import CONSUMER_LEAKED, WORKER_RECEIVE_FAILED
from wsgi_bridge.exceptions import ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.lead import Lead
from wsgi_bridge.outgoing import Outgoing

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer, Batch
    from wsgi_bridge.worker import Worker

__all__ = ["Job", "ThreadWorker", "Unfinished"]

logger = logging.getLogger(__name__)

# Seconds that the leader waits at most before it looks whether it should stop: that is told to it
# by a message, which a layer without its backend does not carry.
LONGEST_WAIT = 5.0
# Seconds before a layer that cannot be received from is tried again.
RETRY_DELAY = 0.5
# Seconds below which messages are so short, on average, that one after the other is cheaper than to
# wake a thread for the next: such a wake takes some 20 to 50 µs of two cores. A database that
# answers in more has its messages handled beside each other.
SHORT = 0.000_25
# Part of the average that the last message makes.
WEIGHT = 1 / 16

#: A channel, a message, and when it was begun.
Job = tuple[str, dict[str, Any], float]


@dataclass(frozen=True)
class Unfinished:
    """A message that is being handled: for logs, and for whoever looks for what is stuck.

    ``since`` is when it began, on the clock of its worker; ``ident`` that of its thread, or
    greenlet.
    """

    channel: str
    route: str
    path: str
    since: float
    seconds: float
    ident: int

    @classmethod
    def describe(cls, worker: Worker, job: Job, now: float, ident: int) -> Unfinished:
        """Return what there is to say of a message."""
        channel, message, since = job
        route, path = worker.route_name(channel, message), str(message.get("path", ""))
        return cls(channel, route, path, since, now - since, ident)

    def __str__(self) -> str:
        path = f" for {self.path}" if self.path else ""
        return f"{self.route}{path}, {self.seconds:.1f} s"


class ThreadWorker:
    """Runs the consumers of ``worker`` in ``threads`` native threads.

    ``name`` begins the threads' names, which logs may show.
    """

    def __init__(
        self,
        worker: Worker,
        layer: BaseLayer,
        *,
        threads: int,
        name: str = "consumer",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if threads < 1:
            raise ValueError(f"threads is 1 or more, not {threads!r}")
        #: Messages taken so far.
        self.taken = 0
        self._worker = worker
        self._layer = layer
        self._clock = clock
        # Only this object receives there: what is sent there wakes the leader.
        self._bell = layer.new_channel("wsgi-bridge.stop?")
        # What is received for others than the threads, and who is given it.
        feed = worker.releaser.feed
        self._aside: dict[str, Callable[[str, dict[str, Any]], object]] = {
            self._bell: lambda *_: None,
            **dict.fromkeys(worker.releaser.channels, feed),
        }
        #: All that the threads receive from.
        self.channels = [*worker.channels, *self._aside]
        self._outgoing = Outgoing(layer, clock) if layer.gathers else None
        worker.outgoing = self._outgoing
        # With a single thread there is nobody to give it to, but there may be something to put.
        self._lead = Lead(
            is_shared=threads > 1 or self._outgoing is not None, name=name, on_loss=self._lose
        )
        # Seconds that a message takes of late, on average.
        self._usual = 0.0
        self._taken: deque[tuple[str, dict[str, Any]]] = deque()
        # One for each thread, which alone writes there: no lock is needed to count what runs.
        self._jobs: list[Job | None] = [None] * threads
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(at,), name=f"{name}-{at + 1}", daemon=True)
            for at in range(threads)
        ]

    def start(self) -> None:
        """Begin to take messages."""
        self._lead.open()
        self._worker.start_services(is_fed=True)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more messages; those taken are run. Does not wait; idempotent."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        self._worker.stop()
        try:
            self._layer.send(self._bell, {})
        except ChannelLayerError:
            logger.info("the worker's threads stop in up to %s s: the layer is gone", LONGEST_WAIT)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for every thread to end, up to ``timeout`` seconds; whether they have."""
        end = None if timeout is None else self._clock() + timeout
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(None if end is None else max(0.0, end - self._clock()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        self._lead.join(timeout)
        return True

    @property
    def running(self) -> int:
        """How many messages are being handled now."""
        return len(self._jobs) - self._jobs.count(None)

    def unfinished(self) -> list[Unfinished]:
        """Return what is being handled now, the longest first."""
        now = self._clock()
        found = [
            Unfinished.describe(self._worker, job, now, thread.ident or 0)
            for job, thread in zip(list(self._jobs), self._threads, strict=True)
            if job is not None
        ]
        return sorted(found, key=lambda item: -item.seconds)

    def stack_of(self, item: Unfinished) -> str:
        """Return where the thread of an unfinished message is now, as a traceback has it."""
        return stack_of(item.ident)

    # In the threads

    def _run(self, at: int) -> None:
        lead, jobs, run, clock = self._lead, self._jobs, self._worker.run, self._clock
        outgoing, waiting = self._outgoing, self._taken
        has_lead = False
        while True:
            if not has_lead:
                lead.acquire()
            if not waiting and not self._fetch():
                break
            taken = waiting.popleft()
            begun = clock()
            # Before the lead may be another's: who has it counts who is idle.
            jobs[at] = (*taken, begun)
            is_short = self._usual < SHORT
            if is_short:
                if outgoing is not None and (not has_lead or begun > outgoing.due):
                    outgoing.open(begun)
                lead.keep()
            else:
                if outgoing is not None:
                    outgoing.close()
                lead.release()
            try:
                Context().run(run, *taken)
            except BaseException as exc:
                # The top of a supervised loop: what a consumer lets out must not end a thread.
                CONSUMER_LEAKED.log(
                    logger,
                    "a consumer let an exception out: %(channel)s",
                    cause=exc,
                    exc_info=True,
                    channel=taken[0],
                )
            jobs[at] = None
            has_lead = is_short and lead.regain()
            if not has_lead and outgoing is not None:
                outgoing.put()
            self._usual += (clock() - begun - self._usual) * WEIGHT
            # An idle thread must not keep a message alive.
            del taken
        lead.release()
        lead.close()

    def _fetch(self) -> bool:
        """Wait until there are messages; False if there will be no more. With the lead only."""
        while not self._taken:
            if self._stopped.is_set():
                self._lose()
                return False
            batch = self._receive(self._jobs.count(None))
            self._worker.note_taken(batch)
            aside = self._aside
            mine = [(str(name), message) for name, message in batch if name not in aside]
            if len(mine) < len(batch):
                self._feed(batch)
            self.taken += len(mine)
            self._taken.extend(mine)
        return True

    def _feed(self, batch: Batch) -> None:
        """Give messages to those that they are for, if that is not a consumer."""
        for name, message in batch:
            channel = str(name)
            if channel in self._aside:
                self._aside[channel](channel, message)

    def _lose(self) -> None:
        """Put what waits: its thread cannot. Called when the lead is taken away, and at the end."""
        if self._outgoing is not None:
            self._outgoing.close()
            self._outgoing.put()

    def _receive(self, room: int) -> Batch:
        if self._outgoing is not None and (batch := self._outgoing.exchange(self.channels, room)):
            return batch
        try:
            return self._layer.receive_many(self.channels, room, LONGEST_WAIT)
        except ChannelLayerUnavailable:
            pass  # it says so in the log itself
        except Exception as exc:
            # The top of a supervised loop: without a leader nobody would take anything any more.
            WORKER_RECEIVE_FAILED.log(
                logger, "messages cannot be received", cause=exc, exc_info=True
            )
        self._stopped.wait(RETRY_DELAY)
        return []
