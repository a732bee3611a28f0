"""Scheduled messages, in terms of scripts.

One is on the shard of its channel, so that to put it there and to take it off the timetable is one
script: exactly once, whoever calls it.

    8 bytes     random: a message that replaced it is another one
    8 bytes     big-endian double: when it was first due
    8 bytes     the same: its period
    content     [channel, message], packed and maybe encrypted
"""

from __future__ import annotations

import contextlib
import math
import secrets
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.layers.redis.codec import Undecodable
from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.core import Request
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.redis.values import ValueOperations
from wsgi_bridge.layers.storage_base import (
    RELEASED,
    RETRY_DELAY,
    Plan,
    Released,
    Scheduled,
    next_due,
)
from wsgi_bridge.names import reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["ScheduleOperations"]

_PLAN = struct.Struct(">8sdd")


class _Due(NamedTuple):
    """A message that is due: its name, when, and what it is."""

    name: bytes
    at: bytes
    nonce: bytes
    first: float
    every: float
    channel: str
    message: dict[str, Any]


class ScheduleOperations(ValueOperations):
    """`schedule`, `cancel`, `release_due`."""

    def _shard_and_name(self, channel: str, key: str) -> tuple[Shard, str]:
        shard = self._layer.inbox.queue(reader_of(channel)).shard
        return shard, self._layer._codec.hashed(f"{channel}\0{key}")

    def _schedule(
        self,
        channel: str,
        key: str,
        message: dict[str, Any],
        due: float,
        every: float,
        keep_time: bool,
    ) -> None:
        shard, name = self._shard_and_name(channel, key)
        head = _PLAN.pack(secrets.token_bytes(8), due, every)
        content = head + self._layer._codec.seal(channel, message)
        call = SCRIPTS.plan.call(shard.keys.schedule, name, due, content, int(keep_time))
        self._layer._run([(shard, call)])

    def _cancel(self, channel: str, key: str) -> bool:
        shard, name = self._shard_and_name(channel, key)
        call = SCRIPTS.cancel.call(shard.keys.schedule, name)
        return bool(self._layer._run([(shard, call)])[0])

    def release_due(self, limit: int = RELEASED) -> Released:
        """Put what is due on its channels; see Storage.

        A round trip to each shard to learn what is due, and another one if anything is.
        """
        layer = self._layer
        now = layer.clock()
        firsts = [
            (shard, command("ZRANGE", shard.keys.schedule[0], 0, 0, "WITHSCORES"))
            for shard in layer._shards
        ]
        asked = [(each, SCRIPTS.due.call(each.keys.schedule, now, limit)) for each in layer._shards]
        replies = layer._run([*asked, *firsts])
        found, following = replies[: len(asked)], replies[len(asked) :]
        plans = [
            plan
            for shard, each in zip(layer._shards, found, strict=True)
            for plan in self._decoded(shard, each)
        ]
        plans = sorted(plans, key=lambda plan: float(plan.at))[:limit]
        number = 0
        if any(found):
            calls = [self._release_call(each, now) for each in plans]
            replies = layer._run([*calls, *firsts])
            released, following = replies[: len(calls)], replies[len(calls) :]
            number = sum(state == 1 for state, *_ in released)
            self._settle(plans, released)
        times = [float(at) for each in following for at in each[1::2]]
        return Released(number, min(times, default=None))

    def scheduled(self) -> Scheduled:
        """Return how many there are, and when the next is due; a round trip to each shard."""
        layer = self._layer
        tables = [(shard, shard.keys.schedule[0]) for shard in layer._shards]
        counts = [(shard, command("ZCARD", table)) for shard, table in tables]
        firsts = [(shard, command("ZRANGE", table, 0, 0, "WITHSCORES")) for shard, table in tables]
        replies = layer._run([*counts, *firsts])
        times = [float(at) for each in replies[len(counts) :] for at in each[1::2]]
        return Scheduled(sum(replies[: len(counts)]), min(times, default=None))

    def plans(self, limit: int = 1000) -> list[Plan]:
        """Return what is scheduled and can be decoded; see Storage."""
        layer = self._layer
        calls = [
            (each, SCRIPTS.due.call(each.keys.schedule, math.inf, limit)) for each in layer._shards
        ]
        plans = []
        for found in layer._run(calls):
            for name, at, data in zip(found[::3], found[1::3], found[2::3], strict=True):
                with contextlib.suppress(Undecodable):
                    _, _, every, channel, _ = self._opened(data)
                    _, is_plain, key = name.decode().partition("\0")
                    plans.append(Plan(channel, key if is_plain else None, float(at), every))
        return sorted(plans, key=lambda plan: plan.due)[:limit]

    def _decoded(self, shard: Shard, found: list[bytes]) -> list[_Due]:
        plans = []
        for name, at, data in zip(found[::3], found[1::3], found[2::3], strict=True):
            try:
                plans.append(_Due(name, at, *self._opened(data)))
            except Undecodable as exc:
                self._layer._note_undecodable("the timetable", exc)
                cancel = SCRIPTS.cancel.call(shard.keys.schedule, name)
                self._layer._run([(shard, cancel)])
        return plans

    def _opened(self, data: bytes) -> tuple[bytes, float, float, str, dict[str, Any]]:
        try:
            nonce, first, every = _PLAN.unpack_from(data)
        except struct.error as exc:
            raise Undecodable(f"{len(data)} bytes") from exc
        channel, message = self._layer._codec.open_as(data[_PLAN.size :], str, dict)
        return nonce, first, every, channel, message

    def _release_call(self, due: _Due, now: float) -> Request:
        layer = self._layer
        queue = layer.inbox.queue(reader_of(due.channel))
        shard = queue.shard
        keys = (queue.keys.queue, queue.keys.figures, shard.keys.totals, shard.keys.index)
        deadline = now + layer.expiry
        entry = layer._codec.encode(deadline, due.channel, due.message)
        again = next_due(due.first, due.every, now) if due.every else ""
        return shard, SCRIPTS.release.call(
            (*keys, *shard.keys.schedule),
            *(now, queue.capacity, deadline, layer._queue_lifetime, queue.keys.suffix, entry),
            *(due.name, due.at, due.nonce, again, now + RETRY_DELAY),
        )

    def _settle(self, plans: Sequence[_Due], replies: Sequence[Any]) -> None:
        """Have those leave their groups whose messages made room by having expired."""
        for due, (_, *expired) in zip(plans, replies, strict=True):
            if expired and expired[0]:
                suffix = self._layer._codec.hashed(reader_of(due.channel))
                self._layer._left_behind(suffix, expired[0])
