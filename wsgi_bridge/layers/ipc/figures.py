"""Statistics across all processes, and the sweeping of channels that are idle.

Single-reader channels come and go by the thousand; the record of one that is empty, unlistened and
quiet is deleted, and its counts go to those of the store.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import partial

from wsgi_bridge.layers.ipc import undecodable
from wsgi_bridge.layers.ipc.queues import Queues, load_rates
from wsgi_bridge.layers.ipc.records import (
    Record,
    deadline_of,
    listing_key,
    message_key,
    rates_key,
    record_key,
)
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.ipc.store import Store, Txn
from wsgi_bridge.layers.statistics import RATE_WINDOW, Statistics, no_statistics

__all__ = [
    "SWEEPS",
    "SWEEP_SIZE",
    "add_figures",
    "all_records",
    "drop_expired",
    "statistics",
    "sweep",
]

#: Records looked at in one sweep: a millisecond or two.
SWEEP_SIZE = 1000

#: Sweeps at a time, at most, where most of what is found is idle: single-reader channels then come
#: and go faster than one would see them.
SWEEPS = 20

#: Records changed in one transaction of a sweep, so that nobody waits for it.
BATCH = 128

_SWEPT = b"z"
_COUNTS = struct.Struct("<4Q")  # sent, full, expired, lost


def statistics(
    store: Store, queues: Queues, now: float, expiry: float, reader: str | None
) -> Statistics:
    """Return the figures of one reader, or of all channels with those that were swept."""
    drop_expired(store, queues, now, reader)
    return store.read(partial(_sum, now=now, expiry=expiry, reader=reader))


def drop_expired(store: Store, queues: Queues, now: float, reader: str | None = None) -> None:
    """Drop the expired messages of one reader, or of all channels, and count them."""
    stale = store.read(partial(_find_stale, now=now, reader=reader))
    for start in range(0, len(stale), BATCH):
        batch = stale[start : start + BATCH]
        store.write(partial(_purge, queues=queues, now=now, readers=batch))


def all_records(session: Session) -> Iterable[Record]:
    """Yield the record of every channel."""
    for key, data in session.scan(b"c"):
        yield Record(key.decode(), data)


def _records(session: Session, reader: str | None) -> Iterable[Record]:
    return all_records(session) if reader is None else [session.record(reader)]


def _find_stale(txn: Txn, now: float, reader: str | None) -> list[str]:
    session = Session(txn, now)
    return [record.name for record in _records(session, reader) if _is_stale(session, record)]


def _is_stale(session: Session, record: Record) -> bool:
    """Whether the first message of a channel has expired."""
    if record.head == record.tail:
        return False
    data = session.txn.get(message_key(record, record.head))
    return data is not None and deadline_of(data) <= session.now


def _purge(txn: Txn, queues: Queues, now: float, readers: Iterable[str]) -> None:
    session = Session(txn, now)
    for reader in readers:
        queues.purge(session, session.record(reader))
    session.save()


def _sum(txn: Txn, now: float, expiry: float, reader: str | None) -> Statistics:
    session = Session(txn, now)
    data = txn.get(_SWEPT) if reader is None else None
    sent, full, expired, lost = _COUNTS.unpack(data) if data else (0, 0, 0, 0)
    found: Statistics = {
        **no_statistics(),
        "messages_count": sent,
        "channel_full_count": full,
        "messages_expired_count": expired,
        "group_messages_lost_count": lost,
    }
    for record in _records(session, reader):
        add_figures(found, session, record, expiry)
    if reader is None:
        found["messages_undecodable_count"] = undecodable.of_all(session)
    return found


def add_figures(found: Statistics, session: Session, record: Record, expiry: float) -> None:
    """Add the figures of a channel to `found`."""
    sent, full = load_rates(session, record)
    found["messages_count"] += record.tail
    found["messages_count_per_second"] += sent.rate(session.now)
    found["messages_pending"] += record.waiting
    found["channel_full_count"] += record.full
    found["channel_full_count_per_second"] += full.rate(session.now)
    found["messages_expired_count"] += record.expired
    found["group_messages_lost_count"] += record.lost
    found["messages_undecodable_count"] += undecodable.of_channel(session, record.name)
    if record.waiting and (data := session.txn.get(message_key(record, record.head))):
        age = session.now - (deadline_of(data) - expiry)
        found["messages_max_age"] = max(found["messages_max_age"], age)


# Sweeping.


def sweep(store: Store, queues: Queues, now: float, start: str, limit: int) -> tuple[str, int]:
    """Drop what has expired and forget what is idle, among the `limit` channels after `start`.

    Returns where to go on, an empty name for the beginning, and how many there were. The clock of a
    process may be a test's: whoever sweeps by another time than the senders' only sweeps earlier or
    later.
    """
    names, end = store.read(partial(_find_idle, now=now, start=start, limit=limit))
    for first in range(0, len(names), BATCH):
        batch = names[first : first + BATCH]
        store.write(partial(_sweep_batch, queues=queues, now=now, names=batch))
    return end, len(names)


def _find_idle(txn: Txn, now: float, start: str, limit: int) -> tuple[list[str], str]:
    session = Session(txn, now)
    names: list[str] = []
    with txn.cursor() as cursor:
        found = cursor.set_range(record_key(start))
        for _ in range(limit):
            key = cursor.key() if found else b""
            if not key.startswith(b"c"):
                return names, ""
            record = Record(key[1:].decode(), cursor.value())
            if _is_idle(record, now) or _is_stale(session, record):
                names.append(record.name)
            found = cursor.next()
        return names, record.name


def _is_idle(record: Record, now: float) -> bool:
    """Whether nothing is lost by forgetting a channel, its rates included."""
    is_used = record.head != record.tail or record.first_change != record.next_change
    is_read = record.listeners or (record.is_specific and record.owner)
    return not is_used and not is_read and record.sent_mark + RATE_WINDOW <= now


def _sweep_batch(txn: Txn, queues: Queues, now: float, names: Iterable[str]) -> None:
    session = Session(txn, now)
    gone = []
    for name in names:
        record = session.record(name)
        queues.purge(session, record)
        _, full = load_rates(session, record)
        if _is_idle(record, now) and full.next_mark + RATE_WINDOW <= now:
            gone.append(record)
    session.save()
    for record in gone:
        _forget(txn, record)


def _forget(txn: Txn, record: Record) -> None:
    data = txn.get(_SWEPT)
    sent, full, expired, lost = _COUNTS.unpack(data) if data else (0, 0, 0, 0)
    txn.put(
        _SWEPT,
        _COUNTS.pack(
            sent + record.tail, full + record.full, expired + record.expired, lost + record.lost
        ),
    )
    txn.delete(record_key(record.name))
    txn.delete(rates_key(record.name))
    if record.owner:
        txn.delete(listing_key(record.owner, record.name))
