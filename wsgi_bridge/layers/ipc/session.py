"""What one transaction works on: the records of channels, read once and written once.

Whatever a transaction does to a channel (put, take, expire, leave a group) is done to one Record,
which is written at the end if it has changed. Who is to be woken is collected, and woken after the
commit: a wake before it would find nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from wsgi_bridge.layers.ipc.records import Record, has_work, record_key
from wsgi_bridge.layers.ipc.store import Txn

__all__ = ["Rings", "Session"]

#: (place of a process, reader that it is to look at).
Rings = list[tuple[int, str]]


class Session:
    """One transaction, at one time. `records` are by reader."""

    __slots__ = ("now", "records", "rings", "txn")

    def __init__(self, txn: Txn, now: float) -> None:
        self.txn = txn
        self.now = now
        self.records: dict[str, Record] = {}
        self.rings: Rings = []

    def record(self, reader: str) -> Record:
        """Return the record of a channel; an empty one if nothing is known of it."""
        record = self.records.get(reader)
        if record is None:
            data = self.txn.get(record_key(reader))
            record = self.records[reader] = Record(reader, data)
        return record

    def record_with_work(self, reader: str) -> Record | None:
        """Return the record of a channel if it has messages, or changes of membership."""
        record = self.records.get(reader)
        if record is None:
            data = self.txn.get(record_key(reader))
            if has_work(data, 1):
                record = self.records[reader] = Record(reader, data)
        return record

    def ring(self, record: Record) -> None:
        """Have whoever listens on a channel woken after the commit."""
        for place in record.listeners:
            self.rings.append((place, record.name))

    def save(self) -> None:
        """Write what has changed: the last thing in a write transaction."""
        for record in self.records.values():
            if record.is_changed:
                self.txn.put(record_key(record.name), record.pack())
                record.is_changed = False

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys without their prefix, and values. Nothing may be written meanwhile."""
        size = len(prefix)
        with self.txn.cursor() as cursor:
            found = cursor.set_range(prefix)
            while found and (key := cursor.key()).startswith(prefix):
                yield key[size:], cursor.value()
                found = cursor.next()

    def clear(self, prefix: bytes) -> int:
        """Delete all that begins with a prefix; return how many there were."""
        count = 0
        with self.txn.cursor() as cursor:
            found = cursor.set_range(prefix)
            while found and cursor.key().startswith(prefix):
                cursor.delete()  # which moves on to the next one
                count += 1
                found = bool(cursor.key())
        return count
