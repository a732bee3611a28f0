"""The storage of a local-first layer: that of the shared layer.

What is kept there has to be found by others, and to outlive this process. Two things are known here
only: what is sent to a group has to stay in order with what goes through the local queue, and a
will for those who die with this process is for nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.layers.storage_base import (
    RELEASED,
    Plan,
    Position,
    Recovered,
    Released,
    Scheduled,
    Storage,
    Stored,
)

if TYPE_CHECKING:
    from wsgi_bridge.layers.local_first.layer import LocalFirstLayer

__all__ = ["LocalFirstStorage"]


class LocalFirstStorage(Storage):
    """The storage of the shared layer, for whoever has a local one before it."""

    _layer: LocalFirstLayer

    def __init__(self, layer: LocalFirstLayer) -> None:
        super().__init__(layer)
        self._shared = layer.shared.storage
        self.is_shared = self._shared.is_shared

    def _load(self, key: str) -> Stored:
        return self._shared._load(key)

    def _save(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool:
        return self._shared._save(key, value, deadline, owner, expected_version)

    def _schedule(
        self,
        channel: str,
        key: str,
        message: dict[str, Any],
        due: float,
        every: float,
        keep_time: bool,
    ) -> None:
        self._shared._schedule(channel, key, message, due, every, keep_time)

    def _cancel(self, channel: str, key: str) -> bool:
        return self._shared._cancel(channel, key)

    def release_due(self, limit: int = RELEASED) -> Released:
        """Put what is due, in the shared layer; see Storage."""
        return self._shared.release_due(limit)

    def scheduled(self) -> Scheduled:
        """Return how many there are, and when the next is due, in the shared layer; see Storage."""
        return self._shared.scheduled()

    def plans(self, limit: int = 1000) -> list[Plan]:
        """Return what is scheduled in the shared layer; see Storage."""
        return self._shared.plans(limit)

    def _append(self, log: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        return self._shared._append(log, message, keep, ttl)

    def _read(self, log: str, epoch: str, offset: int, limit: int) -> Recovered:
        return self._shared._read(log, epoch, offset, limit)

    def _send_group(self, group: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        with self._layer._crossing():
            return self._shared._send_group(group, message, keep, ttl)

    def _group_add(self, group: str, channel: str, data: dict[str, Any]) -> None:
        self._shared._group_add(group, channel, data)
        self._layer._export_member(channel)

    def _group_members(self, group: str) -> dict[str, dict[str, Any] | None]:
        self._layer._drop_expired()
        return self._shared._group_members(group)

    def _set_will(self, channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
        left = [each for each in messages if not self._layer._is_read_here(each[0])]
        if left:
            self._shared._set_will(channel, left)
        else:
            self._shared._clear_will(channel)

    def _clear_will(self, channel: str) -> None:
        self._shared._clear_will(channel)
