"""The queue of one reader in the memory layer, and what was counted about it.

Plain data: the layer guards it with its lock, and writes out what has to be fast.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wsgi_bridge.layers.statistics import RATE_WINDOW, Meter, Statistics

__all__ = ["NO_ROOM", "ROOM", "Names", "Queue", "Room", "Wake", "sum_statistics"]

Wake = Callable[[], object]

#: Whom a message is for: a channel's full name, or the members of a group message.
Names = str | tuple[str, ...]


class Room(NamedTuple):
    """What may be put on a queue without asking anybody, up to its capacity.

    As many messages as `size`; more of them while the oldest has not waited `patience` seconds.
    """

    size: int
    patience: float = 0.0


NO_ROOM = Room(0)
#: Up to the capacity.
ROOM = Room(sys.maxsize)


class Queue:
    """The messages that wait for one reader, oldest first."""

    __slots__ = (
        "capacity",
        "entries",
        "expired",
        "full",
        "losing",
        "lost",
        "name",
        "patience",
        "room",
        "sent",
        "turn",
        "wakes",
    )

    def __init__(self, name: str, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.room = capacity  # see Room
        self.patience = 0.0
        # (deadline, whom it is for, message)
        self.entries: deque[tuple[float, Names, dict[str, Any]]] = deque()
        self.wakes: tuple[Wake, ...] = ()
        self.turn = 0  # the layer's turn when it was last served
        self.sent = Meter()
        self.full = Meter()
        self.expired = 0
        self.lost = 0
        self.losing = False  # in a burst of lost group messages, which has been logged

    def give_room(self, room: Room) -> None:
        """Say what may be put on it without asking."""
        self.room = min(room.size, self.capacity)
        self.patience = room.patience

    def is_idle(self, now: float) -> bool:
        """Whether nothing is lost by forgetting it, its rates included."""
        busy_until = max(self.sent.next_mark, self.full.next_mark) + RATE_WINDOW
        return not self.entries and not self.wakes and busy_until <= now

    def add_counts(self, other: Queue) -> None:
        """Take over the totals of a queue that is forgotten."""
        self.sent.total += other.sent.total
        self.full.total += other.full.total
        self.expired += other.expired
        self.lost += other.lost


def sum_statistics(queues: Sequence[Queue], now: float, expiry: float) -> Statistics:
    """Return the figures of all of `queues`, from which expired messages have been dropped."""
    heads = [queue.entries[0][0] - expiry for queue in queues if queue.entries]
    return {
        "messages_count": sum(queue.sent.total for queue in queues),
        "messages_count_per_second": sum(queue.sent.rate(now) for queue in queues),
        "messages_pending": sum(len(queue.entries) for queue in queues),
        "messages_max_age": max(0.0, now - min(heads, default=now)),
        "channel_full_count": sum(queue.full.total for queue in queues),
        "channel_full_count_per_second": sum(queue.full.rate(now) for queue in queues),
        "messages_expired_count": sum(queue.expired for queue in queues),
        "group_messages_lost_count": sum(queue.lost for queue in queues),
        "messages_undecodable_count": 0,  # nothing is encoded
    }
