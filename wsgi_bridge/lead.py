"""Lead: the right to take messages from the layer, which one thread has at a time.

A leader that runs a message gives the lead up, so that another thread takes the next one; that
wakes a thread, which costs more than a short message itself. So a leader may *keep* the lead while
it runs a message that is expected to be short. If that turns out to be wrong, the watch takes the
lead away from it, up to two PATIENCE after it began, and another thread has it.

The watch is a thread that ticks while messages are run, and sleeps when there have been none for a
while. It costs a message nothing but a look at whether it is awake.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

__all__ = ["PATIENCE", "Lead"]

# Seconds between two looks of the watch: what a message that blocks may delay others by, about.
PATIENCE = 0.002
# Looks that find nothing before the watch sleeps: to be woken costs more than a few of them.
IDLE_TICKS = 10


class Lead:
    """Nobody has it at first.

    ``on_loss`` is called when it is taken away from its keeper, before another one can have it.
    """

    def __init__(
        self, *, is_shared: bool, name: str, on_loss: Callable[[], object] = lambda: None
    ) -> None:
        self._lock = threading.Lock()
        # Holds the mark of a leader that keeps it. Whoever pops the mark, in one operation of the
        # interpreter, has the lead from then on: its keeper, or the watch.
        self._kept: list[object] = []
        self._is_shared = is_shared
        self._on_loss = on_loss
        self._is_watched = False
        self._is_closed = False
        self._alarm = threading.Lock()
        self._alarm.acquire()
        self._watch = threading.Thread(target=self._run, name=f"{name}-watch", daemon=True)

    def open(self) -> None:
        """Start the watch, if there is anybody to give the lead to."""
        if self._is_shared:
            self._watch.start()

    def close(self) -> None:
        """End the watch when nobody keeps the lead any more."""
        self._is_closed = True
        self._awaken()

    def join(self, timeout: float | None) -> None:
        """Wait for the end of the watch, up to `timeout` seconds."""
        if self._watch.ident is not None:  # it was started
            self._watch.join(timeout)

    def acquire(self) -> None:
        """Wait for the lead."""
        self._lock.acquire()

    def release(self) -> None:
        """Give it up."""
        self._lock.release()

    def keep(self) -> None:
        """Go on to have it, for as long as the watch lets us."""
        if self._is_shared:
            self._kept.append(object())
            if not self._is_watched:
                self._is_watched = True
                self._awaken()

    def regain(self) -> bool:
        """Whether we still have it, after `keep`."""
        if not self._is_shared:
            return True
        try:
            self._kept.pop()
        except IndexError:
            return False
        return True

    def _awaken(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake
            self._alarm.release()

    def _run(self) -> None:
        seen: list[object] = []
        idle = 0
        while self._kept or not self._is_closed:
            self._alarm.acquire(timeout=PATIENCE if self._is_watched else -1)
            before, seen = seen, self._kept[:]
            idle = 0 if seen else idle + 1
            if seen and seen == before:
                self._take_away()
            elif idle == IDLE_TICKS:
                # In this order: whoever keeps it after the look finds us asleep, and wakes us.
                self._is_watched = False
                if self._kept:
                    self._is_watched = True

    def _take_away(self) -> None:
        # It may be the mark of the next message by now: then a short one is run beside others.
        if self.regain():
            self._on_loss()
            self._lock.release()
