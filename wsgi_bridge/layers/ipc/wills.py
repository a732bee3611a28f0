"""Wills: what is put when the process that owns a reader dies. All of it inside a transaction.

    w CHANNEL 0        seconds that the messages live; channels and messages

Whoever buries a process executes its wills in the same transaction: once, and completely.
"""

from __future__ import annotations

from typing import Any

import msgpack

from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.records import PLAIN, encode_entry, listing_key
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.names import reader_of

__all__ = ["clear", "drop", "execute", "has_will", "save"]


def _key(channel: str) -> bytes:
    return b"w" + channel.encode() + b"\0"


def save(
    session: Session,
    queues: Queues,
    channel: str,
    messages: list[tuple[str, dict[str, Any]]],
    expiry: float,
) -> None:
    """Keep a will. Its reader becomes this process's own if it is nobody's yet."""
    record = session.record(reader_of(channel))
    if not record.owner:
        queues.claim(session, record)
    session.txn.put(_key(channel), msgpack.packb([expiry, messages]))


def has_will(session: Session, channel: str) -> bool:
    """Whether there is a will of a channel."""
    return session.txn.get(_key(channel)) is not None


def drop(session: Session, channel: str) -> None:
    """Revoke a will, if there is one."""
    session.txn.delete(_key(channel))


def execute(session: Session, queues: Queues, place: int) -> None:
    """Put what the process at `place` has left wills for."""
    for name, _ in list(session.scan(listing_key(place))):
        record = session.record(name.decode())
        if not record.is_specific or record.owner != place:
            continue
        for _, row in list(session.scan(b"w" + name)):
            _execute(session, queues, row)
        session.clear(b"w" + name)


def _execute(session: Session, queues: Queues, row: bytes) -> None:
    expiry, messages = msgpack.unpackb(row)
    for channel, message in messages:
        reader = reader_of(channel)
        record = session.record(reader)
        rest = channel[len(reader) :]
        packed = msgpack.packb(message)
        # Whether or not there is room: they took that room when they were written.
        queues.put(session, record, encode_entry(session.now + expiry, PLAIN, rest, packed))


def clear(session: Session) -> None:
    """Revoke all wills."""
    session.clear(b"w")
