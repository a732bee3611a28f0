"""Deadlines: many objects, one delay, two dictionary operations each.

A timer of libev for each request would cost more than the request's parsing. All items of a queue
have the same delay, so the oldest is always the first, and one periodic sweep finds what is due. The
price is precision: an item is due up to one sweep late.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class DeadlineQueue(Generic[Item]):
    """Items that each have ``delay`` seconds from ``add``; 0 or less: no deadline at all.

    ``on_due(item)`` is called by ``sweep`` for each item past its deadline, after it was taken out.
    """

    __slots__ = ("_clock", "_deadlines", "_on_due", "delay")

    def __init__(
        self, delay: float, on_due: Callable[[Item], None], clock: Callable[[], float]
    ) -> None:
        self.delay = delay
        self._on_due = on_due
        self._clock = clock
        self._deadlines: dict[Item, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, item: Item) -> None:
        """Start, or start again, the item's time."""
        if self.delay > 0:
            self._deadlines.pop(item, None)  # to the end: dictionaries keep the order of insertion
            self._deadlines[item] = self._clock() + self.delay

    def add_once(self, item: Item) -> None:
        """Start the item's time, unless it runs already."""
        if item not in self._deadlines:
            self.add(item)

    def discard(self, item: Item) -> None:
        """Forget the item, if it is there."""
        self._deadlines.pop(item, None)

    def sweep(self) -> None:
        """Call ``on_due`` for what is past its deadline."""
        now = self._clock()
        deadlines = self._deadlines
        while deadlines:
            item = next(iter(deadlines))
            if deadlines[item] > now:
                return
            del deadlines[item]
            self._on_due(item)
