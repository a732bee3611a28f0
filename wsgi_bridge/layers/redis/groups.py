"""The operations on groups, in terms of scripts.

A group is two keys on the shard of its name: its members, and how many of them each reader has. A
reader's side is on the shard of the reader: which groups its channels are in, so that they can
leave all of them, and the changes for the process that reads it (see memberships.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wsgi_bridge.copying import copy_message
from wsgi_bridge.layers.redis.codec import GROUP, MESSAGE, Entry, Undecodable
from wsgi_bridge.layers.redis.connection import Command, command
from wsgi_bridge.layers.redis.core import RedisCore, Request
from wsgi_bridge.layers.redis.inbox import LocalQueue
from wsgi_bridge.layers.redis.memberships import ADD, DISCARD, FORGET, Change
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.names import check_channel, check_group, reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["GroupOperations"]

logger = logging.getLogger(__name__)

#: Attempts at a group message whose readers turn out to have let messages expire.
ATTEMPTS = 3


class GroupOperations(RedisCore):
    """Adding, discarding, sending; what a dead process leaves behind."""

    # The contract.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        if self._soon(self.group_add, group, channel):
            return
        deadline = self.clock() + self.group_expiry
        self._run(self._adds(group, channel, deadline, is_new=True))
        reader = reader_of(channel)
        if "!" not in channel or reader in self.inbox.queue(reader).shard.claimed:
            # No other process announces it if Redis forgets. One that reads the channel does, but
            # not before it has fetched the change, which goes with Redis until then.
            self._memberships.add(group, channel, deadline)
        else:
            self._memberships.add_elsewhere(group, channel, deadline, self.clock())
            self._shard_of(self._codec.hashed(group)).keeper.start()

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        if self._soon(self.group_discard, group, channel):
            return
        self._memberships.discard(group, channel)
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        leave = SCRIPTS.group_discard.call(shard.keys.group(suffix), "channels", channel)
        self._run([(shard, leave), self._join(DISCARD, suffix, group, channel)])

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`; see BaseLayer."""
        check_channel(channel)
        if not self._soon(self.forget_channel, channel):
            self._leave([channel])

    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`; see BaseLayer."""
        check_group(group)
        readers = [reader for reader, _ in self._readers(group)]
        self._drop_expired(readers)
        return self._members(group)

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`; see BaseLayer.

        A round trip to learn who reads for the members, and a push for each.
        """
        check_group(group)
        copied = copy_message(message, self.max_message_size)
        if self._soon(self.send_group, group, copied):
            return
        done: set[str] = set()
        for _ in range(ATTEMPTS):
            readers = [each for each in self._readers(group) if each[0] not in done]
            if not readers or not self._push(group, copied, readers, done):
                return

    # Adding and discarding.

    def _adds(self, group: str, channel: str, deadline: float, *, is_new: bool) -> list[Request]:
        """Return what makes a member. The reader's side first: it may not miss a message."""
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        now = self.clock()
        add = SCRIPTS.group_add.call(
            shard.keys.group(suffix), now, deadline, self._group_lifetime, channel
        )
        joins = self._join(ADD, suffix, group, channel, deadline, is_change=is_new)
        return [joins, (shard, add)]

    def _join(
        self,
        kind: str,
        suffix: str,
        group: str,
        channel: str,
        deadline: float = 0.0,
        *,
        is_change: bool = True,
    ) -> Request:
        """Return the command for the reader's side of a change."""
        queue = self.inbox.queue(reader_of(channel))
        keys = queue.shard.keys
        belongs = keys.belongs(self._codec.hashed(channel))
        change = b""
        if is_change and "!" in channel:
            change = self._codec.seal(kind, group, channel, deadline)
        names = (belongs, queue.keys.groups, queue.keys.changes, queue.keys.version)
        word = "add" if kind == ADD else "discard"
        call = SCRIPTS.join.call(names, word, suffix, change, self._group_lifetime)
        return queue.shard, call

    def _leave(self, channels: Iterable[str]) -> None:
        """End every membership of some channels."""
        names = list(channels)
        queues = [self.inbox.queue(reader_of(name)) for name in names]
        asked = [
            (queue.shard, command("SMEMBERS", queue.shard.keys.belongs(self._codec.hashed(name))))
            for queue, name in zip(queues, names, strict=True)
        ]
        requests: list[Request] = []
        for name, suffixes in zip(names, self._run(asked), strict=True):
            self._memberships.forget(name)
            for position, suffix in enumerate(each.decode() for each in suffixes):
                shard = self._shard_of(suffix)
                keys = shard.keys.group(suffix)
                requests.append((shard, SCRIPTS.group_discard.call(keys, "channels", name)))
                # One change says it for all groups.
                requests.append(self._join(FORGET, suffix, "", name, is_change=not position))
        self._run(requests)

    # Asking.

    def _readers(self, group: str) -> list[tuple[str, int]]:
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        asked = SCRIPTS.group_readers.call(shard.keys.group(suffix), self.clock())
        [pairs] = self._run([(shard, asked)])
        return [(pairs[at].decode(), int(pairs[at + 1])) for at in range(0, len(pairs), 2)]

    def _members(self, group: str) -> list[str]:
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        asked = SCRIPTS.group_members.call(shard.keys.group(suffix), self.clock())
        [members] = self._run([(shard, asked)])
        return [each.decode() for each in members]

    # Sending.

    def _push(
        self,
        group: str,
        message: dict[str, Any],
        readers: list[tuple[str, int]],
        done: set[str],
    ) -> bool:
        """Push to each reader; True if some have to be asked for again, since channels left."""
        now = self.clock()
        content = self._codec.seal(group, message)
        requests = []
        for reader, number in readers:
            queue = self.inbox.queue(reader)
            requests.append((queue.shard, self._push_call(queue, message, number, content, now)))
        is_again = False
        for (reader, number), (state, *expired) in zip(readers, self._run(requests), strict=True):
            if state == -1:
                self._left_behind(self._codec.hashed(reader), expired[0])
                is_again = True
                continue
            done.add(reader)
            if state == 2:
                logger.warning(
                    "messages to group %s are lost for %d members: channel %s is at capacity",
                    group,
                    number,
                    reader,
                )
        return is_again

    def _push_call(
        self, queue: LocalQueue, message: dict[str, Any], number: int, content: bytes, now: float
    ) -> Command:
        deadline = now + self.expiry
        kind = GROUP if queue.name.endswith("!") else MESSAGE
        if kind == MESSAGE:
            content = self._codec.seal(queue.name, message)
        return queue.keys.push(
            now,
            self._codec.head(kind, deadline),
            content,
            self.capacity_of(queue.name),
            self._queue_lifetime,
            queue.keys.suffix,
            number,
            deadline,
        )

    # What expires.

    def _drop_expired(self, readers: Iterable[str]) -> None:
        """Have the channels leave their groups whose messages expired in these queues."""
        queues = [self.inbox.queue(reader) for reader in readers]
        requests = [
            (queue.shard, self._inspect(queue.shard, queue.keys.suffix)) for queue in queues
        ]
        for queue, reply in zip(queues, self._run(requests), strict=True):
            self._left_behind(queue.keys.suffix, reply[2])

    def _inspect(self, shard: Shard, suffix: str) -> Command:
        keys = shard.keys.channel(suffix)
        names = (keys.queue, keys.figures, shard.keys.totals, shard.keys.index)
        return SCRIPTS.inspect.call(names, self.clock(), self._queue_lifetime, suffix)

    def _left_behind(self, suffix: str, expired: Iterable[bytes]) -> None:
        """Have the channels leave that entries were for which expired in the queue `suffix`."""
        names: set[str] = set()
        for data in expired:
            try:
                entry = self._codec.decode(data)
            except Undecodable as exc:
                self._note_undecodable(suffix, exc)
                continue
            names.update(self._names_of(entry, suffix))
        if names:
            self._leave(names)

    def _names_of(self, entry: Entry, suffix: str) -> list[str]:
        if entry.kind == MESSAGE:
            return [entry.name]
        members = self._members(entry.name)
        return [name for name in members if self._codec.hashed(reader_of(name)) == suffix]

    # What a process left behind, and what this one answers for.

    def bury(self, shard: Shard, reader: str, process: str) -> None:
        """Remove the reader of a dead process, and its members from their groups."""
        suffix = self._codec.hashed(reader)
        keys = shard.keys.channel(suffix)
        names = (
            *(keys.queue, keys.figures, shard.keys.totals, keys.changes, keys.groups),
            *(shard.keys.processes, shard.keys.owners),
        )
        lifetime = self._queue_lifetime
        call = SCRIPTS.bury.call(names, reader, process, self.clock(), lifetime)
        [groups] = self._run([(shard, call)])
        requests = []
        for group in (each.decode() for each in groups):
            home = self._shard_of(group)
            leave = SCRIPTS.group_discard.call(home.keys.group(group), "reader", reader)
            requests.append((home, leave))
        self._run(requests)

    def announce(self) -> None:
        """Tell Redis again whom this process answers for: it has forgotten."""
        readers = {reader for shard in self._shards for reader in shard.claimed}
        known = self._memberships.announced(readers, self.clock())
        requests = [
            request
            for group, channel, deadline in known
            for request in self._adds(group, channel, deadline, is_new=False)
        ]
        for group, channel, deadline in self._memberships.added_elsewhere(self.clock()):
            requests += self._adds(group, channel, deadline, is_new=True)
        self._run(requests)
        if known:
            logger.info("%d memberships were announced again", len(known))

    def _fetched(self, queue: LocalQueue) -> list[Change]:
        """Return the changes of the members behind a reader, since they were last fetched."""
        return self._changes(queue)[1]

    def _changes(self, queue: LocalQueue) -> tuple[int, list[Change]]:
        call = SCRIPTS.changes.call((queue.keys.changes, queue.keys.queue))
        [(size, found)] = self._run([(queue.shard, call)])
        changes = []
        for data in found:
            try:
                changes.append(self._codec.change(data))
            except Undecodable as exc:
                self._note_undecodable(queue.name, exc)
        return size, changes

    def fetch_changes(self, shard: Shard) -> None:
        """Apply what changed behind readers that get no messages, so that it does not pile up."""
        for reader in sorted(shard.claimed):
            queue = self.inbox.queue(reader)
            before = (shard.reader.turns, shard.reader.blocked)
            if before[1] is None or reader not in before[1]:
                continue
            size, changes = self._changes(queue)
            if size == 0 and before == (shard.reader.turns, shard.reader.blocked):
                self._memberships.catch_up(reader, changes)
            else:
                self._memberships.hold(reader, changes)
