"""Readers and the processes that own them: who is behind a reader, and what a dead one leaves.

A process-specific reader is its process's that began to read it last. What that knows of the
members behind it, it fetches from Redis; when Redis has forgotten, it tells Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from wsgi_bridge.events.layers import REDIS_MEMBERS_STALE
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.redis.codec import Undecodable, read_double
from wsgi_bridge.layers.redis.core import Request
from wsgi_bridge.layers.redis.groups import WAKE, GroupOperations
from wsgi_bridge.layers.redis.inbox import LocalQueue
from wsgi_bridge.layers.redis.memberships import Fetched
from wsgi_bridge.layers.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["ReaderOperations"]

logger = logging.getLogger(__name__)

#: Who is to hear of an add that the process makes itself: nobody; see join.lua.
KNOW = "know"

#: Attempts to learn who is behind a reader, for messages that were taken and have no other place.
FETCHES = 2

_Opened = TypeVar("_Opened")


class ReaderOperations(GroupOperations):
    """What the threads of a shard ask for."""

    def bury(self, shard: Shard, token: bytes, process: str) -> None:
        """Remove the reader of a dead process, and its members from their groups."""
        try:
            suffix = self._codec.hashed(self._codec.name_of(token))
        except Undecodable as exc:
            self._note_undecodable(f"a reader of {process}", exc)
            return  # for a process that has its secret
        removal = self._storage.execute(shard, suffix, token, process)
        if removal is None:
            return
        keys = shard.keys.channel(suffix)
        names = (
            *(keys.queue, keys.figures, shard.keys.totals, keys.memberships, keys.changes),
            *(keys.wake, shard.keys.processes, shard.keys.owners),
        )
        arguments = (token, process, self.clock(), self._queue_lifetime)
        _, found = self._run([removal, (shard, SCRIPTS.bury.call(names, *arguments))])
        self._run(self._leaving(found[::2], found[1::2]))

    def _leaving(self, fields: Iterable[bytes], memberships: Iterable[bytes]) -> list[Request]:
        """Return what ends memberships, given as join.lua keeps them."""
        members: dict[str, list[bytes]] = {}
        ends: dict[str, float] = {}
        for field, membership in zip(fields, memberships, strict=True):
            data, _, member = field.partition(b"/")
            group = data.decode()
            members.setdefault(group, []).append(member)
            ends[group] = max(ends.get(group, 0.0), read_double(membership))
        requests = []
        for group, tokens in members.items():
            home = self._shard_of(group)
            # Who has begun to read meanwhile may have made members of the same names again.
            leave = SCRIPTS.group_discard.call(home.keys.group(group), ends[group], *tokens)
            requests.append((home, leave))
        return requests

    def token(self, reader: str) -> str:
        """Return the name of a reader as it stands in Redis."""
        return self._codec.token(reader)

    def lose_reader(self, shard: Shard, reader: str) -> None:
        """Another process reads it from now on: it has the members, and gets the messages."""
        logger.info("%s is read by another process", reader)
        shard.lose(reader)
        self._memberships.lose(reader)
        self._storage.lose(reader)
        shard.keeper.nudge()

    def forget_members(self) -> None:
        """Another process has flushed the layer."""
        self._memberships.clear()
        self._storage.reset()

    def announce(self) -> None:
        """Tell Redis again whom this process answers for: it has forgotten."""
        readers = {reader for shard in self._shards for reader in shard.claimed}
        for queue in map(self.inbox.queue, readers):
            # Whom others have discarded meanwhile is not to come back.
            if not queue.shard.health.is_down:
                self._memberships.hold(queue.name, self._changes(queue))
        known = self._memberships.announced(readers, self.clock())
        requests = [request for each in known for request in self._adds(each, KNOW)]
        for each in self._memberships.added_elsewhere(self.clock()):
            requests += self._adds(each, WAKE)
        requests += self._storage.announcing(readers)
        self._run(requests)
        if known:
            logger.info("%d memberships were announced again", len(known))

    # What the process that reads knows.

    def _fetched(self, queue: LocalQueue) -> Fetched | None:
        """Return what changed behind a reader, for messages that were taken; None if unknown."""
        for _ in range(FETCHES):
            try:
                return self._changes(queue)
            except ChannelLayerUnavailable as exc:
                REDIS_MEMBERS_STALE.log(
                    logger,
                    "members behind %(channel)s are as last known: %(cause)s",
                    cause=exc,
                    channel=queue.name,
                )
        return None

    def _changes(self, queue: LocalQueue) -> Fetched:
        keys, owners = queue.keys, queue.shard.keys.owners
        names = (keys.memberships, keys.changes, keys.version, keys.queue, owners)
        known = self._memberships.known(queue.name)
        version: float | str = "" if known is None else known
        call = SCRIPTS.changes.call(names, self._codec.token(queue.name), self.process, version)
        [(size, last, found, members)] = self._run([(queue.shard, call)])
        changes = self._opened(queue, self._codec.change, found)
        return Fetched(
            size, float(last), changes, self._opened(queue, self._codec.membership, members)
        )

    def _opened(
        self, queue: LocalQueue, opened: Callable[[bytes], _Opened], found: Iterable[bytes]
    ) -> list[_Opened]:
        decoded = []
        for data in found:
            try:
                decoded.append(opened(data))
            except Undecodable as exc:
                self._note_undecodable(queue.name, exc)
        return decoded

    def woken(self, queue: LocalQueue) -> None:
        """Fetch what another process changed behind a reader. Called by the reader's thread."""
        self._memberships.hold(queue.name, self._changes(queue))

    def fetch_changes(self, shard: Shard) -> None:
        """Apply what changed behind readers that get no messages, so that it does not pile up.

        That is what the last call fetched: a message from before may have been on its way.
        """
        for reader in sorted(shard.claimed):
            self._memberships.catch_up(reader, shard.reader.turns)
            if reader not in (shard.reader.blocked or ()):
                continue
            fetched = self._changes(self.inbox.queue(reader))
            self._memberships.hold(reader, fetched)
            if fetched.pending == 0:
                # The turn of now, not the one before: the reader may have begun it meanwhile, and
                # taken a message just before the changes were fetched.
                self._memberships.mark(reader, shard.reader.turns, fetched.version)
