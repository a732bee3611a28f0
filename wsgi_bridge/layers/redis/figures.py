"""Statistics, from what the scripts counted in Redis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from wsgi_bridge.layers.statistics import RATE_WINDOW, Statistics

__all__ = ["Backlog", "make_statistics"]

#: Seconds that a rate is taken over, beside the part of the present one that has passed.
_WHOLE_SECONDS = int(RATE_WINDOW) - 1


class Backlog(NamedTuple):
    """What is in a queue: messages that wait, and expired ones that nobody has met yet.

    `age` is that of the oldest one that waits, in seconds.
    """

    pending: int
    age: float
    expired: int


def make_statistics(
    hashes: Iterable[list[bytes]], backlogs: Iterable[Backlog], now: float
) -> Statistics:
    """Return the figures of these HGETALL replies and queues together."""
    totals: dict[str, int] = {}
    recent: dict[str, int] = {}
    first = math.floor(now) - _WHOLE_SECONDS
    for fields in hashes:
        for at in range(0, len(fields), 2):
            name, _, second = fields[at].decode().partition(":")
            number = int(fields[at + 1])
            totals[name] = totals.get(name, 0) + number
            if second and int(second) >= first:
                recent[name] = recent.get(name, 0) + number
    window = now - first or 1.0
    waiting = list(backlogs)
    return {
        "messages_count": totals.get("sent", 0),
        "messages_count_per_second": recent.get("sent", 0) / window,
        "messages_pending": sum(each.pending for each in waiting),
        "messages_max_age": max((each.age for each in waiting), default=0.0),
        "channel_full_count": totals.get("full", 0),
        "channel_full_count_per_second": recent.get("full", 0) / window,
        "messages_expired_count": totals.get("expired", 0) + sum(each.expired for each in waiting),
        "group_messages_lost_count": totals.get("lost", 0),
        "messages_undecodable_count": totals.get("undecodable", 0),
    }
