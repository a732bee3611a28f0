"""The names of keys, and which shard a channel is on.

A channel is on one shard, found by rendezvous hashing: every process finds the same one, and a
shard that is added or removed moves no channels but its own. So the capacity of a channel is that
of one queue, and the message waits where its reader looks.

All keys of a shard have one hash tag, so that in a cluster they are in one slot, and a script may
use any of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from wsgi_bridge.layers.redis.scripts import SCRIPTS, Prepared

__all__ = ["ChannelKeys", "Keys", "rendezvous"]


def rendezvous(name: str, shards: Sequence[str]) -> int:
    """Return the position in `shards` of the one that `name` is on."""
    if len(shards) == 1:
        return 0
    weights = [hashlib.blake2b(f"{shard} {name}".encode(), digest_size=8) for shard in shards]
    return max(range(len(shards)), key=lambda at: weights[at].digest())


class ChannelKeys(NamedTuple):
    """The keys of a channel that one receives on, and the calls that are made with them often."""

    suffix: str  # the channel, as it stands in keys
    queue: bytes
    figures: bytes
    memberships: bytes  # behind the reader
    changes: bytes
    version: bytes
    wake: bytes
    send: Prepared
    push: Prepared


class Keys:
    """The key names of a shard."""

    def __init__(self, tag: str) -> None:
        self._start = f"{{{tag}}}:"
        self.index = self.key("index")
        self.totals = self.key("totals")
        self.processes = self.key("processes")
        self.owners = self.key("owners")
        #: Scheduled messages: their times, and they themselves.
        self.schedule = (self.key("timetable"), self.key("scheduled"))
        # In a pattern of SCAN, a prefix stands for itself.
        self._pattern_start = re.sub(r"([\\*?\[\]^])", r"\\\1", self._start)

    def key(self, kind: str, suffix: str = "") -> bytes:
        """Return the name of a key: `kind`, and the channel or group it is of."""
        return f"{self._start}{kind}{':' if suffix else ''}{suffix}".encode()

    def pattern(self, kind: str = "") -> bytes:
        """Return what SCAN finds all keys by, or all of a kind."""
        return f"{self._pattern_start}{kind}{':' if kind else ''}*".encode()

    def suffix(self, key: bytes) -> str:
        """Return the channel or group that a key is of."""
        return key.decode().removeprefix(self._start).partition(":")[2]

    def channel(self, suffix: str) -> ChannelKeys:
        """Return the keys of a channel."""
        queue = self.key("queue", suffix)
        figures = self.key("figures", suffix)
        version = self.key("version", suffix)
        common = (queue, figures, self.totals, self.index)
        return ChannelKeys(
            suffix,
            queue,
            figures,
            self.key("memberships", suffix),
            self.key("changes", suffix),
            version,
            self.key("wake", suffix),
            SCRIPTS.send.prepare(common),
            SCRIPTS.push.prepare((*common, version)),
        )

    def group(self, suffix: str) -> tuple[bytes, bytes, bytes]:
        """Return the keys of a group: its members, its readers, data of members."""
        return self.key("members", suffix), self.key("readers", suffix), self.key("data", suffix)

    def log(self, suffix: str) -> tuple[bytes, bytes]:
        """Return the keys of a log: its messages, its place."""
        return self.key("log", suffix), self.key("place", suffix)

    def belongs(self, suffix: str) -> bytes:
        """Return the key of the groups that one channel is in, by its full name."""
        return self.key("belongs", suffix)
