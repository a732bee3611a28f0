"""Where the consumers of a server's process run: greenlets on its hub, native threads, nowhere.

One interface for the worker class, which starts them, looks whether they are done, and stops them.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Protocol

import gevent

from wsgi_bridge.events.processes import WORKER_CONSUMER_UNFINISHED
from wsgi_bridge.exceptions import RequestAborted
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.server.pool import GreenletPool
from wsgi_bridge.threads import ThreadWorker

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer, Listener
    from wsgi_bridge.worker import Worker as ConsumerLoop

logger = logging.getLogger(__name__)

# Seconds for which a thread that computes in Python keeps the hub waiting. With the interpreter's
# own 0.005 and four such threads a ping took 17 ms, with this one 8, for 0 % of their work.
SWITCH_INTERVAL = 0.001
# Seconds that idle threads have to end, and between two looks whether they have.
END_TIMEOUT = 0.5
END_STEP = 0.005


class Consumers(Protocol):
    """What runs the consumers of this process."""

    #: What they take messages from.
    channels: list[str]

    @property
    def running(self) -> int:
        """How many consumers run now."""

    def start(self) -> None:
        """Begin to take messages."""

    def give_up(self, threads: set[int]) -> int:
        """End what runs in these threads, or greenlets; return of how many it cannot be done."""

    def finish(self) -> int:
        """Take no more, end what still runs if that can be done; return how many those are."""


def _hear() -> None:
    """Whoever waits is woken, too."""


class Nobody:
    """Consumers are elsewhere: this process is a server and nothing else."""

    channels: list[str] = []  # noqa: RUF012 - it stays empty
    running = 0

    def start(self) -> None:
        """Do nothing."""

    def give_up(self, threads: set[int]) -> int:  # noqa: ARG002
        """There is nothing to end."""
        return 0

    def finish(self) -> int:
        """There is nothing to end."""
        return 0


class Greenlets:
    """Consumers in pooled greenlets of the server's hub, at most ``size`` at once."""

    def __init__(self, loop: ConsumerLoop, size: int) -> None:
        self.channels = loop.channels
        self._loop = loop
        self._pool = GreenletPool(size, loop.pump_soon)
        self._given_up: set[int] = set()

    @property
    def running(self) -> int:
        """How many consumers run now."""
        return self._pool.running

    def start(self) -> None:
        """Begin to take messages."""
        self._loop.start(self._pool)

    def give_up(self, threads: set[int]) -> int:
        """Have RequestAborted raised where these greenlets wait, once."""
        for consumer in self._pool.unfinished() if threads - self._given_up else ():
            ident = id(consumer)  # as gevent's own get_ident
            if ident in threads and ident not in self._given_up:
                self._given_up.add(ident)
                gevent.kill(consumer, RequestAborted("nobody waits for the response"))
        return 0

    def finish(self) -> int:
        """Take no more; have what still runs end now."""
        left = self._pool.unfinished()
        self._loop.stop()
        for consumer in left:
            gevent.kill(consumer)
        gevent.sleep(0)  # they run to their end, unless they refuse to
        return len(left)


class Threads:
    """Consumers in ``threads`` native threads, beside the hub in the main one."""

    def __init__(self, loop: ConsumerLoop, layer: BaseLayer, threads: int) -> None:
        self.channels = loop.channels
        self._layer = layer
        self._threads = ThreadWorker(loop, layer, threads=threads)
        self._listener: Listener | None = None

    @property
    def running(self) -> int:
        """How many consumers run now."""
        return self._threads.running

    def start(self) -> None:
        """Begin to take messages."""
        # Unless the site knows better.
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        if isinstance(self._layer, LocalFirstLayer):
            # A thread listens only while it waits. Where nobody does in between, the shared layer
            # has to be asked before each request, and when it does not answer, nobody is served.
            self._listener = self._layer.listen(self._threads.channels, _hear)
        self._threads.start()

    def give_up(self, threads: set[int]) -> int:
        """Leave these threads to the end of their process."""
        return len(threads)

    def finish(self) -> int:
        """Take no more; name what still runs: a thread cannot be ended, but by its process."""
        self._threads.stop()
        if self._listener is not None:
            self._listener.close()
        deadline = time.monotonic() + END_TIMEOUT
        while not self._threads.join(0) and time.monotonic() < deadline:
            gevent.sleep(END_STEP)  # the hub goes on: a consumer's last words are to be sent
        left = self._threads.unfinished()
        for consumer in left:
            WORKER_CONSUMER_UNFINISHED.log(
                logger,
                "a consumer ends with its process: %(consumer)s",
                cause="graceful_timeout",
                consumer=consumer,
            )
        return len(left)
