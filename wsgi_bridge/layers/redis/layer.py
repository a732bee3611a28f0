"""RedisLayer: the channel layer for many machines.

It keeps the contract of `layers.base`. Times are those of the layer's clock, which is the sender's
for a deadline and the receiver's for whether it has passed: the clocks of the machines should agree
to a fraction of `expiry`. Whether a process lives is told by Redis's own time.

- A send is one script: capacity is checked where the message is put, and is exact.
- A receive takes what it asked for and no more. Who listens is fed by one blocking receive for each
  shard (reader.py), and then takes without a round trip.
- Where the caller may not wait (the hub of gevent), a send is handed to another greenlet. It cannot
  tell then that the channel is full: that is counted and logged, and for a moment after it the next
  ones are refused at once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar
from urllib.parse import SplitResult

from wsgi_bridge.events.layers import REDIS_UNCOUNTED
from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.layers.base import BaseLayer, Batch, _Result
from wsgi_bridge.layers.concurrency import can_wait
from wsgi_bridge.layers.queue import Names, Wake
from wsgi_bridge.layers.redis.codec import GROUP, Undecodable
from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.core import DEFAULT_PREFIX, Request
from wsgi_bridge.layers.redis.inbox import InboxListener, Local, LocalQueue
from wsgi_bridge.layers.redis.introspection import CHUNK, Introspection
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.redis.shard import Shard
from wsgi_bridge.layers.redis.storage import RedisStorage
from wsgi_bridge.layers.redis.url import CONNECTION_OPTIONS, places_of

__all__ = ["RedisLayer"]

logger = logging.getLogger(__name__)

#: Parts of the channels in a cluster: as many of its nodes may share the work, and a process that
#: receives on all of them has a connection for each.
DEFAULT_BUCKETS = 4


def _read_keys(text: str) -> list[str]:
    return [key for key in text.split(",") if key]


class RedisLayer(Introspection):
    """A channel layer on Redis; safe to use from any thread or greenlet. See RedisCore."""

    extensions = (*BaseLayer.extensions, "introspection", "storage")
    gathers = True

    url_options: ClassVar = {
        **BaseLayer.url_options,
        **CONNECTION_OPTIONS,
        "prefix": str,
        "buckets": int,
        "timeout": float,
        "hash_names": lambda text: bool(int(text)),
        "symmetric_encryption_keys": _read_keys,
    }

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """See RedisCore."""
        self._storage = RedisStorage(self)
        super().__init__(*arguments, **options)

    def _reset(self) -> None:
        super()._reset()
        self._storage.reset()

    @property
    def storage(self) -> RedisStorage:
        """What the processes of this site keep together; see Storage."""
        return self._storage

    @classmethod
    def from_url(cls, url: SplitResult, **options: Any) -> RedisLayer:
        """Return a new layer; see url.py for the forms. Connects when it is first used."""
        settings = {name: options.pop(name) for name in CONNECTION_OPTIONS if name in options}
        buckets = options.pop("buckets", DEFAULT_BUCKETS)
        prefix = options.get("prefix", DEFAULT_PREFIX)
        if "{" in prefix or "}" in prefix or not prefix:
            raise InvalidLayerURL(f"prefix {prefix!r}: expected some text without braces")
        places = places_of(url, prefix=prefix, buckets=buckets, settings=settings)
        return cls(places, **options)

    # Receiving.

    def listen(self, channels: Sequence[str], wake: Wake) -> InboxListener:
        """Have `wake()` called at every message put on `channels`; see BaseLayer."""
        self._check_open()
        listener = self.inbox.listen(channels, wake)
        queues = [self.inbox.queue(name) for name in channels]
        for queue in queues:
            self._claim(queue)
        for shard in self._shards:
            shard.keeper.start()  # on all of them: who listens is who notices that others died
        for shard in {queue.shard for queue in queues}:
            shard.reader.start()
            shard.reader.look_again()
        return listener

    def _claim(self, queue: LocalQueue) -> None:
        """Say that this process reads the channel, so that it is missed when it dies."""
        if "!" in queue.name and queue.name not in queue.shard.claimed:
            queue.shard.claim(queue.name)
            queue.shard.keeper.start()
            queue.shard.keeper.wake()

    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        self._check_open()
        queues = [self.inbox.queue(name) for name in channels]
        batch: Batch = []
        now = self.clock()
        expired = self.inbox.drain(queues, batch, limit, now, compact)
        direct = [queue for queue in queues if not queue.wakes]
        try:
            if direct and can_wait():
                while len(batch) < limit and self._fetch(direct, limit - len(batch)):
                    expired += self.inbox.drain(queues, batch, limit, now, compact)
            if expired:
                self._settle(expired)
        except ChannelLayerUnavailable:
            # Nobody else has what was taken before: it is the receiver's. The next one is refused.
            if not batch:
                raise
        if len(batch) < limit:
            self._ask_for_more([queue for queue in queues if queue.wakes], limit, batch)
        return batch

    def _ask_for_more(self, queues: list[LocalQueue], limit: int, batch: Batch) -> None:
        """Have the readers fetch what a receive did not get."""
        if not queues:
            return
        self.inbox.want(queues, limit - len(batch))
        for queue in queues:
            blocked = queue.shard.reader.blocked
            if blocked is None or queue.name not in blocked:
                queue.shard.reader.look_again()
        if not batch and any(queue.shard.health.is_down for queue in queues):
            # Whether or not it is time to try again: the readers do, and wake who waits for them.
            raise ChannelLayerUnavailable("Redis cannot be reached")

    def _fetch(self, queues: list[LocalQueue], limit: int) -> bool:
        """Take up to `limit` messages off Redis for who does not listen; True if there were any."""
        room = limit
        queues = sorted(queues, key=lambda queue: queue.turn)
        for shard in dict.fromkeys(queue.shard for queue in queues):
            mine = [queue for queue in queues if queue.shard is shard]
            shard.reader.release({queue.name for queue in mine})
            keys = tuple(queue.keys.queue for queue in mine)
            [taken] = self._run([(shard, SCRIPTS.take.call(keys, room))])
            for at in range(0, len(taken), 2):
                queue = mine[taken[at] - 1]
                self._claim(queue)
                self.inbox.add(queue, self._decoded(queue, taken[at + 1]))
                room -= len(taken[at + 1])
            if room <= 0:
                break
        return room < limit or any(queue.entries for queue in queues)

    def arrived(self, queue: LocalQueue, entries: list[bytes]) -> None:
        """Take what the reader of a shard was given. Called by its thread."""
        if not self.inbox.feed(queue, self._decoded(queue, entries), len(entries)):
            self._give_back(queue, entries)

    def give_back_unwanted(self, shard: Shard, *, at_once: bool = False) -> None:
        """Put back what was fetched for a receive that has ended, by its timeout or cancelled."""
        for queue, entries in self.inbox.unwanted(shard, at_once=at_once):
            encoded = [
                self._codec.encode(deadline, name, message)
                for deadline, names, message in entries
                for name in ((names,) if isinstance(names, str) else names)
            ]
            self._give_back(queue, encoded)

    def _give_back(self, queue: LocalQueue, entries: list[bytes]) -> None:
        keys = (queue.keys.queue, queue.shard.keys.index)
        lifetime, suffix = self._queue_lifetime, queue.keys.suffix
        call = SCRIPTS.give_back.call(keys, lifetime, suffix, *reversed(entries))
        queue.shard.pipe.call([call])

    def _decoded(self, queue: LocalQueue, entries: Iterable[bytes]) -> list[Local]:
        decoded: list[Local] = []
        dropped = 0
        for data in entries:
            try:
                entry = self._codec.decode(data)
            except Undecodable as exc:
                self._note_undecodable(queue.name, exc)
                dropped += 1
                continue
            names: Names = entry.name
            if entry.kind == GROUP:
                group = self._codec.hashed(entry.name)
                names = self._memberships.expand(
                    *(queue.name, group, entry.version, self.clock()),
                    lambda: self._fetched(queue),
                )
            if names:
                decoded.append((entry.deadline, names, entry.message))
        if decoded:
            self._note_decodable()
        if dropped:
            self._count_undecodable(queue, dropped)
        return decoded

    def _count_undecodable(self, queue: LocalQueue, number: int) -> None:
        try:
            self._run([self._count(queue, "undecodable", number)])
        except ChannelLayerUnavailable as exc:
            # What came with them must not be lost over a figure.
            REDIS_UNCOUNTED.log(
                logger,
                "%(number)d messages that were dropped are not counted: %(cause)s",
                cause=exc,
                number=number,
            )

    def _count(self, queue: LocalQueue, figure: str, number: int) -> Request:
        keys = (queue.keys.queue, queue.keys.figures, queue.shard.keys.totals)
        counted = (figure, number, self.clock(), self._queue_lifetime)
        return queue.shard, SCRIPTS.add_counts.call(keys, *counted)

    def _settle(self, expired: list[tuple[LocalQueue, Names]]) -> None:
        """Count what expired in this process, and have those channels leave their groups."""
        if self._soon(self._settle, expired):
            return
        requests = []
        names: set[str] = set()
        for queue, each in expired:
            requests.append(self._count(queue, "expired", 1))
            names.update((each,) if isinstance(each, str) else each)
        self._run(requests)
        self._leave(names)

    async def _call_async(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        # While somebody listens, a take is from memory; and in a thread, a message could be taken
        # for a coroutine that was cancelled meanwhile.
        if function == self._take and all(self.inbox.queue(name).wakes for name in arguments[0]):
            return function(*arguments)
        return await super()._call_async(function, *arguments)

    # Expiry.

    def sweep(self, shard: Shard, number: int) -> int:
        """Drop what expired in up to `number` queues that nobody asks for; return in how many.

        They leave the index of the shard if they are empty.
        """
        index = shard.keys.index
        due = command("ZRANGEBYSCORE", index, "-inf", self.clock(), "LIMIT", 0, number)
        [found] = self._run([(shard, due)])
        suffixes = [suffix.decode() for suffix in found]
        for start in range(0, len(suffixes), CHUNK):
            chunk = suffixes[start : start + CHUNK]
            replies = self._run([(shard, self._inspect(shard, suffix)) for suffix in chunk])
            for suffix, (_, _, expired) in zip(chunk, replies, strict=True):
                self._left_behind(suffix, expired)
        return len(suffixes)

    # Life cycle.

    def flush(self) -> None:
        """Drop every message, membership and count of this prefix; listeners stay."""
        self._check_open()
        self.inbox.clear()
        self._memberships.clear()
        self._storage.reset()
        for shard in self._shards:
            self._flush(shard)
            shard.keeper.wake()

    def _flush(self, shard: Shard) -> None:
        kept = (shard.keys.processes, shard.keys.owners, shard.keys.flushed)
        for keys in self._scan(shard, shard.keys.pattern()):
            found = [key for key in keys if key not in kept]
            if found:
                self._run([(shard, command("UNLINK", *found))])
        # The members behind its readers are in the memory of each process as well.
        shard.keeper.flushed = secrets.token_hex(8).encode()
        self._run([(shard, command("SET", shard.keys.flushed, shard.keeper.flushed))])

    def close(self) -> None:
        """Let go of Redis, and of the readers of this process; see BaseLayer."""
        if self.is_closed:
            return
        if can_wait():
            self._give_up()
            self._resign()
        self.is_closed = True
        self.inbox.wake_all()
        for shard in self._shards:
            shard.reader.look_again()
            shard.keeper.wake()
            shard.pipe.close()

    def _give_up(self) -> None:
        """Leave to others what nobody here has received."""
        for shard in self._shards:
            try:
                self.give_back_unwanted(shard, at_once=True)
            except ChannelLayerUnavailable:
                logger.info("Redis is away: what was fetched and not received is lost")

    def _resign(self) -> None:
        """Be buried at once, and not when the heartbeats are missed."""
        for shard in self._shards:
            if not shard.claimed or shard.health.is_down:
                continue
            try:
                self._run([(shard, command("ZREM", shard.keys.processes, self.process))])
                for reader in list(shard.claimed):
                    self.bury(shard, self.token(reader).encode(), self.process)
            except ChannelLayerUnavailable:
                logger.info("Redis is away: its readers go when their heartbeats are missed")
