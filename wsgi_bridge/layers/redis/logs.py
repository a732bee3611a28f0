"""Logs, and group messages with history, in terms of scripts.

A log is on the shard of its name, the readers of a group are on others. A group message is appended
and, in the same step, noted as not delivered, with the readers of that moment; then it is brought
to each of them, and the note is removed. Whoever appends while there are such notes brings those
messages too, before its own; a reader's shard remembers what was brought last, and takes nothing
twice. So the order is that of the log everywhere, whoever is slow or dies in between.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from wsgi_bridge.events.layers import LAYER_GROUP_FULL
from wsgi_bridge.layers.redis.codec import GROUP, MESSAGE, Undecodable
from wsgi_bridge.layers.redis.connection import Command, command
from wsgi_bridge.layers.redis.core import GRACE
from wsgi_bridge.layers.redis.groups import ATTEMPTS
from wsgi_bridge.layers.redis.schedules import ScheduleOperations
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.storage_base import Position, Recovered, new_epoch

__all__ = ["LogOperations"]

logger = logging.getLogger(__name__)

_DEADLINE = struct.Struct(">d")


class _Appended(NamedTuple):
    """A group message that is to be delivered, and to whom: (reader, number of its members)."""

    offset: int
    message: dict[str, Any]
    readers: dict[str, int]


class LogOperations(ScheduleOperations):
    """`append`, `read`, `send_group`."""

    def _opening(self, now: float) -> tuple[float | str, ...]:
        """Return the first arguments of each script on logs."""
        memory = self._layer.group_expiry
        return now, new_epoch(), memory, self._layer._group_lifetime

    def _entry(
        self, message: dict[str, Any], keep: int, ttl: float, now: float
    ) -> tuple[bytes | float, ...]:
        entry = _DEADLINE.pack(now + ttl) + self._layer._codec.seal(message)
        return entry, keep, int((ttl + GRACE) * 1000)

    def _append(self, log: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        suffix = self._layer._codec.hashed(log)
        shard = self._layer._shard_of(suffix)
        now = self._layer.clock()
        arguments = (*self._opening(now), *self._entry(message, keep, ttl, now))
        call = SCRIPTS.append.call(shard.keys.log(suffix), *arguments)
        [(epoch, offset)] = self._layer._run([(shard, call)])
        return Position(epoch.decode(), offset)

    def _read(self, log: str, epoch: str, offset: int, limit: int) -> Recovered:
        suffix = self._layer._codec.hashed(log)
        shard = self._layer._shard_of(suffix)
        arguments = (*self._opening(self._layer.clock()), epoch, offset, limit)
        call = SCRIPTS.read.call(shard.keys.log(suffix), *arguments)
        [(found, last, *entries)] = self._layer._run([(shard, call)])
        if not entries:
            return Recovered(found.decode(), last, None)
        try:
            messages = [self._message_of(entry) for entry in entries[0]]
        except Undecodable as exc:
            self._layer._note_undecodable(f"the log {log!r}", exc)
            return Recovered(found.decode(), last, None)
        return Recovered(found.decode(), last, messages)

    def _message_of(self, entry: bytes) -> dict[str, Any]:
        [message] = self._layer._codec.open_as(entry[_DEADLINE.size :], dict)
        return dict(message)

    # With groups.

    def _send_group(self, group: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        layer = self._layer
        suffix = layer._codec.hashed(group)
        shard = layer._shard_of(suffix)
        now = layer.clock()
        deadline = now + layer.expiry
        arguments = (*self._opening(now), *self._entry(message, keep, ttl, now))
        note = shard.keys.key("undelivered", suffix)
        names = (*shard.keys.group(suffix), *shard.keys.log(suffix), note)
        call = SCRIPTS.publish.call(names, *arguments, deadline, layer._queue_lifetime)
        [(epoch, offset, readers, before)] = layer._run([(shard, call)])
        place = Position(epoch.decode(), offset)
        if readers or before:
            mine = _Appended(offset, message, self._counted(readers))
            appended = [*self._appended_before(group, before), mine]
            self._deliver(group, place.epoch, appended)
            done = [str(each.offset) for each in appended]
            layer._run([(shard, command("HDEL", note, *done))])
        return place

    def _counted(self, pairs: Sequence[bytes]) -> dict[str, int]:
        names = self._layer._names_in(pairs[::2])
        return dict(zip(names, map(int, pairs[1::2]), strict=True))

    def _appended_before(self, group: str, found: Sequence[bytes]) -> list[_Appended]:
        """Return what others have appended and not delivered yet, in order."""
        appended = []
        for offset, data in zip(found[::2], found[1::2], strict=True):
            try:
                entry, pairs = _unpack_note(data)
                message = self._message_of(entry)
            except Undecodable as exc:
                self._layer._note_undecodable(f"the log {group!r}", exc)
                continue
            appended.append(_Appended(int(offset), message, self._counted(pairs)))
        return sorted(appended)

    def _deliver(self, group: str, epoch: str, appended: list[_Appended]) -> None:
        """Bring messages to the readers that they are for."""
        layer = self._layer
        waiting = list(dict.fromkeys(reader for each in appended for reader in each.readers))
        for _ in range(ATTEMPTS):
            queues = [layer.inbox.queue(reader) for reader in waiting]
            calls = [self._deliver_call(group, epoch, appended, reader) for reader in waiting]
            replies = layer._run(
                [(queue.shard, call) for queue, call in zip(queues, calls, strict=True)]
            )
            again = []
            for queue, (state, *expired) in zip(queues, replies, strict=True):
                if state == -1:
                    layer._left_behind(queue.keys.suffix, expired[0])
                    again.append(queue.name)
                elif state == 2:
                    LAYER_GROUP_FULL.log(
                        logger,
                        "messages to group %(group)s are lost: channel %(channel)s is at capacity",
                        cause="capacity",
                        group=group,
                        channel=queue.name,
                    )
            if not again:
                return
            waiting = again

    def _deliver_call(
        self, group: str, epoch: str, appended: list[_Appended], reader: str
    ) -> Command:
        layer = self._layer
        queue = layer.inbox.queue(reader)
        keys, shard = queue.keys, queue.shard
        is_specific = reader.endswith("!")
        now = layer.clock()
        deadline = now + layer.expiry
        contents: list[bytes | int] = []
        members = 0
        for each in appended:
            if reader in each.readers:
                members = each.readers[reader]
                message = {**each.message, "epoch": epoch, "offset": each.offset}
                sealed = layer._codec.seal(group if is_specific else reader, message)
                contents += [each.offset, sealed]
        return SCRIPTS.deliver.call(
            (
                *(keys.queue, keys.figures, shard.keys.totals, shard.keys.index, keys.version),
                shard.keys.key("delivered", keys.suffix),
            ),
            *(now, layer._codec.head(GROUP if is_specific else MESSAGE, deadline), deadline),
            *(queue.capacity, layer._queue_lifetime, keys.suffix, members),
            *(layer._codec.hashed(group), epoch, layer._group_lifetime),
            *contents,
        )


def _unpack_note(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return entry and readers of what publish.lua has noted; raises Undecodable."""
    try:
        entry, pairs = msgpack.unpackb(data, raw=True)
    except (ValueError, TypeError) as exc:
        raise Undecodable(f"{type(exc).__name__} in {len(data)} bytes") from exc
    return entry, pairs
