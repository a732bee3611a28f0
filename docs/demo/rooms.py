"""Who is in a room and what was said there: plain Python in this process, one lock.

Not a channel layer and not a database: with several workers each would know its own part only.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from typing import TypedDict

HISTORY_LINES = 50  # lines: what a newcomer can read in a minute
ROOM_LIMIT = 200  # rooms: beyond it, those that everybody left are forgotten
STANDING_ROOMS = ("lobby", "galley", "lamp-room")  # always listed: a place to go to


class Line(TypedDict):
    id: str
    who: str
    text: str
    at: str


class Room:
    """The people and the last lines of one room. One person may have several pages open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._people: dict[str, str] = {}  # reply channel → name
        self._lines: deque[Line] = deque(maxlen=HISTORY_LINES)

    def enter(self, channel: str, who: str) -> bool:
        """Note that `who` opened a page; return whether it is their first."""
        with self._lock:
            is_new = who not in self._people.values()
            self._people[channel] = who
            return is_new

    def leave(self, channel: str) -> str | None:
        """Note that a page was closed; return whose it was if that was their last."""
        with self._lock:
            who = self._people.pop(channel, None)
            return None if who in self._people.values() else who

    def person(self, channel: str) -> str | None:
        """Return who has the page behind `channel`."""
        return self._people.get(channel)

    def people(self) -> list[str]:
        """Return the names of those who are here, each once."""
        with self._lock:
            return sorted(set(self._people.values()), key=str.casefold)

    def lines(self) -> list[Line]:
        """Return the last lines, oldest first."""
        with self._lock:
            return list(self._lines)

    def add_line(self, who: str, text: str) -> Line:
        """Keep a line; its id tells a page that comes back what it has already."""
        line = Line(id=secrets.token_hex(6), who=who, text=text, at=time.strftime("%H:%M"))
        with self._lock:
            self._lines.append(line)
        return line


class Rooms(dict[str, Room]):
    """Every room by name; one that is asked for comes into being."""

    def __missing__(self, name: str) -> Room:
        if len(self) >= ROOM_LIMIT:
            for other, room in list(self.items()):
                if not room.people():
                    self.pop(other, None)
        return self.setdefault(name, Room())

    def listing(self) -> list[tuple[str, int]]:
        """Return the standing rooms, then the others that have people in them, with how many."""
        visited = [name for name, room in list(self.items()) if room.people()]
        names = dict.fromkeys([*STANDING_ROOMS, *sorted(visited)])
        return [(name, len(self[name].people())) for name in names]


ROOMS = Rooms()
