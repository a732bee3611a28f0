"""Shard: the connections and threads of one part of the channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsgi_bridge.layers.redis.connection import Link
from wsgi_bridge.layers.redis.keeper import Keeper
from wsgi_bridge.layers.redis.keys import Keys
from wsgi_bridge.layers.redis.pipe import Health, Pipe
from wsgi_bridge.layers.redis.reader import Reader
from wsgi_bridge.layers.redis.topology import ClusterShard, Place

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.inbox import LocalQueue
    from wsgi_bridge.layers.redis.layer import RedisLayer

__all__ = ["Shard"]


class Shard:
    """One part of the channels: a server, or a slot of a cluster.

    `pipe` runs commands; `reader` waits for messages; `keeper` does what must not wait for either.
    `listened` are the queues that somebody listens to, by name; the inbox's lock guards it.
    """

    def __init__(self, layer: RedisLayer, place: Place, prefix: str, timeout: float) -> None:
        self.layer = layer
        self.place = place
        self.name = place.name
        self.timeout = timeout
        self.keys = Keys(place.name if isinstance(place, ClusterShard) else prefix)
        self.listened: dict[str, LocalQueue] = {}
        self.claimed: set[str] = set()  # readers on this shard that are this process's own
        self.begun: set[str] = set()  # of these, the ones that Redis has not been told of
        self.lost: set[str] = set()  # readers that another process has begun to read since
        self.reset()

    def reset(self) -> None:
        """Start without connections and threads: those of a parent process stay its own."""
        self.listened.clear()
        self.claimed.clear()
        self.begun.clear()
        self.lost.clear()
        self.health = Health(self._changed)
        self.pipe = Pipe(self._connect, self.place.locate, self.health)
        self.reader = Reader(self)
        self.keeper = Keeper(self)

    def claim(self, reader: str) -> None:
        """Begin to read: the reader is this process's own from the next heartbeat on."""
        self.lost.discard(reader)
        self.begun.add(reader)
        self.claimed.add(reader)

    def lose(self, reader: str) -> None:
        """Read it no longer: another process has begun to."""
        self.claimed.discard(reader)
        self.lost.add(reader)

    def _connect(self) -> Link:
        return self.place.connect(self.timeout)

    def _changed(self, is_found: bool) -> None:
        """Whoever waits is to see for itself, and the keeper to announce what was lost."""
        self.layer.note_health(self, is_found)
        if is_found:
            self.keeper.wake()
