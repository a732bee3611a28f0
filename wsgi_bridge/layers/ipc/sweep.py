"""Sweeping what the storage holds: values and logs that nobody asks for any more."""

from __future__ import annotations

from functools import partial

from wsgi_bridge.layers.ipc import logs, values
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.ipc.store import Store, Txn

__all__ = ["sweep"]

#: Rows that are dropped in one transaction, so that nobody waits for it.
BATCH = 128


def sweep(store: Store, now: float, start: bytes, limit: int) -> bytes:
    """Drop what has expired among the `limit` rows after `start`; return where to go on."""
    keys, end = store.read(partial(_find_expired, now=now, start=start, limit=limit))
    for first in range(0, len(keys), BATCH):
        store.write(partial(_drop_expired, now=now, keys=keys[first : first + BATCH]))
    return end


def _find_expired(txn: Txn, now: float, start: bytes, limit: int) -> tuple[list[bytes], bytes]:
    """Return the keys of rows that have expired, and where to go on: logs come before values."""
    session = Session(txn, now)
    keys: list[bytes] = []
    with txn.cursor() as cursor:
        found = cursor.set_range(start or b"l")
        for _ in range(limit):
            key = cursor.key() if found else b""
            if key[:1] not in (b"l", b"v"):
                if not b"l" < key < b"v":
                    return keys, b""
                found = cursor.set_range(b"v")
                continue
            if _has_expired(session, key, cursor.value()):
                keys.append(key)
            found = cursor.next()
        return keys, cursor.key() if found else b""


def _has_expired(session: Session, key: bytes, row: bytes) -> bool:
    if key.startswith(b"v"):
        return values.deadline_of(row) <= session.now
    return logs.Log(session, key[1:], row).has_expired


def _drop_expired(txn: Txn, now: float, keys: list[bytes]) -> None:
    session = Session(txn, now)
    for key in keys:
        row = txn.get(key)
        if row is None or not _has_expired(session, key, row):
            continue
        if key.startswith(b"v"):
            values.drop(session, key[1:].decode())
        else:
            log = logs.open_log(session, key[1:])
            log.drop_expired()
            log.save()
