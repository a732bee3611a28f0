"""The operations on groups, in terms of scripts.

A group is two keys on the shard of its name: its members, and how many of them each reader has. A
reader's side is on the shard of the reader: which groups its channels are in, so that they can
leave all of them, and the memberships for the process that reads it (see memberships.py).

Names of members stand in Redis as tokens, all other names as in keys: see naming.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wsgi_bridge.copying import copy_message
from wsgi_bridge.events.layers import LAYER_GROUP_FULL
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.redis.codec import GROUP, MESSAGE, Entry, Undecodable
from wsgi_bridge.layers.redis.connection import Command, command
from wsgi_bridge.layers.redis.core import RedisCore, Request
from wsgi_bridge.layers.redis.inbox import LocalQueue
from wsgi_bridge.layers.redis.memberships import ADD, DISCARD, Announced
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.names import check_channel, check_group, reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["WAKE", "GroupOperations"]

logger = logging.getLogger(__name__)

#: Attempts at a group message whose readers turn out to have let messages expire.
ATTEMPTS = 3

#: Who is to hear of a change: see join.lua.
WAKE = "wake"
TELL = "tell"

#: Memberships are ended whatever their deadline.
FOREVER = "inf"


class GroupOperations(RedisCore):
    """Adding, discarding, sending."""

    # The contract.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        if not self._soon(self.group_add, group, channel):
            self._add_member(group, channel)

    def _add_member(self, group: str, channel: str, data: bytes = b"") -> None:
        """Make `channel` a member, with sealed data if there are any."""
        deadline = self.clock() + self.group_expiry
        suffix = self._codec.hashed(group)
        is_mine = self._is_mine(channel)
        added = Announced(suffix, channel, deadline, data)
        self._run(self._adds(added, TELL if is_mine else WAKE))
        if "!" not in channel or is_mine:
            # No other process announces it if Redis forgets. One that reads the channel does, but
            # not before it has fetched the change, which goes with Redis until then.
            self._memberships.add(*added)
        else:
            self._memberships.add_elsewhere(added, self.clock())
            self._shard_of(suffix).keeper.start()

    def _is_mine(self, channel: str) -> bool:
        """Whether this process reads a process-specific channel."""
        reader = reader_of(channel)
        return "!" in channel and reader in self.inbox.queue(reader).shard.claimed

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        if self._soon(self.group_discard, group, channel):
            return
        suffix = self._codec.hashed(group)
        self._memberships.discard(suffix, channel)
        self._run(self._discards(suffix, channel))

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`; see BaseLayer."""
        check_channel(channel)
        if not self._soon(self.forget_channel, channel):
            self._leave([channel], [self._storage.revoking(channel)])

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

    def _adds(self, added: Announced, who: str) -> list[Request]:
        """Return what makes a member. The reader's side first: it may not miss a message."""
        suffix, channel, deadline, data = added
        shard = self._shard_of(suffix)
        token = self._codec.token(channel)
        arguments = (self.clock(), deadline, self._group_lifetime, token)
        keys = shard.keys.group(suffix)
        if data:
            add = SCRIPTS.group_add_data.call(keys, *arguments, data)
        else:
            add = SCRIPTS.group_add.call(keys, *arguments)
        return [self._join(ADD, added, who), (shard, add)]

    def _discards(self, suffix: str, channel: str) -> list[Request]:
        """Return what ends a membership."""
        shard = self._shard_of(suffix)
        token = self._codec.token(channel)
        leave = SCRIPTS.group_discard.call(shard.keys.group(suffix), FOREVER, token)
        who = TELL if self._is_mine(channel) else WAKE
        return [(shard, leave), self._join(DISCARD, Announced(suffix, channel, 0.0), who)]

    def _join(self, kind: str, change: Announced, who: str) -> Request:
        """Return the command for the reader's side of a change, of which `who` is to hear."""
        suffix, channel, deadline, data = change
        queue = self.inbox.queue(reader_of(channel))
        belongs = queue.shard.keys.belongs(self._codec.hashed(channel))
        keys = queue.keys
        names = (belongs, keys.memberships, keys.changes, keys.version, keys.wake)
        arguments: tuple[bytes | float | str, ...] = (kind, suffix, self._group_lifetime)
        if "!" in channel:
            content = self._codec.seal(kind, suffix, channel, deadline, *([data] if data else ()))
            token = self._codec.token(channel)
            arguments += (token, content, deadline, self.clock(), who)
        return queue.shard, SCRIPTS.join.call(names, *arguments)

    def _leave(self, channels: Iterable[str], others: Sequence[Request] = ()) -> None:
        """End every membership of some channels, let the values that they own end; run others."""
        names = list(channels)
        hashes = [self._codec.hashed(name) for name in names]
        queues = [self.inbox.queue(reader_of(name)) for name in names]
        asked: list[Request] = []
        for queue, suffix in zip(queues, hashes, strict=True):
            asked.append((queue.shard, command("SMEMBERS", queue.shard.keys.belongs(suffix))))
            asked.append(self._storage.asking(queue.shard, suffix))
        replies = self._run([*asked, *others])[: len(asked)]
        requests: list[Request] = []
        for at, (name, queue) in enumerate(zip(names, queues, strict=True)):
            self._memberships.forget(name)
            for group in replies[2 * at]:
                requests += self._discards(group.decode(), name)
            owned = replies[2 * at + 1]
            requests += self._storage.ending(queue.shard, queue.keys.suffix, hashes[at], owned)
        self._run(requests)

    # Asking.

    def _readers(self, group: str) -> list[tuple[str, int]]:
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        asked = SCRIPTS.group_readers.call(shard.keys.group(suffix), self.clock())
        [pairs] = self._run([(shard, asked)])
        return list(zip(self._names_in(pairs[::2]), map(int, pairs[1::2]), strict=True))

    def _members(self, group: str) -> list[str]:
        suffix = self._codec.hashed(group)
        shard = self._shard_of(suffix)
        asked = SCRIPTS.group_members.call(shard.keys.group(suffix), self.clock())
        [members] = self._run([(shard, asked)])
        return self._names_in(members)

    def _names_in(self, tokens: Iterable[bytes]) -> list[str]:
        """Return the names of members or readers."""
        try:
            return [self._codec.name_of(token) for token in tokens]
        except Undecodable as exc:
            # Not one by one: who sends to a group may not leave out members in silence.
            raise ChannelLayerUnavailable(f"members under another secret: {exc}") from exc

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
                LAYER_GROUP_FULL.log(
                    logger,
                    "messages to group %(group)s are lost for %(members)d members: channel "
                    "%(channel)s is at capacity",
                    cause="capacity",
                    group=group,
                    members=number,
                    channel=reader,
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
