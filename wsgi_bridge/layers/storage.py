"""The storage of the memory layer: state that lives as long as its process.

It is under the layer's lock, like everything else there, and written for being read: none of it is
on the way of a request. What has expired is forgotten when it is met, and by a sweep each time that
as much again is kept.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.copying import copy_trusted
from wsgi_bridge.layers.queue import Wake
from wsgi_bridge.layers.storage_base import (
    RELEASED,
    RETRY_DELAY,
    Plan,
    Position,
    Recovered,
    Released,
    Scheduled,
    Storage,
    Stored,
    new_epoch,
    next_due,
)
from wsgi_bridge.names import reader_of

if TYPE_CHECKING:
    from wsgi_bridge.layers.memory import MemoryLayer

__all__ = ["MemoryStorage"]

#: Values and logs that are kept before expired ones are first looked for.
SWEEP_SIZE = 1024


class _Value(NamedTuple):
    version: int
    deadline: float
    owner: str
    value: dict[str, Any]


class _Planned(NamedTuple):
    """A scheduled message: when it is put next, when it was first due, its period."""

    at: float
    first: float
    every: float
    message: dict[str, Any]


class _Log:
    """A log: (deadline, message) of what is left of it, and the place of the last one."""

    __slots__ = ("entries", "epoch", "forget_at", "offset")

    def __init__(self) -> None:
        self.epoch = new_epoch()
        self.offset = 0
        self.forget_at = 0.0
        self.entries: deque[tuple[float, dict[str, Any]]] = deque()

    def append(self, message: dict[str, Any], keep: int, deadline: float) -> Position:
        self.entries.append((deadline, message))
        self.offset += 1
        while len(self.entries) > keep:
            self.entries.popleft()
        return Position(self.epoch, self.offset)

    def drop_expired(self, now: float) -> None:
        while self.entries and self.entries[0][0] <= now:
            self.entries.popleft()

    def since(self, epoch: str, offset: int, limit: int) -> list[dict[str, Any]] | None:
        missing = self.offset - offset
        if epoch != self.epoch or not 0 <= missing <= min(len(self.entries), limit):
            return None
        first = len(self.entries) - missing
        return [copy_trusted(each) for _, each in itertools.islice(self.entries, first, None)]


class MemoryStorage(Storage):
    """What a memory layer keeps; for no other process, and no longer than this one lives."""

    is_shared = False

    _layer: MemoryLayer

    def __init__(self, layer: MemoryLayer) -> None:
        super().__init__(layer)
        self._versions = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Forget everything. Versions go on: those of before are not used again."""
        self._values: dict[str, _Value] = {}
        self._owned: dict[str, set[str]] = {}  # channel → keys
        self._plans: dict[tuple[str, str], _Planned] = {}
        # (time, number, channel and id); what was replaced or cancelled stays until it is met.
        self._timetable: list[tuple[float, int, tuple[str, str]]] = []
        self._logs: dict[str, _Log] = {}
        self._sweep_size = SWEEP_SIZE

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._layer._lock:
            self._layer._check_open()
            yield

    # Values.

    def _load(self, key: str) -> Stored:
        now = self._layer.clock()
        with self._locked():
            found = self._live(key, now)
        if found is None:
            return Stored(None, 0)
        return Stored(copy_trusted(found.value), found.version)

    def _save(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool:
        now = self._layer.clock()
        with self._locked():
            found = self._live(key, now)
            version = 0 if found is None else found.version
            if expected_version is not None and expected_version != version:
                return False
            self._drop(key)
            if value is not None:
                self._sweep(now)
                self._values[key] = _Value(next(self._versions), deadline, owner, value)
                if owner:
                    self._owned.setdefault(owner, set()).add(key)
        return True

    def _live(self, key: str, now: float) -> _Value | None:
        found = self._values.get(key)
        if found is not None and found.deadline <= now:
            self._drop(key)
            return None
        return found

    def _drop(self, key: str) -> None:
        found = self._values.pop(key, None)
        keys = self._owned.get(found.owner) if found is not None else None
        if found is not None and keys is not None:
            keys.discard(key)
            if not keys:
                del self._owned[found.owner]

    def forget(self, channel: str, now: float) -> None:
        """Let the values that `channel` owns end soon. Called with the layer's lock held."""
        end = now + self._layer.expiry
        for key in self._owned.pop(channel, ()):
            found = self._values[key]
            self._values[key] = found._replace(deadline=min(found.deadline, end), owner="")

    def _sweep(self, now: float) -> None:
        if len(self._values) + len(self._logs) < self._sweep_size:
            return
        for key in list(self._values):
            self._live(key, now)
        for name, log in list(self._logs.items()):
            if log.forget_at <= now:
                del self._logs[name]
        self._sweep_size = max(SWEEP_SIZE, 2 * (len(self._values) + len(self._logs)))

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
        name = (channel, key)
        with self._locked():
            earlier = self._plans.get(name)
            if keep_time and earlier is not None and earlier.every == every:
                self._plans[name] = earlier._replace(message=message)
            else:
                self._plan(name, _Planned(due, due, every, message))

    def _plan(self, name: tuple[str, str], planned: _Planned) -> None:
        self._plans[name] = planned
        heapq.heappush(self._timetable, (planned.at, next(self._versions), name))
        if len(self._timetable) > 2 * len(self._plans) + SWEEP_SIZE:
            self._timetable = [
                (each.at, next(self._versions), name) for name, each in self._plans.items()
            ]
            heapq.heapify(self._timetable)

    def _cancel(self, channel: str, key: str) -> bool:
        with self._locked():
            return self._plans.pop((channel, key), None) is not None

    def release_due(self, limit: int = RELEASED) -> Released:
        """Put what is due on its channels; see Storage."""
        now = self._layer.clock()
        number = 0
        wakes: list[Wake] = []
        with self._locked():
            for _ in range(limit):
                name = self._first_of_timetable()
                if name is None or self._plans[name].at > now:
                    break
                number += self._release(name, now, wakes)
            name = self._first_of_timetable()
            following = None if name is None else self._plans[name].at
        for wake in wakes:
            wake()
        return Released(number, following)

    def scheduled(self) -> Scheduled:
        """Return how many there are, and when the next is due; see Storage."""
        with self._locked():
            name = self._first_of_timetable()
            return Scheduled(len(self._plans), None if name is None else self._plans[name].at)

    def plans(self, limit: int = 1000) -> list[Plan]:
        """Return what is scheduled; see Storage."""
        with self._locked():
            found = [Plan(*name, each.at, each.every) for name, each in self._plans.items()]
        return heapq.nsmallest(limit, found, key=lambda plan: plan.due)

    def _first_of_timetable(self) -> tuple[str, str] | None:
        """Return what is put next, after what no longer holds has been dropped before it."""
        while self._timetable:
            at, _, name = self._timetable[0]
            planned = self._plans.get(name)
            if planned is not None and planned.at == at:
                return name
            heapq.heappop(self._timetable)
        return None

    def _release(self, name: tuple[str, str], now: float, wakes: list[Wake]) -> bool:
        """Put one message; False if its channel is full, and it is to be tried again."""
        heapq.heappop(self._timetable)
        channel, _ = name
        planned = self._plans[name]
        queue = self._layer._queue_with_room(reader_of(channel), now)
        if queue is None:
            self._plan(name, planned._replace(at=now + RETRY_DELAY))
            return False
        message = planned.message
        if planned.every:
            again = next_due(planned.first, planned.every, now)
            self._plan(name, planned._replace(at=again, message=copy_trusted(message)))
        else:
            del self._plans[name]
        queue.entries.append((now + self._layer.expiry, channel, message))
        queue.sent.add(now)
        wakes.extend(queue.wakes)
        return True

    # Logs.

    def _log(self, name: str, now: float) -> _Log:
        log = self._logs.get(name)
        if log is None or log.forget_at <= now:
            self._sweep(now)
            log = self._logs[name] = _Log()
        log.forget_at = now + self._layer.group_expiry
        log.drop_expired(now)
        return log

    def _append(self, log: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        now = self._layer.clock()
        with self._locked():
            return self._log(log, now).append(message, keep, now + ttl)

    def _read(self, log: str, epoch: str, offset: int, limit: int) -> Recovered:
        now = self._layer.clock()
        with self._locked():
            found = self._log(log, now)
            return Recovered(found.epoch, found.offset, found.since(epoch, offset, limit))

    def _send_group(self, group: str, message: dict[str, Any], keep: int, ttl: float) -> Position:
        now = self._layer.clock()
        place = Position("", 0)

        def append() -> dict[str, Any]:
            nonlocal place
            place = self._log(group, now).append(message, keep, now + ttl)
            return {**copy_trusted(message), **place._asdict()}

        self._layer._send_to_members(group, append)
        return place

    # Presence.

    def _group_add(self, group: str, channel: str, data: dict[str, Any]) -> None:
        with self._locked():
            self._layer._groups.add(group, channel, self._layer.clock(), data)

    def _group_members(self, group: str) -> dict[str, dict[str, Any] | None]:
        with self._locked():
            names = self._layer.group_channels(group)
            found = {name: self._layer._groups.data(group, name) for name in names}
        return {name: None if data is None else copy_trusted(data) for name, data in found.items()}

    # Wills: whoever could execute them dies with this process.

    def _set_will(self, channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
        del channel, messages
        self._layer._check_open()

    def _clear_will(self, channel: str) -> None:
        del channel
        self._layer._check_open()
