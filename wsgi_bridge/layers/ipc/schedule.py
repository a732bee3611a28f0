"""Scheduled messages. All of it inside a transaction, so that each is put exactly once.

u CHANNEL 0 KEY            when it is put next, when it was first due, its period; the message
t TIME CHANNEL 0 KEY       the same, in the order of time (big-endian: times are not negative)
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.records import PLAIN, encode_entry
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.storage_base import RETRY_DELAY, Plan, Released, next_due
from wsgi_bridge.names import reader_of

__all__ = ["cancel", "clear", "count", "following", "is_due", "plan", "plans", "release"]

_PLAN = struct.Struct("<ddd")
_TIME = struct.Struct(">d")


def _name(channel: str, key: str) -> bytes:
    return channel.encode() + b"\0" + key.encode()


def plan(
    session: Session,
    channel: str,
    key: str,
    packed: bytes,
    due: float,
    every: float,
    keep_time: bool,
) -> None:
    """Schedule a packed message, instead of an earlier one of that name."""
    name = _name(channel, key)
    row = session.txn.get(b"u" + name)
    if keep_time and row is not None and _PLAN.unpack_from(row)[2] == every:
        session.txn.put(b"u" + name, row[: _PLAN.size] + packed)
        return
    _remove(session, name)
    _put(session, name, due, due, every, packed)


def cancel(session: Session, channel: str, key: str) -> bool:
    """Remove what was scheduled under that name; whether there was anything."""
    return _remove(session, _name(channel, key))


def following(session: Session) -> float | None:
    """Return when the next message is due."""
    for key, _ in session.scan(b"t"):
        due: float = _TIME.unpack_from(key)[0]
        return due
    return None


def count(session: Session) -> int:
    """Return how many messages are scheduled."""
    return sum(1 for _ in session.scan(b"t"))


def plans(session: Session, limit: int) -> list[Plan]:
    """Return what is scheduled, the earliest first."""
    found = []
    for time, _ in itertools.islice(session.scan(b"t"), limit):
        name = time[_TIME.size :]
        at, _, every = _PLAN.unpack_from(session.txn.get(b"u" + name) or b"")
        channel, _, key = name.partition(b"\0")
        found.append(Plan(channel.decode(), key.decode(), at, every))
    return found


def is_due(session: Session) -> bool:
    """Whether there is anything to release."""
    due = following(session)
    return due is not None and due <= session.now


def release(
    session: Session, queues: Queues, capacity_of: Callable[[str], int], expiry: float, limit: int
) -> Released:
    """Put up to `limit` messages that are due on their channels."""
    number = 0
    for name in _due(session, limit):
        number += _release(session, queues, capacity_of, expiry, name)
    return Released(number, following(session))


def _due(session: Session, limit: int) -> list[bytes]:
    names: list[bytes] = []
    for key, _ in session.scan(b"t"):
        if len(names) >= limit or _TIME.unpack_from(key)[0] > session.now:
            break
        names.append(key[_TIME.size :])
    return names


def _release(
    session: Session,
    queues: Queues,
    capacity_of: Callable[[str], int],
    expiry: float,
    name: bytes,
) -> bool:
    """Put one message; False if its channel is full, and it is to be tried again."""
    row = session.txn.get(b"u" + name) or b""
    _, first, every = _PLAN.unpack_from(row)
    packed = row[_PLAN.size :]
    channel = name.partition(b"\0")[0].decode()
    reader = reader_of(channel)
    record = session.record(reader)
    _remove(session, name)
    if not queues.has_room(session, record, capacity_of(reader)):
        queues.count_full(session, record)
        _put(session, name, session.now + RETRY_DELAY, first, every, packed)
        return False
    entry = encode_entry(session.now + expiry, PLAIN, channel[len(reader) :], packed)
    queues.put(session, record, entry)
    if every:
        _put(session, name, next_due(first, every, session.now), first, every, packed)
    return True


def _put(
    session: Session, name: bytes, at: float, first: float, every: float, packed: bytes
) -> None:
    session.txn.put(b"u" + name, _PLAN.pack(at, first, every) + packed)
    session.txn.put(b"t" + _TIME.pack(at) + name, b"")


def _remove(session: Session, name: bytes) -> bool:
    row = session.txn.pop(b"u" + name)
    if row is None:
        return False
    at = _PLAN.unpack_from(row)[0]
    session.txn.delete(b"t" + _TIME.pack(at) + name)
    return True


def clear(session: Session) -> None:
    """Forget all that is scheduled."""
    for prefix in (b"u", b"t"):
        session.clear(prefix)
