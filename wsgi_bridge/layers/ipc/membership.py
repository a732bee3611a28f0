"""Groups: rows of the store for whoever asks, and the copy that the owner of a reader keeps.

The rows say who is a member now. A group message, though, is one entry in the queue of each reader,
without its members, and is received later; so the process that owns a reader keeps its members
itself, and every change of them goes to it *through the reader's queue*: a change has the number of
the message that it comes before, and the owner makes it when it gets there. What is received is
therefore exactly what held at the moment of the send, at a cost that members have no part in.

A process that becomes the owner begins with the rows, and takes back the changes that lie behind
the message at hand.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from wsgi_bridge.layers.ipc.records import (
    Record,
    change_key,
    count_key,
    membership_key,
)
from wsgi_bridge.layers.ipc.session import Session
from wsgi_bridge.layers.membership import Groups
from wsgi_bridge.names import reader_of

__all__ = ["CHANGES_TO_TAKE", "Memberships"]

#: Changes that wait for the owner of a reader before it is woken to take note of them.
CHANGES_TO_TAKE = 64

#: Changes after which they are dropped, if no message waits: an owner then reads the rows again.
#: Bounds what is kept for a reader that nobody receives on.
CHANGES_TO_KEEP = 1024

_ADD, _DISCARD = 1, 0
_DEADLINE = struct.Struct("<d")
_COUNT = struct.Struct("<Id")
_CHANGE = struct.Struct("<QBdd")  # number of the message that it precedes, kind, deadline, earlier


class Memberships:
    """The groups of a store. `_owned` is the copy that this process keeps of what it owns."""

    def __init__(self) -> None:
        self._owned: dict[str, tuple[int, Groups]] = {}  # reader → epoch, its members

    # Changes. Each is a row, a count, and for a process-specific channel a change for its owner.

    def add(
        self, session: Session, group: str, channel: str, deadline: float, data: bytes = b""
    ) -> None:
        """Make `channel` a member until `deadline`, or renew its membership.

        Its packed data, if there are any, are in the same row: what ends the one ends the other.
        """
        key = membership_key(channel, group)
        found = session.txn.get(key)
        earlier = _DEADLINE.unpack_from(found)[0] if found else 0.0
        if found and not data and earlier > session.now:
            data = found[_DEADLINE.size :]
        session.txn.put(key, _DEADLINE.pack(deadline) + data)
        reader = reader_of(channel)
        if found is None:
            self._count(session, group, reader, 1, deadline)
        self._tell_owner(session, reader, (_ADD, deadline, earlier), group, channel)

    def discard(self, session: Session, group: str, channel: str) -> None:
        """End a membership, if there is one."""
        found = session.txn.pop(membership_key(channel, group))
        if found is None:
            return
        reader = reader_of(channel)
        self._count(session, group, reader, -1, float("inf"))
        earlier = _DEADLINE.unpack_from(found)[0]
        self._tell_owner(session, reader, (_DISCARD, 0.0, earlier), group, channel)

    def leave(self, session: Session, channel: str) -> None:
        """End every membership of `channel`."""
        for group in self.groups_of(session, channel):
            self.discard(session, group, channel)

    def drop(self, session: Session, record: Record) -> None:
        """Forget all members under a reader: the process that owned it is gone."""
        start = b"m" + record.name.encode() + (b"" if record.is_specific else b"\0")
        groups = {key.rpartition(b"\0")[2].decode() for key, _ in session.scan(start)}
        for group in groups:
            session.txn.delete(count_key(group, record.name))
        session.clear(start)
        self._drop_changes(session, record)

    def flush(self, session: Session) -> None:
        """Forget everything but what the records hold."""
        for prefix in (b"m", b"g", b"k"):
            session.clear(prefix)
        self._owned.clear()

    # Questions.

    def groups_of(self, session: Session, channel: str) -> list[str]:
        """Return the groups that `channel` is a member of."""
        return [key.decode() for key, _ in session.scan(membership_key(channel))]

    def data(self, session: Session, group: str, channel: str) -> bytes:
        """Return the packed data of a member; nothing if it has none, or is no member."""
        return (session.txn.get(membership_key(channel, group)) or b"")[_DEADLINE.size :]

    def readers(self, session: Session, group: str) -> list[tuple[str, int]]:
        """Return each reader with members in `group`, and how many; expired ones leave first."""
        counts = [
            (key.decode(), *_COUNT.unpack(data)) for key, data in session.scan(count_key(group))
        ]
        for reader, _, earliest in counts:
            if earliest <= session.now:
                self._expire(session, group, reader)
        return [
            (key.decode(), _COUNT.unpack(data)[0]) for key, data in session.scan(count_key(group))
        ]

    def counts(self, session: Session) -> Iterable[tuple[str, str, int, float]]:
        """Yield (group, reader, members, the deadline of one of them at the earliest) of all."""
        for key, data in session.scan(b"g"):
            group, _, reader = key.partition(b"\0")
            yield group.decode(), reader.decode(), *_COUNT.unpack(data)

    def rows(self, session: Session, reader: str) -> Iterable[tuple[str, str, float]]:
        """Yield (group, channel, deadline) of every membership under a reader."""
        start = reader.encode() + (b"" if reader.endswith("!") else b"\0")
        for key, data in session.scan(b"m" + start):
            channel, _, group = (start + key).partition(b"\0")
            yield group.decode(), channel.decode(), _DEADLINE.unpack_from(data)[0]

    def names_at(
        self, session: Session, record: Record, number: int, group: str
    ) -> tuple[str, ...]:
        """Return the members of `group` under a reader as of the message of that number.

        By whoever owns the reader, and in the order of its messages, this costs what has changed
        since the one before; for anybody else, all rows of the reader.
        """
        epoch, members = self._owned.get(record.name, (0, None))
        if members is None or not record.epoch or epoch != record.epoch:
            return self._read_back(session, record, number).names(group, record.name, session.now)
        self.take_note(session, record, number)
        return members.names(group, record.name, session.now)

    # The owner's copy.

    def own(self, session: Session, record: Record, number: int) -> None:
        """Keep a copy of the members of a reader in this process, from that message on."""
        epoch, _ = self._owned.get(record.name, (0, None))
        if record.epoch and epoch == record.epoch:
            return
        record.epoch = session.txn.id()
        record.is_changed = True
        self._owned[record.name] = (record.epoch, self._read_back(session, record, number))
        self._delete_changes(session, record, number)

    def take_note(self, session: Session, record: Record, number: int) -> None:
        """Make the changes that come before a message of a reader that this process owns."""
        if record.first_change == record.next_change:
            return
        members = self._owned[record.name][1]
        for (_, kind, deadline, _), group, channel in self._delete_changes(session, record, number):
            if kind == _ADD:
                members.add(group, channel, deadline)
            else:
                members.discard(group, channel)

    def disown(self) -> None:
        """Forget the copies: they may hold what a transaction that failed has done."""
        self._owned.clear()

    def _read_back(self, session: Session, record: Record, number: int) -> Groups:
        """Return the members as of a message: the rows, less the changes that lie behind it."""
        members = Groups(0.0)  # so that a membership ends at the time that is given for its start
        for group, channel, deadline in self.rows(session, record.name):
            members.add(group, channel, deadline)
        changes = list(session.scan(change_key(record.name, 0)[:-8]))
        for _, data in reversed(changes):
            (before, _, _, earlier), group, channel = _decode_change(data)
            if before <= number:
                break
            if earlier:
                members.add(group, channel, earlier)
            else:
                members.discard(group, channel)
        return members

    # Parts of a change.

    def _count(self, session: Session, group: str, reader: str, by: int, deadline: float) -> None:
        key = count_key(group, reader)
        found = session.txn.get(key)
        count, earliest = _COUNT.unpack(found) if found else (0, float("inf"))
        if count + by <= 0:
            session.txn.delete(key)
        else:
            session.txn.put(key, _COUNT.pack(count + by, min(earliest, deadline)))

    def _expire(self, session: Session, group: str, reader: str) -> None:
        """End the memberships whose time has passed; find the next deadline."""
        rows = [row for row in self.rows(session, reader) if row[0] == group]
        for _, channel, deadline in rows:
            if deadline <= session.now:
                self.discard(session, group, channel)
        left = [deadline for _, _, deadline in rows if deadline > session.now]
        if left:
            session.txn.put(count_key(group, reader), _COUNT.pack(len(left), min(left)))

    def _tell_owner(
        self,
        session: Session,
        reader: str,
        change: tuple[int, float, float],
        group: str,
        channel: str,
    ) -> None:
        if not reader.endswith("!"):
            return  # who a message to it is for needs no members
        record = session.record(reader)
        changes = record.next_change - record.first_change
        if record.head == record.tail and changes >= CHANGES_TO_KEEP:
            self._drop_changes(session, record)
            return
        data = _CHANGE.pack(record.tail, *change) + f"{group}\0{channel}".encode()
        session.txn.put(change_key(reader, record.next_change), data)
        record.next_change += 1
        record.is_changed = True
        if (changes + 1) % CHANGES_TO_TAKE == 0:
            session.ring(record)

    def _drop_changes(self, session: Session, record: Record) -> None:
        session.clear(change_key(record.name, 0)[:-8])
        record.first_change = record.next_change
        record.epoch = 0
        record.is_changed = True

    def _delete_changes(
        self, session: Session, record: Record, number: int
    ) -> list[tuple[tuple[int, int, float, float], str, str]]:
        """Delete and return the changes that come before a message."""
        deleted = []
        while record.first_change < record.next_change:
            key = change_key(record.name, record.first_change)
            change = _decode_change(session.txn.get(key) or b"")
            if change[0][0] > number:
                break
            session.txn.delete(key)
            record.first_change += 1
            record.is_changed = True
            deleted.append(change)
        return deleted


def _decode_change(data: bytes) -> tuple[tuple[int, int, float, float], str, str]:
    group, _, channel = data[_CHANGE.size :].decode().partition("\0")
    return _CHANGE.unpack_from(data), group, channel
