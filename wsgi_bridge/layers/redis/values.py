"""Values, and the channels that own them, in terms of scripts.

A value is a key on the shard of its own name. Which values a channel owns is on the shard of the
reader: it is noted before the value is saved, so that none is saved that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from wsgi_bridge.layers.redis.codec import Undecodable
from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.core import GRACE, Request
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.storage_base import Storage, Stored
from wsgi_bridge.names import reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.layer import RedisLayer
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["ValueOperations"]


class ValueOperations(Storage):
    """`load`, `save`, and the end of owners."""

    _layer: RedisLayer

    def _load(self, key: str) -> Stored:
        suffix = self._layer._codec.hashed(key)
        shard = self._layer._shard_of(suffix)
        asked = command("HMGET", shard.keys.key("value", suffix), "version", "deadline", "content")
        [(version, deadline, content)] = self._layer._run([(shard, asked)])
        if content is None or float(deadline) <= self._layer.clock():
            return Stored(None, 0)
        try:
            [value] = self._layer._codec.open_as(content, dict)
        except Undecodable as exc:
            self._layer._note_undecodable(f"the value of {key!r}", exc)
            return Stored(None, int(version))
        return Stored(value, int(version))

    def _save(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool:
        arguments = (key, value, deadline, owner, expected_version)
        if self._layer._soon(self._save_later, *arguments):
            return True
        return self._save_now(*arguments)

    def _save_later(self, *arguments: Any) -> None:
        self._save_now(*arguments)

    def _save_now(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool:
        codec = self._layer._codec
        suffix = codec.hashed(key)
        shard = self._layer._shard_of(suffix)
        now = self._layer.clock()
        lifetime = int((max(0.0, deadline - now) + GRACE) * 1000)
        content = b"" if value is None else codec.seal(value)
        expected = "" if expected_version is None else expected_version
        owned_by = codec.hashed(owner) if owner else ""
        arguments = (now, expected, deadline, content, owned_by, self._layer.expiry, lifetime)
        save = SCRIPTS.save.call((shard.keys.key("value", suffix),), *arguments)
        requests = [(shard, save)]
        if owner and value is not None:
            requests.insert(0, self._own(owner, suffix, lifetime))
        return bool(self._layer._run(requests)[-1])

    def _own(self, owner: str, suffix: str, lifetime: int) -> Request:
        channel = self._layer._codec.hashed(owner)
        queue = self._layer.inbox.queue(reader_of(owner))
        keys = queue.shard.keys
        names = (keys.key("owned", channel), keys.key("holders", queue.keys.suffix))
        return queue.shard, SCRIPTS.own.call(names, suffix, channel, lifetime)

    # The end of owners. Names of readers and channels as they stand in keys.

    def asking(self, shard: Shard, channel: str) -> Request:
        """Return what asks for the values that a channel owns."""
        return shard, command("SMEMBERS", shard.keys.key("owned", channel))

    def ending(
        self, shard: Shard, reader: str, channel: str, found: Iterable[bytes]
    ) -> list[Request]:
        """Return what lets these values of a channel end."""
        now = self._layer.clock()
        requests: list[Request] = []
        for suffix in (each.decode() for each in found):
            home = self._layer._shard_of(suffix)
            let_end = SCRIPTS.let_end.call((home.keys.key("value", suffix),), channel, now)
            requests.append((home, let_end))
        if requests:
            holders = shard.keys.key("holders", reader)
            requests.append((shard, command("SREM", holders, channel)))
            requests.append((shard, command("DEL", shard.keys.key("owned", channel))))
        return requests
