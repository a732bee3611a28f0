"""Deadlines: have a function called when what runs in a thread has not ended in time.

For native threads, which nothing can interrupt: whoever waits for them is told, and they go on. One
thread of this process watches all deadlines, from the first on.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from operator import attrgetter
from types import TracebackType

from wsgi_bridge.events.server import SERVER_DEADLINE_FAILED

__all__ = ["Deadline", "Deadlines", "stack_of"]

logger = logging.getLogger(__name__)

FOREVER = float("inf")

_start_lock = threading.Lock()


class Deadline:
    """A context manager: ``on_late(ident)`` is called if its block has not ended in time.

    ``ident`` is the thread of the block. Either the block ends first or the function is called,
    never both at once: the block's end waits for a call that has begun.
    """

    def __init__(
        self, deadlines: Deadlines, seconds: float, on_late: Callable[[int], None]
    ) -> None:
        self.when = time.monotonic() + seconds
        self._deadlines = deadlines
        self._on_late = on_late
        self._lock = threading.Lock()
        self._is_over = False
        self._ident = 0

    def __enter__(self) -> None:
        self._ident = threading.get_ident()
        self._deadlines.add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._is_over = True
        self._deadlines.discard(self)

    def expire(self) -> None:
        """Call the function, unless the block has ended."""
        with self._lock:
            if not self._is_over:
                self._is_over = True
                self._on_late(self._ident)


class Deadlines:
    """The deadlines of one process. Safe to use from any thread, and after a fork."""

    def __init__(self) -> None:
        self._begin()
        self._pid = 0

    def _begin(self) -> None:
        self._condition = threading.Condition()
        # No more than there are threads: looking at all of them is cheaper than keeping an order.
        self._running: set[Deadline] = set()
        self._waits_until = FOREVER

    def within(self, seconds: float, on_late: Callable[[int], None]) -> Deadline:
        """Return the context manager for a block that should take ``seconds`` at most."""
        return Deadline(self, seconds, on_late)

    def add(self, deadline: Deadline) -> None:
        """Watch a deadline."""
        if self._pid != os.getpid():
            self._start()
        with self._condition:
            self._running.add(deadline)
            if deadline.when < self._waits_until:
                self._condition.notify()

    def discard(self, deadline: Deadline) -> None:
        """Forget a deadline."""
        with self._condition:
            self._running.discard(deadline)

    def _start(self) -> None:
        """Start the thread: a forked child has none, and its parent's deadlines are not its own."""
        with _start_lock:
            if self._pid == os.getpid():
                return
            self._begin()
            threading.Thread(target=self._run, name="deadlines", daemon=True).start()
            self._pid = os.getpid()

    def _run(self) -> None:
        while True:
            for deadline in self._wait():
                try:
                    deadline.expire()
                except Exception as exc:
                    # The top of a supervised loop: the other deadlines still count.
                    SERVER_DEADLINE_FAILED.log(
                        logger, "what a deadline asks for failed", cause=exc, exc_info=True
                    )

    def _wait(self) -> list[Deadline]:
        """Wait for the next deadlines, and return those that have passed."""
        with self._condition:
            while True:
                now = time.monotonic()
                passed = [each for each in self._running if each.when <= now]
                if passed:
                    self._running.difference_update(passed)
                    self._waits_until = now
                    return sorted(passed, key=attrgetter("when"))
                self._waits_until = min((each.when for each in self._running), default=FOREVER)
                delay = None if self._waits_until == FOREVER else self._waits_until - now
                self._condition.wait(delay)


def stack_of(ident: int) -> str:
    """Return where a thread is now, as a traceback has it; "" if it has ended."""
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)) if frame is not None else ""
