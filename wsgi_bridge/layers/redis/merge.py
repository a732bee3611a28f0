"""Joins the sends of one pipeline that are for the same channel into one call of the script.

Ten messages then cost Redis little more than one, and a reader that waits is given all of them, not
the first. send.lua puts the first messages of a call and refuses the last ones, so that each sender
still learns what became of its own. The order of messages on a channel stays; that between channels
was never promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsgi_bridge.layers.redis.connection import Command, pack

__all__ = ["Merged"]

#: Bytes that one call carries, about: past that, a script would stop Redis for too long.
LARGEST = 1 << 20


class Merged:
    """Commands as they go out, and whose reply is whose."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._members: list[list[int]] = []  # positions in `commands`, of each that goes out
        self._is_send = [bool(each.merge_key) for each in commands]
        open_calls: dict[bytes, tuple[list[int], list[int]]] = {}
        for at, each in enumerate(commands):
            if each.merge_key:
                members, size = open_calls.get(each.merge_key, ([], [LARGEST]))
                size[0] += len(each.last_word)
                if size[0] < LARGEST:
                    members.append(at)
                    continue
                members = [at]
                open_calls[each.merge_key] = (members, [len(each.last_word)])
            else:
                members = [at]
            self._members.append(members)
        self.commands = [_joined([commands[at] for at in each]) for each in self._members]

    def spread(self, replies: Sequence[Any]) -> list[Any]:
        """Return the reply of each of the commands, from those of what went out."""
        found: list[Any] = [None] * len(self._is_send)
        for members, reply in zip(self._members, replies, strict=True):
            shares = _shares(reply, len(members)) if self._is_send[members[0]] else [reply]
            for at, each in zip(members, shares, strict=True):
                found[at] = each
        return found


def _joined(commands: list[Command]) -> Command:
    first = commands[0]
    if not first.merge_key:
        return first
    words = [each.last_word for each in commands]
    return Command(first.words + len(words), first.packed + pack(*words), first.script)


def _shares(reply: Any, number: int) -> list[Any]:
    """Return what a reply means for each: 1 if it was put, else [whether it was, expired]."""
    if isinstance(reply, int):
        return [1] * number
    if not isinstance(reply, list):
        return [reply] * number  # an error
    put, expired = reply
    shares: list[Any] = [[1 if at < put else 0, []] for at in range(number)]
    shares[0][1] = expired
    return shares
