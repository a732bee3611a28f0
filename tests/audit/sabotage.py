"""Layers that break a promise once in a thousand messages: the audit must find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsgi_bridge.layers.base import BaseLayer, Batch

__all__ = ["SABOTAGES", "sabotage"]

#: One fault in so many messages.
RARITY = 1000


class _Saboteur:
    """Stands before `_take` of a layer; counts messages, and acts at every RARITY-th."""

    def __init__(self, take: Callable[..., Batch]) -> None:
        self._take = take
        self._count = 0

    def __call__(self, *arguments: Any) -> Batch:
        batch = self._take(*arguments)
        before, self._count = self._count, self._count + len(batch)
        if before // RARITY == self._count // RARITY:
            return batch
        return self.spoil(batch)

    def spoil(self, batch: Batch) -> Batch:
        raise NotImplementedError


class _Loses(_Saboteur):
    def spoil(self, batch: Batch) -> Batch:
        return batch[1:]


class _DeliversTwice(_Saboteur):
    def spoil(self, batch: Batch) -> Batch:
        return [*batch, batch[-1]]


class _Swaps(_Saboteur):
    """The first two messages of one channel that are in the batch; else of the next batch."""

    def spoil(self, batch: Batch) -> Batch:
        places: dict[Any, int] = {}
        for at, (channel, message) in enumerate(batch):
            name = channel if isinstance(channel, str) else channel[0]
            if "!" not in name:
                continue
            before = places.setdefault((name, message.get("sender")), at)
            if before != at:
                batch[at], batch[before] = batch[before], batch[at]
                return batch
        self._count = self._count // RARITY * RARITY - 1  # again at the next message
        return batch


SABOTAGES: dict[str, type[_Saboteur]] = {
    "lose": _Loses,
    "twice": _DeliversTwice,
    "swap": _Swaps,
}


def sabotage(layer: BaseLayer, kind: str) -> None:
    """Have `layer` break a promise, if `kind` names one."""
    if kind:
        layer._take = SABOTAGES[kind](layer._take)  # type: ignore[assignment]
