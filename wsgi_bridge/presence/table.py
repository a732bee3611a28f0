"""The table of a group: who has been said to be there, and who is about to be said to have gone.

Data and rules; no layer, no clock, no I/O. `look` compares the table with the members that there
are, and returns the events that follow:

    id      member  table            becomes
    new     yes     -                there; a join
    known   yes     there            -
    known   yes     leaving          there
    known   no      there            leaving, until now + grace
    known   no      leaving, later   -
    known   no      leaving, due     gone; a leave

So nobody leaves who was not seen to be missing twice, `grace` apart: between the two, a socket that
came back is found, whatever its process did when.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wsgi_bridge.exceptions import InvalidMessage
from wsgi_bridge.messages import GroupEvent, group_event

__all__ = [
    "GRACE",
    "JOIN",
    "LEAVE",
    "Event",
    "Identity",
    "Table",
    "by_identity",
    "identity_of",
    "maybe_identity",
]

#: The channels of the events (MESSAGES.md section 4).
JOIN = "group.join"
LEAVE = "group.leave"
#: Seconds for which nobody is said to have left: a page that is loaded again, or a phone that
#: changes its network, is back by then.
GRACE = 15.0
#: The key of a member's data that says who it is.
ID = "id"

#: An event: its channel, and its message.
Event = tuple[str, GroupEvent]


class Identity(NamedTuple):
    """Who a member is, and what is known of them."""

    id: str | int
    data: dict[str, Any]


class Table:
    """Who is there, in one group. Made of a stored value, and made into one again."""

    __slots__ = ("_grace", "_order", "_people", "_swept", "is_changed")

    def __init__(self, value: Mapping[str, Any] | None) -> None:
        """Read a value; None stands for an empty table."""
        found = value or {}
        # key → [id, data, when they are said to have left, or 0.0]
        self._people: dict[str, list[Any]] = dict(found.get("people", {}))
        self._grace: float = found.get("grace", GRACE)
        self._order: int = found.get("order", 0)
        self._swept: float = found.get("swept", 0.0)
        #: Whether it has to be saved.
        self.is_changed = False

    def __bool__(self) -> bool:
        """Whether anybody is there."""
        return bool(self._people)

    @property
    def value(self) -> dict[str, Any]:
        """What is to be stored; of an empty table, a little longer, for the order of its events."""
        return {
            "people": self._people,
            "grace": self._grace,
            "order": self._order,
            "swept": self._swept,
        }

    @property
    def grace(self) -> float:
        """Seconds between the end of the last socket and the leave."""
        return self._grace

    @grace.setter
    def grace(self, seconds: float) -> None:
        self.is_changed |= seconds != self._grace
        self._grace = seconds

    @property
    def swept(self) -> float:
        """When the group was last looked at without a reason."""
        return self._swept

    @swept.setter
    def swept(self, now: float) -> None:
        self.is_changed = True
        self._swept = now

    @property
    def next_due(self) -> float | None:
        """When the next leave is due, if anybody is leaving."""
        return min((row[2] for row in self._people.values() if row[2]), default=None)

    def people(self) -> dict[str, Identity]:
        """Return who is there, those who are leaving among them, by key."""
        return {key: Identity(row[0], row[1]) for key, row in self._people.items()}

    def look(self, group: str, here: Mapping[str, Identity], now: float) -> list[Event]:
        """Take note of the members that there are; return the events that follow from it."""
        events: list[Event] = []
        for key, identity in here.items():
            row = self._people.get(key)
            if row is None:
                self._people[key] = [*identity, 0.0]
                events.append((JOIN, self._event(group, identity, now)))
            elif row[2] or row[1] != identity.data:
                row[1:] = [identity.data, 0.0]
                self.is_changed = True
        for key in [key for key in self._people if key not in here]:
            row = self._people[key]
            if not row[2]:
                row[2] = now + self._grace
                self.is_changed = True
            elif row[2] <= now:
                del self._people[key]
                events.append((LEAVE, self._event(group, Identity(row[0], row[1]), now)))
        self.is_changed |= bool(events)
        return events

    def _event(self, group: str, identity: Identity, now: float) -> GroupEvent:
        # Begins with the time, so that it goes on growing when the table was forgotten in between.
        self._order = max(self._order + 1, int(now * 1_000_000))
        return group_event(group=group, id=identity.id, data=identity.data, order=self._order)


def identity_of(data: Mapping[str, Any]) -> tuple[str, Identity]:
    """Return the key and the identity of a member's data; InvalidMessage without a proper id.

    An id is told from others by its text, so that 7 and "7" are the same user.
    """
    found = maybe_identity(data)
    if found is None:
        given = f"not {data[ID]!r}" if ID in data else "which is missing"
        raise InvalidMessage(
            f"a group with presence is told who a member is, {{'id': text or number, …}}: {given}"
        )
    return found


def maybe_identity(data: Mapping[str, Any] | None) -> tuple[str, Identity] | None:
    """Return the key and the identity of a member's data; None if they have no proper id."""
    found: Any = None if data is None else data.get(ID)
    if data is None or type(found) not in (str, int) or found == "":
        return None
    return str(found), Identity(found, dict(data))


def by_identity(members: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Identity]:
    """Return who is among the members of a group, by key; those without an id are nobody.

    Who has several sockets is described by the one whose channel comes first in the alphabet: by
    the same one, whoever asks.
    """
    known = (maybe_identity(members[channel]) for channel in sorted(members))
    found: dict[str, Identity] = {}
    for each in known:
        if each is not None:
            found.setdefault(*each)
    return found
