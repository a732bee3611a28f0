"""The storage of the ipc layer: rows beside the queues, each operation a transaction.

It survives every process of the layer, but neither the machine's end nor the directory's.
What is here is names, copies and errors; what happens in a transaction is in `values`, `schedule`,
`logs`, `wills` and `membership`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgpack

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.ipc import logs, schedule, values, wills
from wsgi_bridge.layers.ipc.records import encode_message
from wsgi_bridge.layers.ipc.session import Rings, Session
from wsgi_bridge.layers.ipc.store import Reentered, Txn
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
    from wsgi_bridge.layers.ipc.layer import IpcLayer

__all__ = ["IpcStorage"]

_Result = TypeVar("_Result")


class IpcStorage(Storage):
    """What an ipc layer keeps for all its processes, as long as there is the directory."""

    _layer: IpcLayer

    def _write(self, work: Callable[[Session], _Result]) -> _Result:
        """Call `work` in a write transaction, and wake who listens for what it has put."""
        attachment = self._layer._attach()
        now = self._layer.clock()

        def transact(txn: Txn) -> tuple[_Result, Rings]:
            session = Session(txn, now)
            result = work(session)
            session.save()
            return result, session.rings

        try:
            result, rings = attachment.write(transact)
        except Reentered as exc:
            raise ChannelLayerUnavailable(
                "a finalizer that runs in the middle of another operation of the ipc layer can "
                "send, but not use its storage"
            ) from exc
        if rings:
            attachment.ring(rings)
        return result

    def _read_only(self, work: Callable[[Session], _Result]) -> _Result:
        now = self._layer.clock()
        return self._layer._attach().store.read(lambda txn: work(Session(txn, now)))

    # Values.

    def _load(self, key: str) -> Stored:
        return Stored(*self._read_only(lambda session: values.load(session, key)))

    def _save(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool:
        packed = None if value is None else encode_message(value)

        def save(session: Session) -> bool:
            if expected_version not in (None, values.load(session, key)[1]):
                return False
            if packed is None:
                values.drop(session, key)
            else:
                values.save(session, key, packed, deadline, owner, self._layer.expiry)
            return True

        return self._write(save)

    # What goes with a channel.

    def forget_channel(self, channel: str) -> None:
        """End its memberships, revoke its will, and let the values that it owns end soon."""
        members = self._layer._attach().memberships

        def has_left_something(session: Session) -> bool:
            return bool(
                members.groups_of(session, channel)
                or wills.has_will(session, channel)
                or values.owns(session, channel)
            )

        def forget(session: Session) -> None:
            members.leave(session, channel)
            wills.drop(session, channel)
            values.forget(session, channel)

        if self._read_only(has_left_something):
            self._layer._change(forget)

    # Scheduled messages.

    def _schedule(
        self,
        channel: str,
        key: str,
        message: dict[str, Any],
        due: float,
        every: float,
        keep_time: bool,
    ) -> None:
        packed = encode_message(message)
        self._write(
            lambda session: schedule.plan(session, channel, key, packed, due, every, keep_time)
        )

    def _cancel(self, channel: str, key: str) -> bool:
        return self._write(lambda session: schedule.cancel(session, channel, key))

    def release_due(self, limit: int = RELEASED) -> Released:
        """Put what is due on its channels; see Storage."""
        if not self._read_only(schedule.is_due):
            return Released(0, self._read_only(schedule.following))
        queues = self._layer._attach().queues
        capacity_of, expiry = self._layer.capacity_of, self._layer.expiry
        return self._write(
            lambda session: schedule.release(session, queues, capacity_of, expiry, limit)
        )

    def scheduled(self) -> Scheduled:
        """Return how many there are, which walks over all, and when the next is due."""
        return self._read_only(
            lambda session: Scheduled(schedule.count(session), schedule.following(session))
        )

    def plans(self, limit: int = 1000) -> list[Plan]:
        """Return what is scheduled; see Storage."""
        return self._read_only(lambda session: schedule.plans(session, limit))

    # Logs.

    def _append(self, log: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        return self._write(lambda session: self._append_in(session, log, message, keep, ttl))

    def _append_in(
        self, session: Session, log: str, message: dict[str, Any], keep: int, ttl: float
    ) -> Position:
        opened = logs.open_log(session, log.encode(), self._layer.group_expiry)
        place = opened.append(message, keep, session.now + ttl)
        opened.save()
        return place

    def _read(self, log: str, epoch: str, offset: int, limit: int) -> Recovered:
        def read(session: Session) -> Recovered:
            # A write, since whoever reads keeps the log's place from being forgotten.
            opened = logs.open_log(session, log.encode(), self._layer.group_expiry)
            opened.save()
            return opened.since(epoch, offset, limit)

        return self._write(read)

    def _send_group(self, group: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        lost: list[tuple[str, int]] = []

        def send(session: Session) -> Position:
            place = self._append_in(session, group, message, keep, ttl)
            packed = encode_message({**message, **place._asdict()})
            self._layer._post_group(session, group, packed, lost)
            return place

        place = self._write(send)
        self._layer._report_lost(group, lost)
        return place

    # Presence.

    def _group_add(self, group: str, channel: str, data: dict[str, Any]) -> None:
        members = self._layer._attach().memberships
        deadline = self._layer.clock() + self._layer.group_expiry
        packed = encode_message(data)
        self._write(lambda session: members.add(session, group, channel, deadline, packed))

    def _group_members(self, group: str) -> dict[str, dict[str, Any] | None]:
        members = self._layer._attach().memberships

        def find(session: Session) -> dict[str, bytes]:
            names = self._layer._members(session, group)
            return {name: members.data(session, group, name) for name in names}

        found = self._write(find)
        return {name: msgpack.unpackb(data) if data else None for name, data in found.items()}

    # Wills.

    def _set_will(self, channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
        queues, expiry = self._layer._attach().queues, self._layer.expiry
        self._write(lambda session: wills.save(session, queues, channel, messages, expiry))

    def _clear_will(self, channel: str) -> None:
        if self._read_only(lambda session: wills.has_will(session, channel)):
            self._write(lambda session: wills.drop(session, channel))

    def flush(self, session: Session) -> None:
        """Drop all that is in the store but counts and listeners."""
        self._layer._attach().queues.flush(session)
        for part in (values, schedule, logs, wills):
            part.clear(session)
