"""Messages in the store: put, taken, expired. All of it inside a transaction.

The queue of a channel is numbered entries; what waits is those between the head and the tail of its
record. Messages leave at the head only, expired ones too: later ones have later deadlines.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgpack

from wsgi_bridge.layers.ipc import undecodable, values
from wsgi_bridge.layers.ipc.membership import Memberships
from wsgi_bridge.layers.ipc.records import (
    GROUP,
    HEADER_SIZE,
    MEMBERS,
    PLAIN,
    Entries,
    Record,
    decode_entry,
    encode_entry,
    listing_key,
    message_key,
    pack_number,
    plain_rows,
    rates_key,
    unpack_header,
)
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.statistics import Meter

__all__ = ["Packed", "Queues", "load_rates"]

#: What was taken, not decoded yet: whom it is for, and the message.
Packed = list[tuple[str | tuple[str, ...], memoryview]]


class Queues:
    """The queues of a store, for the process at `place`."""

    def __init__(self, memberships: Memberships, place: int) -> None:
        self._memberships = memberships
        self._place = place

    # Putting.

    def put(self, session: Session, record: Record, data: bytes) -> None:
        """Put an entry at the tail of a channel that has room."""
        self._begin_to_put(session, record)
        session.txn.put(message_key(record, record.tail), data)
        record.tail += 1

    def put_plain(
        self, session: Session, record: Record, deadline: float, entries: Entries
    ) -> None:
        """Put messages at the tail of their reader, which has room for them."""
        self._begin_to_put(session, record)
        rows = plain_rows(record, deadline, entries)
        if len(rows) == 1:
            session.txn.put(*rows[0])
        else:
            with session.txn.cursor() as cursor:
                cursor.putmulti(rows)
        record.tail += len(rows)

    def _begin_to_put(self, session: Session, record: Record) -> None:
        if session.now >= record.sent_mark:
            self._mark(session, record)
        # Whoever waits has found the channel empty since it began to listen, and so was rung for
        # the message that ended that.
        if record.listeners and record.head == record.tail:
            session.ring(record)
        record.is_changed = True

    def has_room(self, session: Session, record: Record, capacity: int) -> bool:
        """Whether a channel is under its capacity, after what has expired has left."""
        return record.waiting < capacity or self.purge(session, record)

    def room(self, session: Session, record: Record, capacity: int, wanted: int) -> int:
        """Return how many messages a channel takes, up to `wanted`; what has expired leaves."""
        if record.waiting + wanted > capacity:
            self.purge(session, record)
        return min(wanted, max(0, capacity - record.waiting))

    def count_full(self, session: Session, record: Record) -> None:
        """Count a message that found a channel at capacity."""
        sent, full = load_rates(session, record)
        full.add(session.now)
        record.full += 1
        record.is_changed = True
        _save_rates(session, record, sent, full)

    def put_group(
        self, session: Session, group: str, packed: bytes, deadline: float, record: Record
    ) -> None:
        """Put a group message: one entry, whatever the number of members under the reader."""
        if record.is_specific:
            data = encode_entry(deadline, GROUP, group, packed)
        else:
            data = encode_entry(deadline, PLAIN, "", packed)
        self.put(session, record, data)

    def _mark(self, session: Session, record: Record) -> None:
        sent, full = load_rates(session, record)
        sent.mark(session.now)
        record.sent_mark = sent.next_mark
        _save_rates(session, record, sent, full)

    # Taking.

    def take(self, session: Session, channels: Sequence[str], limit: int, compact: bool) -> Packed:
        """Remove and return up to `limit` messages, in fair shares."""
        batch: Packed = []
        found = [session.record_with_work(channel) for channel in channels]
        records = [record for record in found if record is not None]
        ready = [record for record in records if record.head != record.tail]
        turn = session.txn.id()
        while ready:
            # The one that was served longest ago goes first, and all have an equal share of what
            # is left of the limit.
            ready.sort(key=_turn_of)
            share = max(1, (limit - len(batch)) // len(ready))
            for record in ready:
                if len(batch) >= limit:
                    break
                record.turn = turn
                self._drain(session, record, batch, min(len(batch) + share, limit), compact)
            ready = [record for record in ready if record.head != record.tail]
            if len(batch) >= limit:
                break
        for record in records:
            self._settle(session, record)
        return batch

    def claim(self, session: Session, record: Record) -> None:
        """Make this process the owner of a reader: what waits there is lost when it dies."""
        record.owner = self._place
        record.epoch = 0
        record.is_changed = True
        session.txn.put(listing_key(self._place, record.name), b"")

    def _drain(
        self, session: Session, record: Record, batch: Packed, size: int, compact: bool
    ) -> None:
        """Move what is not expired to `batch`, until it has `size` messages."""
        if record.owner != self._place and record.is_owned:
            self.claim(session, record)
        record.losing = 0
        record.is_changed = True
        pop, prefix, name, now = session.txn.pop, record.prefix, record.name, session.now
        while len(batch) < size and (number := record.head) != record.tail:
            data = pop(prefix + pack_number(number)) or b""
            record.head = number + 1
            try:
                deadline, kind, length = unpack_header(data)
                if kind == PLAIN and deadline > now:
                    end = HEADER_SIZE + length
                    text = data[HEADER_SIZE:end].decode() if length else ""
                    batch.append((name + text, memoryview(data)[end:]))
                else:
                    self._drain_others(session, record, number, data, batch, size, compact)
            except undecodable.ERRORS:
                undecodable.add(session, name)

    def _drain_others(
        self,
        session: Session,
        record: Record,
        number: int,
        data: bytes,
        batch: Packed,
        size: int,
        compact: bool,
    ) -> None:
        """Move a message to several, or lose one that has expired."""
        deadline, kind, text, packed = decode_entry(data)
        names = self._names(session, record, number, kind, text)
        if deadline <= session.now:
            self._expire(session, record, names)
        elif compact:
            if names:
                batch.append((names, packed))
        else:
            room = size - len(batch)
            batch.extend((name, packed) for name in names[:room])
            if len(names) > room:
                self._put_back(session, record, deadline, names[room:], packed)

    def _names(
        self, session: Session, record: Record, number: int, kind: int, text: str
    ) -> tuple[str, ...]:
        """Return whom a message is for."""
        if kind == PLAIN:
            return (record.name + text,)
        if kind == MEMBERS:
            return tuple(text.split("\0"))
        if record.owner == self._place:
            self._memberships.own(session, record, number)
        return self._memberships.names_at(session, record, number, text)

    def _put_back(
        self,
        session: Session,
        record: Record,
        deadline: float,
        names: tuple[str, ...],
        packed: memoryview,
    ) -> None:
        """Leave the members that the limit had no room for at the head."""
        record.head -= 1
        data = encode_entry(deadline, MEMBERS, "\0".join(names), bytes(packed))
        session.txn.put(message_key(record, record.head), data)

    def _settle(self, session: Session, record: Record) -> None:
        """Take note of the changes of membership that nothing waits for any more."""
        if record.first_change != record.next_change and record.is_specific:
            if record.owner != self._place:
                self.claim(session, record)
            self._memberships.own(session, record, record.head)
            self._memberships.take_note(session, record, record.head)

    # Expiry.

    def purge(self, session: Session, record: Record) -> bool:
        """Drop the expired messages at the head of a channel; True if there were any."""
        before = record.head
        while record.head != record.tail and self._purge_first(session, record):
            pass
        return record.head != before

    def _purge_first(self, session: Session, record: Record) -> bool:
        """Drop the first message if it has expired, or is none; whether it was dropped."""
        number, names = record.head, None
        data = session.txn.get(message_key(record, number)) or b""
        try:
            deadline, kind, text, _ = decode_entry(data)
            if deadline > session.now:
                return False
            names = self._names(session, record, number, kind, text)
        except undecodable.ERRORS:
            undecodable.add(session, record.name)
        session.txn.delete(message_key(record, number))
        record.head += 1
        record.is_changed = True
        if names is not None:
            self._expire(session, record, names)
        return True

    def _expire(self, session: Session, record: Record, names: Sequence[str]) -> None:
        record.expired += 1
        record.is_changed = True
        # Whoever let a message expire is taken for gone.
        for name in names:
            self._memberships.leave(session, name)
            values.forget(session, name)

    # The end of a process.

    def bury(self, session: Session, place: int) -> None:
        """Remove what the process at `place` listened on and owned."""
        for key, _ in list(session.scan(listing_key(place))):
            record = session.record(key.decode())
            record.listeners = tuple(other for other in record.listeners if other != place)
            record.is_changed = True
            if record.is_owned and record.owner == place:
                self._drop(session, record)
        session.clear(listing_key(place))

    def _drop(self, session: Session, record: Record) -> None:
        """Lose what waits for a reader whose process is gone; it counts as expired."""
        session.clear(record.prefix)
        record.expired += record.waiting
        record.head = record.tail
        record.owner = 0
        self._memberships.drop(session, record)
        values.forget_reader(session, record.name)

    def flush(self, session: Session) -> None:
        """Drop every message and every membership; counts and listeners stay."""
        session.clear(b"q")
        for key, _ in list(session.scan(b"c")):
            record = session.record(key.decode())
            record.head = record.tail
            record.first_change = record.next_change
            record.epoch = 0
            record.is_changed = True
        self._memberships.flush(session)


def load_rates(session: Session, record: Record) -> tuple[Meter, Meter]:
    """Return the meters of the messages sent to a channel, and of those that found it full."""
    data = session.txn.get(rates_key(record.name))
    sent, full = msgpack.unpackb(data) if data else ((), ())
    return Meter(record.tail, map(tuple, sent)), Meter(record.full, map(tuple, full))


def _save_rates(session: Session, record: Record, sent: Meter, full: Meter) -> None:
    session.txn.put(rates_key(record.name), msgpack.packb([sent.marks, full.marks]))


def _turn_of(record: Record) -> int:
    turn: int = record.turn
    return turn
