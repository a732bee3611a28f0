"""Which single-reader channels of this process are read elsewhere.

A request that overflows to another process takes the channel of its body along: the chunks must
follow it. Each is remembered until nothing was sent to it for as long as a message lives, when its
reader has given up. Their number is bounded: what would be one too many stays at home.
"""

from __future__ import annotations

import itertools

__all__ = ["Exports"]

#: Requests with a body under way that were taken by other processes.
MAX_EXPORTS = 10_000

#: Names that are looked at for each one that is added: more than one, so that they do not pile up.
PURGED = 8


class Exports:
    """The names, with the time at which each is forgotten. `expiry` in seconds; `now` is passed."""

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._deadlines: dict[str, float] = {}  # soonest first

    def __contains__(self, name: str) -> bool:
        return name in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def has_room(self, now: float) -> bool:
        """Whether one more can be added, after the expired ones have been forgotten."""
        for name, deadline in list(itertools.islice(self._deadlines.items(), PURGED)):
            if deadline > now:
                break
            self._deadlines.pop(name, None)
        return len(self._deadlines) < MAX_EXPORTS

    def add(self, name: str, now: float) -> None:
        """Remember a name, or that it was used again."""
        self._deadlines.pop(name, None)
        self._deadlines[name] = now + self._expiry
