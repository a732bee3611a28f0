"""The storage of the layer on Redis: its parts together, and presence.

It survives every process of the site, and what Redis survives: a failover with what had been
replicated, a restart with what had been saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.layers.redis.codec import Undecodable
from wsgi_bridge.layers.redis.scripts import SCRIPTS
from wsgi_bridge.layers.redis.wills import WillOperations
from wsgi_bridge.names import reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.layer import RedisLayer

__all__ = ["RedisStorage"]


class RedisStorage(WillOperations):
    """What the processes of a site keep together in Redis."""

    def __init__(self, layer: RedisLayer) -> None:
        super().__init__(layer)
        self.reset()

    def reset(self) -> None:
        """Start anew: after a flush, and in a forked child, whose wills are not its parent's."""
        self._wills = {}

    def lose(self, reader: str) -> None:
        """Another process reads it from now on: what is to be said of its death is for that."""
        for channel in [each for each in self._wills if reader_of(each) == reader]:
            self._wills.pop(channel, None)

    # Presence.

    def _group_add(self, group: str, channel: str, data: dict[str, Any]) -> None:
        self._layer._add_member(group, channel, self._layer._codec.seal(data))

    def _group_members(self, group: str) -> dict[str, dict[str, Any] | None]:
        layer = self._layer
        layer._drop_expired([reader for reader, _ in layer._readers(group)])
        suffix = layer._codec.hashed(group)
        shard = layer._shard_of(suffix)
        asked = SCRIPTS.group_data.call(shard.keys.group(suffix), layer.clock())
        [(tokens, pairs)] = layer._run([(shard, asked)])
        data = dict(zip(pairs[::2], pairs[1::2], strict=True))
        names = layer._names_in(tokens)
        return {
            name: self._opened_data(group, data.get(token))
            for name, token in zip(names, tokens, strict=True)
        }

    def _opened_data(self, group: str, sealed: bytes | None) -> dict[str, Any] | None:
        if sealed is None:
            return None
        try:
            [data] = self._layer._codec.open_as(sealed, dict)
        except Undecodable as exc:
            self._layer._note_undecodable(f"data of a member of {group}", exc)
            return None
        return dict(data)
