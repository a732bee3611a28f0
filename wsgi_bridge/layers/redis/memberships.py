"""The memberships of the channels that this process reads, in step with its queues.

Whoever changes a membership appends the change, under a growing version, to a list beside the
reader's queue; a group message carries the version that held when it was sent. The process that
reads the queue applies the changes up to that version, and then knows whom the message is for. So
one message goes to one process, and an add or discard has its exact place among them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.membership import Groups
from wsgi_bridge.names import reader_of

__all__ = ["ADD", "DISCARD", "FORGET", "Change", "Memberships"]

#: What a change does: content [kind, group, channel, deadline].
ADD = "add"
DISCARD = "discard"
FORGET = "forget"
NOTHING = "nothing"

#: Seconds for which an add to another process's channel is remembered: that one looks for changes
#: every 5 (keeper.SWEEP), and knows of them itself from then on.
HEARSAY = 12.0

_NONE: tuple[float, dict[str, float]] = (0.0, {})

#: (version, content)
Change = tuple[float, list[Any]]


class Memberships:
    """Members of groups by reader; `expiry` is the layer's `group_expiry`, in seconds."""

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._lock = native_lock()
        self._groups = Groups(expiry)
        self._pending: dict[str, deque[Change]] = {}
        self._versions: dict[str, float] = {}  # the last change that was fetched
        self._own: dict[str, dict[str, float]] = {}  # channel → {group: deadline}
        # channel → (until when it is remembered, {group: deadline})
        self._elsewhere: dict[str, tuple[float, dict[str, float]]] = {}

    def expand(
        self,
        reader: str,
        group: str,
        version: float,
        now: float,
        fetch: Callable[[], list[Change]],
    ) -> tuple[str, ...]:
        """Return the members behind `reader` at `version`; `fetch` gets what changed until now."""
        if version > self._versions.get(reader, 0.0):
            # What Redis has lost is not asked for again: `version` is known from here on.
            self.hold(reader, [*fetch(), (version, [NOTHING, "", "", 0.0])])
        with self._lock:
            self._apply(reader, version)
            return self._groups.names(group, reader, now)

    def hold(self, reader: str, changes: list[Change]) -> None:
        """Keep changes until a message tells how far they have come."""
        with self._lock:
            self._pending.setdefault(reader, deque()).extend(changes)
            last = max((each for each, _ in changes), default=0.0)
            self._versions[reader] = max(self._versions.get(reader, 0.0), last)

    def catch_up(self, reader: str, changes: list[Change]) -> None:
        """Apply all changes there are: no message of an earlier version is under way."""
        self.hold(reader, changes)
        with self._lock:
            self._apply(reader, float("inf"))

    def _apply(self, reader: str, version: float) -> None:
        pending = self._pending.get(reader)
        while pending and pending[0][0] <= version:
            kind, group, channel, deadline = pending.popleft()[1]
            if kind == ADD:
                self._groups.add(group, channel, deadline - self._expiry)
            elif kind == DISCARD:
                self._groups.discard(group, channel)
            elif kind == FORGET:
                self._groups.leave(reader, (channel,))

    # What this process added itself, and announces: see GroupOperations.group_add.

    def add(self, group: str, channel: str, deadline: float) -> None:
        """Remember an add by this process."""
        with self._lock:
            self._own.setdefault(channel, {})[group] = deadline

    def add_elsewhere(self, group: str, channel: str, deadline: float, now: float) -> None:
        """Remember an add to a channel that another process reads, until that one knows of it."""
        with self._lock:
            _, groups = self._elsewhere.pop(channel, (0.0, {}))
            groups[group] = deadline
            self._elsewhere[channel] = (now + HEARSAY, groups)  # at the end: the oldest is first
            while next(iter(self._elsewhere.values()))[0] <= now:
                del self._elsewhere[next(iter(self._elsewhere))]

    def added_elsewhere(self, now: float) -> list[tuple[str, str, float]]:
        """Return (group, channel, deadline) of what other processes may not know of yet."""
        with self._lock:
            return [
                (group, channel, end)
                for channel, (until, groups) in self._elsewhere.items()
                for group, end in groups.items()
                if until > now
            ]

    def discard(self, group: str, channel: str) -> None:
        """Forget it."""
        with self._lock:
            for groups in (self._own.get(channel, {}), self._elsewhere.get(channel, _NONE)[1]):
                groups.pop(group, None)
            if not self._own.get(channel, True):
                del self._own[channel]

    def forget(self, channel: str) -> None:
        """Forget a channel."""
        with self._lock:
            self._own.pop(channel, None)
            self._elsewhere.pop(channel, None)

    def announced(self, readers: set[str], now: float) -> list[tuple[str, str, float]]:
        """Return (group, channel, deadline) of all that this process answers for."""
        known: list[tuple[str, str, float]] = []
        with self._lock:
            for reader in readers:
                self._apply(reader, float("inf"))
            for channel, groups in self._own.items():
                for group, end in groups.items():
                    if end > now and reader_of(channel) in readers:
                        # Its change may be lost: from here on it is known without.
                        self._groups.add(group, channel, end - self._expiry)
                    elif end > now:
                        known.append((group, channel, end))
            for reader in readers:
                known += self._groups.memberships(reader)
        return known

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._groups.clear()
            self._pending.clear()
            self._own.clear()
            self._elsewhere.clear()
