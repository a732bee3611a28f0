"""What a group with presence does, in whatever process: note arrivals, and say who is there.

Nothing here decides who has joined or left: a message on CHECK has a worker look (see `register`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.presence.table import Table, by_identity, identity_of, maybe_identity

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.layers.storage_base import Storage

__all__ = [
    "CHECK",
    "Member",
    "Presence",
    "arrive",
    "depart",
    "find_members",
    "find_present",
    "groups_of",
    "table_key",
]

#: The channel on which workers are asked to look who has come to a group, and who has gone.
CHECK = "group.check"


class Member(NamedTuple):
    """A member of a group: its channel, and the data that it was added with, if any."""

    channel: str
    data: dict[str, Any] | None


class Presence(NamedTuple):
    """Somebody who is in a group: their id, their data, and the channels of their sockets.

    Those without a channel have lost their last socket, and may be back within the grace.
    """

    id: str | int
    data: dict[str, Any]
    channels: list[str]


def arrive(
    layer: BaseLayer, group: str, channel: str, data: Mapping[str, Any], grace: float
) -> None:
    """Make a channel a member that is somebody. Raises InvalidMessage if the data have no id."""
    identity_of(data)
    storage = layer.storage
    # Before it is a member: whoever hears of the socket's end finds out which groups it was in.
    _remember_group(storage, channel, group, layer.group_expiry)
    storage.group_add(group, channel, dict(data))
    _ask_to_look(layer, {"group": group, "grace": grace})


def depart(layer: BaseLayer, group: str, channel: str) -> None:
    """End a membership; the grace begins, if it was the last one of its id."""
    layer.group_discard(group, channel)
    _ask_to_look(layer, {"group": group})


def _ask_to_look(layer: BaseLayer, message: dict[str, Any]) -> None:
    try:
        layer.send(CHECK, message)
    except ChannelFull:
        # It must not be lost, and one for all is enough.
        layer.storage.schedule(CHECK, message, layer.clock(), key=f"late {message['group']}")


def _remember_group(storage: Storage, channel: str, group: str, ttl: float) -> None:
    key = _groups_key(channel)
    while True:
        value, version = storage.load(key)
        groups = {*(value or {}).get("groups", ()), group}
        saved = {"groups": sorted(groups)}
        if storage.save(key, saved, ttl=ttl, owner=channel, expected_version=version):
            return


def groups_of(storage: Storage, channel: str) -> list[str]:
    """Return the groups with presence that a channel was added to, some of them left perhaps."""
    value, _ = storage.load(_groups_key(channel))
    return list((value or {}).get("groups", ()))


def find_members(layer: BaseLayer, group: str) -> list[Member]:
    """Return the members of a group with their data."""
    return [Member(*each) for each in layer.storage.group_members(group).items()]


def find_present(layer: BaseLayer, group: str) -> list[Presence]:
    """Return who is in a group, each once, whoever came first before the others."""
    storage = layer.storage
    # In this order: who has come in between is there, and who has gone is leaving.
    table = Table(storage.load(table_key(group)).value)
    members = storage.group_members(group)
    people = {**table.people(), **by_identity(members)}
    channels: dict[str, list[str]] = {key: [] for key in people}
    for channel, data in members.items():
        known = maybe_identity(data)
        if known is not None:
            channels[known[0]].append(channel)
    return [Presence(*people[key], channels[key]) for key in people]


def table_key(group: str) -> str:
    """Return the key of a group's table."""
    return f"presence in {group}"


def _groups_key(channel: str) -> str:
    return f"presence of {channel}"
