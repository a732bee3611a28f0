"""What a layer counts, and rates over a sliding window.

Not a metrics library: a Meter costs one comparison and one addition for an event, takes no time
itself, and is protected by its owner's lock.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["RATE_WINDOW", "Meter", "Statistics"]

#: Seconds that a per-second rate is taken over: long enough for a steady figure, short enough to
#: follow a burst. The draft took one second, which flickers.
RATE_WINDOW = 5.0

#: Seconds between the marks of a meter, so that it keeps six at most.
MARK_INTERVAL = 1.0


class Statistics(TypedDict):
    """The answer of `global_statistics` and `channel_statistics`; MESSAGES.md section 1."""

    messages_count: int
    messages_count_per_second: float
    messages_pending: int
    messages_max_age: float
    channel_full_count: int
    channel_full_count_per_second: float
    messages_expired_count: int
    group_messages_lost_count: int


class Meter:
    """A count that knows how fast it grows.

    The hot path of an owner is written out as

        if now >= meter.next_mark:
            meter.mark(now)
        meter.total += 1
    """

    __slots__ = ("_marks", "next_mark", "total")

    def __init__(self) -> None:
        self.total = 0
        self.next_mark = float("-inf")
        self._marks: list[tuple[float, int]] = []  # (time, total just before it), oldest first

    def mark(self, now: float) -> None:
        """Remember the total at `now`, and forget the marks that left the window."""
        self._marks = [mark for mark in self._marks if mark[0] > now - RATE_WINDOW]
        self._marks.append((now, self.total))
        self.next_mark = now + MARK_INTERVAL

    def add(self, now: float) -> None:
        """Count one event."""
        if now >= self.next_mark:
            self.mark(now)
        self.total += 1

    def rate(self, now: float) -> float:
        """Return the events a second in the RATE_WINDOW seconds before `now`."""
        for time, total in self._marks:
            if time > now - RATE_WINDOW:
                return (self.total - total) / RATE_WINDOW
        return 0.0
