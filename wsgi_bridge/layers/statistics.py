"""What a layer counts, and rates over a sliding window.

Not a metrics library: a Meter costs one comparison and one addition for an event, takes no time
itself, and is protected by its owner's lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

__all__ = [
    "RATE_WINDOW",
    "GroupStatistics",
    "Meter",
    "Statistics",
    "add_statistics",
    "no_statistics",
]

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
    messages_undecodable_count: int


class GroupStatistics(TypedDict):
    """What `statistics_by_group` tells of a group; MESSAGES.md section 1."""

    members_count: int
    readers_count: int


def no_statistics() -> Statistics:
    """Return the figures of a channel that nobody used."""
    return {
        "messages_count": 0,
        "messages_count_per_second": 0.0,
        "messages_pending": 0,
        "messages_max_age": 0.0,
        "channel_full_count": 0,
        "channel_full_count_per_second": 0.0,
        "messages_expired_count": 0,
        "group_messages_lost_count": 0,
        "messages_undecodable_count": 0,
    }


def add_statistics(one: Statistics, other: Statistics) -> Statistics:
    """Return the figures of both together."""
    total: Any = {name: figure + other[name] for name, figure in one.items()}  # type: ignore[literal-required]
    total["messages_max_age"] = max(one["messages_max_age"], other["messages_max_age"])
    figures: Statistics = total
    return figures


class Meter:
    """A count that knows how fast it grows.

    The hot path of an owner is written out as

        if now >= meter.next_mark:
            meter.mark(now)
        meter.total += 1

    A layer that keeps its counts elsewhere stores `total` and `marks`, and makes a Meter of them.
    """

    __slots__ = ("marks", "next_mark", "total")

    def __init__(self, total: int = 0, marks: Iterable[tuple[float, int]] = ()) -> None:
        self.total = total
        self.marks = list(marks)  # (time, total just before it), oldest first
        self.next_mark = self.marks[-1][0] + MARK_INTERVAL if self.marks else float("-inf")

    def mark(self, now: float) -> None:
        """Remember the total at `now`, and forget the marks that left the window."""
        self.marks = [mark for mark in self.marks if mark[0] > now - RATE_WINDOW]
        self.marks.append((now, self.total))
        self.next_mark = now + MARK_INTERVAL

    def add(self, now: float) -> None:
        """Count one event."""
        if now >= self.next_mark:
            self.mark(now)
        self.total += 1

    def rate(self, now: float) -> float:
        """Return the events a second in the RATE_WINDOW seconds before `now`."""
        for time, total in self.marks:
            if time > now - RATE_WINDOW:
                return (self.total - total) / RATE_WINDOW
        return 0.0
