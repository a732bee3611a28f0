"""The memberships of the channels that this process reads, in step with its queues.

Beside the queue of a reader Redis keeps the memberships behind it, under a growing version, and the
latest changes of them; a group message carries the version that held when it was sent. The process
that begins to read the queue fetches the memberships, and then the changes: it applies them up to
the version of the message at hand, and then knows whom that is for. So one message goes to one
process, and an add or discard has its exact place among them.

Groups stand here as they do in keys.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.membership import Groups
from wsgi_bridge.layers.redis.codec import Change
from wsgi_bridge.names import reader_of

__all__ = ["ADD", "DISCARD", "Announced", "Fetched", "Memberships"]

#: What a change does: content [kind, group, channel, deadline], and an add may have [sealed data].
ADD = "add"
DISCARD = "discard"

#: Seconds for which an add to another process's channel is remembered. That one is woken by it and
#: then knows of it itself, unless it is busy: it looks for changes every 5 (keeper.SWEEP) at least.
HEARSAY = 12.0

#: group → until when a channel is a member, and its sealed data.
_Own = dict[str, tuple[float, bytes]]
_NONE: tuple[float, _Own] = (0.0, {})


class Announced(NamedTuple):
    """A membership that a process answers for, with the sealed data of the member, if any."""

    group: str
    channel: str
    deadline: float
    data: bytes = b""


class Fetched(NamedTuple):
    """What Redis knows of the memberships behind a reader: changes, the oldest first.

    `members` are the contents of all adds that hold, if they were asked for.
    """

    pending: int  # messages in the queue
    version: float
    changes: Sequence[Change]
    members: Sequence[list[Any]]


class Memberships:
    """Members of groups by reader; `expiry` is the layer's `group_expiry`, in seconds."""

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._lock = native_lock()
        self._groups = Groups(expiry)
        self._pending: dict[str, deque[Change]] = {}
        # The version that was last fetched, of the readers whose memberships have been.
        self._versions: dict[str, float] = {}
        # reader → (turn, version), see mark
        self._marks: dict[str, tuple[int, float]] = {}
        self._own: dict[str, _Own] = {}  # by channel
        # channel → (until when it is remembered, what is)
        self._elsewhere: dict[str, tuple[float, _Own]] = {}

    def known(self, reader: str) -> float | None:
        """Return the version that was last fetched, None if nothing was."""
        return self._versions.get(reader)

    def expand(
        self,
        reader: str,
        group: str,
        version: float,
        now: float,
        fetch: Callable[[], Fetched | None],
    ) -> tuple[str, ...]:
        """Return the members behind `reader` at `version`; `fetch` gets what is known until now."""
        if version > self._versions.get(reader, -1.0) and (fetched := fetch()) is not None:
            # What Redis has lost is not asked for again: `version` is known from here on.
            self.hold(reader, fetched._replace(version=max(version, fetched.version)))
        with self._lock:
            self._apply(reader, version)
            return self._groups.names(group, reader, now)

    def hold(self, reader: str, fetched: Fetched) -> None:
        """Keep changes until a message tells how far they have come."""
        with self._lock:
            if reader not in self._versions:
                self._begin(reader, fetched)
            known = self._versions[reader]
            # Two threads may have fetched the same ones.
            fresh = [change for change in fetched.changes if change.version > known]
            self._pending.setdefault(reader, deque()).extend(fresh)
            for kind, group, channel, *rest in (change.content for change in fresh):
                if kind == DISCARD:
                    self._disown(group, channel)
                elif group in self._own.get(channel, ()):
                    self._remember(self._own[channel], group, *rest)  # another's data, maybe
            last = fetched.changes[-1].version if fetched.changes else 0.0
            self._versions[reader] = max(known, fetched.version, last)

    def _begin(self, reader: str, fetched: Fetched) -> None:
        """Take over a reader: its members, as they were before the changes that Redis has."""
        self._versions[reader] = -1.0
        for content in fetched.members:
            self._add(*content[1:])
        for change in reversed(fetched.changes):
            kind, group, channel, *_ = change.content
            if change.is_real and kind == ADD:
                self._groups.discard(group, channel)
            elif change.is_real:
                # For as long as it takes to get to the discard.
                self._groups.add(group, channel, float("inf"))

    def lose(self, reader: str) -> None:
        """Forget a reader: it is another process's."""
        with self._lock:
            self._versions.pop(reader, None)
            self._pending.pop(reader, None)
            self._marks.pop(reader, None)
            for group, channel, _ in self._groups.memberships(reader):
                self._groups.discard(group, channel)
            for channel in [each for each in self._own if reader_of(each) == reader]:
                del self._own[channel]

    def mark(self, reader: str, turn: int, version: float) -> None:
        """Remember that messages of versions before `version` have come when `turn` is over."""
        with self._lock:
            # An earlier mark is reached sooner.
            self._marks.setdefault(reader, (turn, version))

    def catch_up(self, reader: str, turn: int) -> None:
        """Apply the changes up to the mark of a reader, if its thread has come to a later turn."""
        with self._lock:
            marked, version = self._marks.get(reader, (turn, 0.0))
            if marked < turn:
                del self._marks[reader]
                self._apply(reader, version)

    def _apply(self, reader: str, version: float) -> None:
        pending = self._pending.get(reader)
        while pending and pending[0].version <= version:
            kind, group, channel, *rest = pending.popleft().content
            if kind == ADD:
                self._add(group, channel, *rest)
            else:
                self._groups.discard(group, channel)

    def _add(self, group: str, channel: str, deadline: float, data: bytes = b"") -> None:
        self._groups.add(group, channel, deadline - self._expiry, data or None)

    # What this process added itself, and announces: see GroupOperations.group_add.

    def add(self, group: str, channel: str, deadline: float, data: bytes = b"") -> None:
        """Remember an add by this process."""
        with self._lock:
            self._remember(self._own.setdefault(channel, {}), group, deadline, data)

    def add_elsewhere(self, added: Announced, now: float) -> None:
        """Remember an add to a channel that another process reads, until that one knows of it."""
        group, channel, deadline, data = added
        with self._lock:
            _, groups = self._elsewhere.pop(channel, (0.0, {}))
            self._remember(groups, group, deadline, data)
            self._elsewhere[channel] = (now + HEARSAY, groups)  # at the end: the oldest is first
            while next(iter(self._elsewhere.values()))[0] <= now:
                del self._elsewhere[next(iter(self._elsewhere))]

    @staticmethod
    def _remember(groups: _Own, group: str, deadline: float, data: bytes = b"") -> None:
        """An add without data leaves those alone that there are."""
        groups[group] = (deadline, data or groups.get(group, (0.0, b""))[1])

    def added_elsewhere(self, now: float) -> list[Announced]:
        """Return what other processes may not know of yet."""
        with self._lock:
            return [
                Announced(group, channel, *each)
                for channel, (until, groups) in self._elsewhere.items()
                for group, each in groups.items()
                if until > now
            ]

    def discard(self, group: str, channel: str) -> None:
        """Forget it."""
        with self._lock:
            self._disown(group, channel)

    def _disown(self, group: str, channel: str) -> None:
        for groups in (self._own.get(channel, {}), self._elsewhere.get(channel, _NONE)[1]):
            groups.pop(group, None)
        if not self._own.get(channel, True):
            del self._own[channel]

    def forget(self, channel: str) -> None:
        """Forget a channel."""
        with self._lock:
            self._own.pop(channel, None)
            self._elsewhere.pop(channel, None)

    def announced(self, readers: set[str], now: float) -> list[Announced]:
        """Return all that this process answers for."""
        known: list[Announced] = []
        with self._lock:
            for reader in readers:
                self._apply(reader, float("inf"))
            for channel, groups in self._own.items():
                for group, (end, data) in groups.items():
                    if end > now and reader_of(channel) in readers:
                        # Its change may be lost: from here on it is known without.
                        self._add(group, channel, end, data)
                    elif end > now:
                        known.append(Announced(group, channel, end, data))
            for reader in readers:
                for group, channel, end in self._groups.memberships(reader):
                    if end > now:
                        data = self._groups.data(group, channel) or b""
                        known.append(Announced(group, channel, end, data))
        return known

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._groups.clear()
            self._pending.clear()
            self._versions.clear()
            self._marks.clear()
            self._own.clear()
            self._elsewhere.clear()
