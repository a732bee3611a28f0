"""Layers that break a promise once in a thousand messages: the audit must find it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from wsgi_bridge.layers.base import BaseLayer, Batch

__all__ = ["SABOTAGES", "sabotage"]

#: One fault in so many messages.
RARITY = 1000


class _Saboteur:
    """Stands before `_take` of a layer; counts messages, and acts at every RARITY-th.

    They are counted over all processes, by the size of a file: one that is killed too early to have
    had so many counts as well.
    """

    def __init__(self, take: Callable[..., Batch], folder: str) -> None:
        self._take = take
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._count = os.open(os.path.join(folder, "taken"), flags, 0o600)
        self._is_due = False

    def __call__(self, *arguments: Any) -> Batch:
        batch = self._take(*arguments)
        os.write(self._count, b"x" * len(batch))
        count = os.lseek(self._count, 0, os.SEEK_CUR)
        if (count - len(batch)) // RARITY != count // RARITY:
            self._is_due = True
        if self._is_due and batch:
            return self.spoil(batch)
        return batch

    def spoil(self, batch: Batch) -> Batch:
        raise NotImplementedError


class _Loses(_Saboteur):
    def spoil(self, batch: Batch) -> Batch:
        self._is_due = False
        return batch[1:]


class _DeliversTwice(_Saboteur):
    def spoil(self, batch: Batch) -> Batch:
        self._is_due = False
        channel, message = batch[-1]
        return [*batch, (channel, dict(message))]


class _Swaps(_Saboteur):
    """The first two messages of one channel that are in the batch; else in a later one."""

    def spoil(self, batch: Batch) -> Batch:
        places: dict[Any, int] = {}
        for at, (channel, message) in enumerate(batch):
            name = channel if isinstance(channel, str) else channel[0]
            if "!" not in name:
                continue
            before = places.setdefault((name, message.get("sender")), at)
            if before != at:
                batch[at], batch[before] = batch[before], batch[at]
                self._is_due = False
                break
        return batch


SABOTAGES: dict[str, type[_Saboteur]] = {
    "lose": _Loses,
    "twice": _DeliversTwice,
    "swap": _Swaps,
}


def sabotage(layer: BaseLayer, kind: str, folder: str) -> None:
    """Have `layer` break a promise, if `kind` names one."""
    if kind:
        layer._take = SABOTAGES[kind](layer._take, folder)  # type: ignore[assignment]
