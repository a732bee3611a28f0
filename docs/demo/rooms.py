"""Who is in a room and what was said there. Any process may be asked: the layer knows.

A room is a group whose members have a name. Its lines are a list in the layer; so is, for as long
as a socket lives, whose it is.
"""

from __future__ import annotations

import secrets
import time
from typing import TypedDict, cast

import kept

from wsgi_bridge.consumers import get_default_layer

HISTORY_LINES = 50  # lines: what a newcomer can read in a minute
LISTED_ROOMS = 20  # rooms: what a newcomer reads at all
STANDING_ROOMS = ("lobby", "galley", "lamp-room")  # always listed: a place to go to
PREFIX = "room."


class Line(TypedDict):
    id: str
    who: str
    text: str
    at: str
    release: int


class Room:
    """The people and the last lines of one room. One person may have several pages open."""

    def __init__(self, name: str) -> None:
        self.group = PREFIX + name

    def enter(self, channel: str, who: str) -> bool:
        """Note that `who` opened a page; return whether it is their first."""
        is_new = who not in self.people()
        # Owned by the socket: gone some time after it, whatever becomes of this process.
        kept.storage().save(f"who.{channel}", {"who": who}, ttl=kept.KEPT_FOR, owner=channel)
        kept.storage().group_add(self.group, channel, {"who": who})
        return is_new

    def leave(self, channel: str) -> str | None:
        """Note that a page was closed; return whose it was if that was their last."""
        who = self.person(channel)
        kept.storage().save(f"who.{channel}", None, ttl=kept.KEPT_FOR)
        get_default_layer().group_discard(self.group, channel)
        return None if who in self.people() else who

    def person(self, channel: str) -> str | None:
        """Return who has the page behind `channel`."""
        value = kept.storage().load(f"who.{channel}").value
        return value["who"] if value else None

    def people(self) -> list[str]:
        """Return the names of those who are here, each once."""
        members = kept.storage().group_members(self.group).values()
        return sorted({data["who"] for data in members if data}, key=str.casefold)

    def lines(self) -> list[Line]:
        """Return the last lines, oldest first."""
        return cast("list[Line]", kept.last(self.group, HISTORY_LINES))

    def add_line(self, who: str, text: str, release: int) -> Line:
        """Keep a line; its id tells a page that comes back what it has already."""
        at = time.strftime("%H:%M")
        line = Line(id=secrets.token_hex(6), who=who, text=text, at=at, release=release)
        kept.append(self.group, dict(line), HISTORY_LINES)
        return line


def listing() -> list[tuple[str, int]]:
    """Return the standing rooms, then the others that have people in them, with how many."""
    groups = sorted(get_default_layer().statistics_by_group())
    visited = [group.removeprefix(PREFIX) for group in groups if group.startswith(PREFIX)]
    names = list(dict.fromkeys([*STANDING_ROOMS, *visited]))[:LISTED_ROOMS]
    return [(name, len(Room(name).people())) for name in names]
