"""What visitors lived through: visits that went well, and failures, with or without an excuse.

A worker that is killed takes its requests and sockets with it, and one that is told to stop closes
its sockets. Nothing else excuses a failure: not a reload, for a request, and not a kill, for a
visit that began after it.

One exception: a worker that stops gives a new connection half a second for its request. Visitors
that were held up for a good part of that themselves, as the machine is busy, may find it closed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["KILL", "LATE", "RELOAD", "Failure", "Ledger", "Mark"]

RELOAD, KILL, LATE = "reload", "kill", "lateness"

#: Seconds before its end at which a failure may have begun that no one else knows the beginning of:
#: the kernel tells at once.
MOMENT = 1.0

#: How a failure begins that says no more than that the connection has ended.
ENDINGS = ("EOFError", "ConnectionResetError", "BrokenPipeError", "InvalidMessage")

#: Seconds for which workers drain after a reload, at most.
DRAIN = 31.0

#: The close code of a server that restarts (1012, service restart).
RESTART = 1012


@dataclass(frozen=True)
class Mark:
    """A reload or a kill; `at` by the monotonic clock."""

    at: float
    what: str


@dataclass(frozen=True)
class Failure:
    """A visit that did not end as it should. Times by the monotonic clock."""

    kind: str
    began: float
    ended: float
    what: str
    close_code: int = 0

    def describe(self, started: float) -> str:
        """Return it in words; `started`: of the run."""
        at, took = self.ended - started, self.ended - self.began
        return f"Failed, at {at:.1f} s after {took:.1f} s: {self.kind}: {self.what}"


@dataclass
class Ledger:
    """Used by the thread of the visitors; read by others when that has ended.

    `restart_window`: seconds after a reload in which sockets may be closed; 0: in none.
    """

    restart_window: float = 0.0
    visits: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    #: When each page was asked for, and in how many seconds it came.
    latencies: list[tuple[float, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def mark(self, what: str) -> None:
        """Say what happens now. To be called before it does."""
        with self._lock:
            self.marks.append(Mark(time.monotonic(), what))

    def excuse(self, failure: Failure) -> str:
        """Return what explains a failure; "" if nothing does."""
        with self._lock:
            marks = list(self.marks)
        if failure.close_code == RESTART:
            began = failure.ended - self.restart_window
            return self._find(marks, RELOAD, began, failure.ended) if self.restart_window else ""
        found = self._find(marks, KILL, failure.began - MOMENT, failure.ended)
        if not found and failure.what.startswith(ENDINGS) and self.is_reloading(failure.ended):
            found = self._find(marks, LATE, failure.began - MOMENT, failure.ended)
        return found

    def _find(self, marks: list[Mark], what: str, began: float, ended: float) -> str:
        return (
            what if any(each.what == what and began <= each.at <= ended for each in marks) else ""
        )

    def is_reloading(self, now: float) -> bool:
        """Whether workers may drain, since there was a reload."""
        with self._lock:
            return any(each.what == RELOAD and 0 <= now - each.at <= DRAIN for each in self.marks)

    @property
    def unexcused(self) -> list[Failure]:
        """The failures that nothing explains."""
        return [failure for failure in self.failures if not self.excuse(failure)]

    def excused(self) -> Counter[str]:
        """Return how many failures of each kind something explains."""
        return Counter(each.kind for each in self.failures if self.excuse(each))

    def has_ended(self, kind: str) -> bool:
        """Whether there was a visit of a kind, well or not."""
        return bool(self.visits[kind]) or any(each.kind == kind for each in self.failures)

    def percentile(self, part: float, since: float = 0.0, until: float = float("inf")) -> float:
        """Return the latency that this part of the pages did not exceed, in seconds."""
        found = sorted(took for at, took in self.latencies if since <= at < until)
        return found[min(len(found) - 1, int(part * len(found)))] if found else 0.0
