"""Which channels are members of which groups, by the reader that receives for them.

    group → reader → members with the time at which each membership ends

Kept by reader because a group message is one queue operation for each reader, with the tuple of its
members. That tuple is made again only after a change, so that a broadcast does not cost by member.

Plain data: no lock, no clock, no check of names; the layer that owns it does those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wsgi_bridge.names import reader_of

__all__ = ["Groups"]


class Groups:
    """The groups of one layer. `expiry` is how long a membership lasts unless renewed, in seconds.

    Times are passed in as `now`. Lists are copies: what calls back from under an iteration (the
    garbage collector, by a finalizer) may change the groups.
    """

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        self._groups: dict[str, dict[str, _Members]] = {}
        self._joined: dict[str, set[str]] = {}  # reader → groups, so that leaving is cheap

    def add(self, group: str, channel: str, now: float, data: Any = None) -> None:
        """Make `channel` a member, or renew its membership; with other data, if any are given."""
        reader = reader_of(channel)
        readers = self._groups.setdefault(group, {})
        members = readers.setdefault(reader, _Members())
        if data is not None:
            members.data[channel] = data
        elif members.data and members.deadlines.get(channel, now) <= now:
            members.data.pop(channel, None)  # of a membership that is over
        members.add(channel, now + self._expiry)
        self._joined.setdefault(reader, set()).add(group)

    def discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one."""
        self._remove(group, reader_of(channel), (channel,))

    def leave(self, reader: str, names: Iterable[str]) -> None:
        """End the memberships of `names`, all received by `reader`, in every group."""
        for group in tuple(self._joined.get(reader, ())):
            self._remove(group, reader, names)

    def all(self) -> list[str]:
        """Return the groups that have members, expired ones perhaps included."""
        return list(self._groups)

    def readers(self, group: str) -> list[str]:
        """Return the readers that have members in `group`, expired ones perhaps included."""
        return list(self._groups.get(group, ()))

    def names(self, group: str, reader: str, now: float) -> tuple[str, ...]:
        """Return the live members of `group` under `reader`; forget the expired ones."""
        members = self._groups.get(group, {}).get(reader)
        if members is None:
            return ()
        names = members.names(now)
        if not names:
            self._remove(group, reader, ())
        return names

    def data(self, group: str, channel: str) -> Any:
        """Return what a member was added with; None if that was nothing, or it is no member."""
        members = self._groups.get(group, {}).get(reader_of(channel))
        return None if members is None else members.data.get(channel)

    def memberships(self, reader: str) -> list[tuple[str, str, float]]:
        """Return (group, channel, end) of all that `reader` receives for."""
        return [
            (group, channel, end)
            for group in tuple(self._joined.get(reader, ()))
            for channel, end in tuple(self._groups[group][reader].deadlines.items())
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._groups.clear()
        self._joined.clear()

    def _remove(self, group: str, reader: str, names: Iterable[str]) -> None:
        readers = self._groups.get(group, {})
        members = readers.get(reader)
        if members is None:
            return
        members.discard(names)
        if members.deadlines:
            return
        # Nothing is kept for an empty group: there may be one for each user who ever came.
        del readers[reader]
        if not readers:
            del self._groups[group]
        self._joined[reader].discard(group)
        if not self._joined[reader]:
            del self._joined[reader]


class _Members:
    """The members of one group under one reader."""

    __slots__ = ("_earliest", "_snapshot", "data", "deadlines")

    def __init__(self) -> None:
        self.deadlines: dict[str, float] = {}
        self.data: dict[str, Any] = {}  # of those that have some
        self._snapshot: tuple[str, ...] | None = None
        # No deadline is before this one. A renewal leaves it alone: that is too early at worst.
        self._earliest = float("inf")

    def add(self, name: str, deadline: float) -> None:
        if name not in self.deadlines:
            self._snapshot = None
        self.deadlines[name] = deadline
        self._earliest = min(self._earliest, deadline)

    def discard(self, names: Iterable[str]) -> None:
        for name in names:
            self.deadlines.pop(name, None)
            self.data.pop(name, None)
        self._snapshot = None

    def names(self, now: float) -> tuple[str, ...]:
        if self._earliest <= now:
            self.discard([name for name, end in self.deadlines.items() if end <= now])
            self._earliest = min(self.deadlines.values(), default=float("inf"))
            self._snapshot = None
        if self._snapshot is None:
            self._snapshot = tuple(self.deadlines)
        return self._snapshot
