"""Values under keys, and who owns them. All of it inside a transaction.

    v KEY              deadline, version, seconds that it stays after its owner; owner, value
    h CHANNEL 0 KEY    the channel owns the value

The version is the number of the transaction that wrote it, which is never used again.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from wsgi_bridge.layers.ipc.session import Session

__all__ = [
    "clear",
    "deadline_of",
    "drop",
    "forget",
    "forget_reader",
    "load",
    "owns",
    "save",
    "value_key",
]

#: The deadline is first: what sweeps reads no more than that.
_VALUE = struct.Struct("<dQdH")


def value_key(key: str) -> bytes:
    """Return the key of a value."""
    return b"v" + key.encode()


def _owned_key(channel: str, key: str = "") -> bytes:
    return b"h" + channel.encode() + b"\0" + key.encode()


def load(session: Session, key: str) -> tuple[dict[str, Any] | None, int]:
    """Return a value and its version; (None, 0) if there is none, or its time is over."""
    row = session.txn.get(value_key(key))
    if row is None:
        return None, 0
    deadline, version, _, size = _VALUE.unpack_from(row)
    if deadline <= session.now:
        return None, 0
    value: dict[str, Any] = msgpack.unpackb(memoryview(row)[_VALUE.size + size :])
    return value, version


def save(
    session: Session, key: str, packed: bytes, deadline: float, owner: str, grace: float
) -> None:
    """Keep a packed value instead of what was there, and `grace` seconds after its owner's end."""
    drop(session, key)
    head = _VALUE.pack(deadline, session.txn.id(), grace, len(owner))
    session.txn.put(value_key(key), head + owner.encode() + packed)
    if owner:
        session.txn.put(_owned_key(owner, key), b"")


def drop(session: Session, key: str) -> None:
    """Delete a value, if there is one."""
    row = session.txn.pop(value_key(key))
    if row is None:
        return
    owner = _owner_of(row)
    if owner:
        session.txn.delete(_owned_key(owner, key))


def owns(session: Session, channel: str) -> bool:
    """Whether a channel owns any value."""
    return any(True for _ in session.scan(_owned_key(channel)))


def forget(session: Session, channel: str) -> None:
    """Let the values that a channel owns end soon."""
    for key, _ in list(session.scan(_owned_key(channel))):
        _let_end(session, key)
    session.clear(_owned_key(channel))


def forget_reader(session: Session, reader: str) -> None:
    """Do as `forget` for all channels that are received on a reader."""
    start = b"h" + reader.encode() + (b"" if reader.endswith("!") else b"\0")
    for rest, _ in list(session.scan(start)):
        _let_end(session, rest.rpartition(b"\0")[2])
    session.clear(start)


def _let_end(session: Session, key: bytes) -> None:
    row = session.txn.get(b"v" + key)
    if row is None:
        return
    deadline, version, grace, size = _VALUE.unpack_from(row)
    head = _VALUE.pack(min(deadline, session.now + grace), version, grace, 0)
    session.txn.put(b"v" + key, head + row[_VALUE.size + size :])


def deadline_of(row: bytes) -> float:
    """Return when the time of a value is over."""
    deadline: float = _VALUE.unpack_from(row)[0]
    return deadline


def _owner_of(row: bytes) -> str:
    size = _VALUE.unpack_from(row)[3]
    return row[_VALUE.size : _VALUE.size + size].decode()


def clear(session: Session) -> None:
    """Delete all values."""
    for prefix in (b"v", b"h"):
        session.clear(prefix)
