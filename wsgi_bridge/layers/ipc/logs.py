"""Logs: the last messages of a name, and the count of all of them. All inside a transaction.

l LOG              when it is forgotten; numbers of the first message and of the last; epoch
e LOG 0 number     deadline, message
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.storage_base import Position, Recovered, new_epoch

__all__ = ["Log", "clear", "open_log"]

#: The deadline is first: what sweeps reads no more than that.
_LOG = struct.Struct("<dQQ")
_NUMBER = struct.Struct(">Q")
_DEADLINE = struct.Struct("<d")


class Log:
    """A log, in one transaction. `save` is to be called after a change."""

    def __init__(self, session: Session, key: bytes, row: bytes | None) -> None:
        self._session = session
        self._key = key
        self._start = b"e" + key + b"\0"
        self.epoch = ""
        self.first, self.last = 1, 0
        self.forget_at = 0.0
        if row is not None:
            self.forget_at, self.first, self.last = _LOG.unpack_from(row)
            self.epoch = row[_LOG.size :].decode()

    @property
    def has_expired(self) -> bool:
        """Whether there is anything to drop."""
        return self.forget_at <= self._session.now or self._is_stale()

    def _is_stale(self) -> bool:
        if self.first > self.last:
            return False
        row = self._session.txn.get(self._start + _NUMBER.pack(self.first)) or b""
        return bool(_DEADLINE.unpack_from(row)[0] <= self._session.now)

    def drop_expired(self) -> None:
        """Drop the messages whose time is over; all of the log, if that of the log is."""
        if self.forget_at <= self._session.now:
            self._session.clear(self._start)
            self.epoch = ""
            self.first, self.last = 1, 0
            return
        while self._is_stale():
            self._drop_first()

    def _drop_first(self) -> None:
        self._session.txn.delete(self._start + _NUMBER.pack(self.first))
        self.first += 1

    def append(self, message: dict[str, Any], keep: int, deadline: float) -> Position:
        """Append a message, and drop what is more than `keep`."""
        self.last += 1
        row = _DEADLINE.pack(deadline) + msgpack.packb(message)
        self._session.txn.put(self._start + _NUMBER.pack(self.last), row)
        while self.last - self.first >= keep:
            self._drop_first()
        return Position(self.epoch, self.last)

    def since(self, epoch: str, offset: int, limit: int) -> Recovered:
        """Return what comes after a place, if all of it is there."""
        missing = self.last - offset
        there = self.last - self.first + 1
        if epoch != self.epoch or not 0 <= missing <= min(there, limit):
            return Recovered(self.epoch, self.last, None)
        messages = []
        for number in range(offset + 1, self.last + 1):
            row = self._session.txn.get(self._start + _NUMBER.pack(number)) or b""
            messages.append(msgpack.unpackb(memoryview(row)[_DEADLINE.size :]))
        return Recovered(self.epoch, self.last, messages)

    def save(self) -> None:
        """Write what is known of the log; nothing, if it is forgotten."""
        if self.epoch:
            row = _LOG.pack(self.forget_at, self.first, self.last) + self.epoch.encode()
            self._session.txn.put(b"l" + self._key, row)
        else:
            self._session.txn.delete(b"l" + self._key)


def open_log(session: Session, key: bytes, lifetime: float = 0.0) -> Log:
    """Return a log; with a `lifetime`, one that has a place and is remembered that long."""
    log = Log(session, key, session.txn.get(b"l" + key))
    if lifetime:
        log.drop_expired()
        log.epoch = log.epoch or new_epoch()
        log.forget_at = session.now + lifetime
    return log


def clear(session: Session) -> None:
    """Delete all logs."""
    for prefix in (b"l", b"e"):
        session.clear(prefix)
