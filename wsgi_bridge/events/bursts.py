"""Bursts: a storm of one event is a few lines, and a number of those left out.

A client, a site's mistake or a layer that is down can cause one event thousands of times a second:
who logs each fills a disk, and hides everything else. So in WINDOW seconds an event has no more
lines than it says itself, for each kind of cause; the others are counted, and kept for the level
debug. The last of them is told when the window is over, with their number: by whoever looks every
second or so (`tell_suppressed`), else with the next that comes. printk and journald do the like.

Without a lock: a number that two threads change at once has one statement, between whose parts the
interpreter does not switch threads; and a lock would be copied by a fork.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["MAX_BURSTS", "WINDOW", "Bursts", "Line", "Log", "bursts", "tell_suppressed"]

#: Seconds that the lines of a burst are counted over. journald's is 30, printk's 5.
WINDOW = 10.0
#: Bursts that are told apart at a time; when there are more, the oldest is forgotten.
MAX_BURSTS = 1000


class Log(Protocol):
    """What a line is written with: a logging.Logger, or gunicorn's."""

    def log(self, level: int, text: str, /, *arguments: Any, **options: Any) -> None:
        """Write a line."""


@dataclass(frozen=True)
class Line:
    """A line that was not written: its text is made, as what it tells of may change or be large."""

    log: Log
    level: int
    text: str
    extra: dict[str, Any]

    def write(self, number: int, seconds: float) -> None:
        """Write it as the last of `number`."""
        text, extra = self.text, self.extra
        if number > 1:
            extra = {**extra, "suppressed": number - 1}
            text = f"{text} (and {number - 1} more like it in {seconds:.0f} s)"
        self.log.log(self.level, "%s", text, extra=extra)


class _Burst:
    __slots__ = ("last", "lines", "since", "suppressed")

    def __init__(self, since: float) -> None:
        self.since = since
        self.lines = 0
        self.suppressed = 0
        self.last: Line | None = None


class Bursts:
    """The bursts of a process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._bursts: dict[Hashable, _Burst] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self._bursts)

    def is_admitted(self, key: Hashable, lines: int) -> bool:
        """Whether another line of this burst may be written; else `suppress` is to be called."""
        self._forget_parent()
        now = self.clock()
        burst = self._bursts.get(key)
        if burst is None or now >= burst.since + WINDOW:
            self._end(key, now)
            if len(self._bursts) >= MAX_BURSTS:
                self._end(next(iter(self._bursts), None), now)
            burst = self._bursts[key] = _Burst(now)
        burst.lines += 1
        return burst.lines <= lines

    def suppress(self, key: Hashable, line: Line) -> None:
        """Count a line that is not written, and keep it, for it may be the last one."""
        burst = self._bursts.get(key)
        if burst is not None:
            burst.suppressed += 1
            burst.last = line

    def tell(self, *, at_once: bool = False) -> None:
        """Write the last line of each burst that is over, and how many were left out."""
        self._forget_parent()
        now = self.clock()
        for key, burst in list(self._bursts.items()):
            if at_once or now >= burst.since + WINDOW:
                self._end(key, now)

    def clear(self) -> None:
        """Forget everything."""
        self._bursts = {}

    def _forget_parent(self) -> None:
        """What a process left out before it forked is told by itself."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self.clear()

    def _end(self, key: Hashable, now: float) -> None:
        burst = self._bursts.pop(key, None)
        if burst is not None and burst.last is not None:
            burst.last.write(burst.suppressed, now - burst.since)


bursts = Bursts()


def tell_suppressed(*, at_once: bool = False) -> None:
    """Say what bursts have left out: every second or so, and `at_once` when a process ends."""
    if len(bursts):
        bursts.tell(at_once=at_once)
