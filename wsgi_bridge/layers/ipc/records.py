"""Keys and values of the store: how a channel, a message, a membership is written down.

    c READER                       the record of a channel: counts, owner, listeners
    q READER 0 number              a message that waits; numbers go up by one
    k READER 0 number              a change of membership that the owner has not taken note of yet
    r READER                       marks of the rates of a channel
    m CHANNEL 0 GROUP              a membership: when it ends; data of the member
    g GROUP 0 READER               how many members a group has under a reader
    o PLACE READER                 a reader that the process at PLACE listens on, or owns
    p PLACE                        a process
    x READER                       how many messages to it could not be decoded
    z                              counts of channels whose records were swept; time of the sweep

What the storage keeps is in `values` (v, h), `schedule` (u, t), `logs` (l, e) and `wills` (w).
A zero byte ends a name, so that no name is taken for the start of another; names have none.
Numbers in keys are big-endian, for their order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import msgpack

__all__ = [
    "GROUP",
    "HEADER_SIZE",
    "MEMBERS",
    "PLAIN",
    "Entries",
    "Record",
    "change_key",
    "count_key",
    "deadline_of",
    "decode_entry",
    "encode_entry",
    "encode_message",
    "encode_messages",
    "has_work",
    "listing_key",
    "membership_key",
    "message_key",
    "pack_number",
    "place_key",
    "plain_rows",
    "rates_key",
    "record_key",
    "unpack_header",
]

#: What the text of a message's entry is: the rest of the name after the reader, the group, or the
#: names of members that are left (of a group message that was taken in part).
PLAIN, GROUP, MEMBERS = 0, 1, 2

_RECORD = struct.Struct("<9QdHB")
_CHANGES = struct.Struct("<2Q")
_CHANGES_AT = 56  # in a record
_ENTRY = struct.Struct("<dBI")
_NUMBER = struct.Struct(">Q")
_PLACE = struct.Struct(">H")
_pack_header = _ENTRY.pack
pack_number = _NUMBER.pack
#: Deadline, kind and length of the text at the start of a message that waits.
unpack_header = _ENTRY.unpack_from
HEADER_SIZE = _ENTRY.size

#: Channels and packed messages.
Entries = list[tuple[str, bytes]]


class Record:
    """What the store knows of a channel: of a reader, for a process-specific one.

    `head` and `tail` are the numbers of the first message and of the next one, so that their
    difference waits and `tail` were sent; `first_change` and `next_change` the same for changes of
    membership. `turn` is the transaction that last served it, `epoch` the one since which `owner`
    keeps its members, `sent_mark` when its rate is marked next.
    """

    __slots__ = (
        "epoch",
        "expired",
        "first_change",
        "full",
        "head",
        "is_changed",
        "listeners",
        "losing",
        "lost",
        "name",
        "next_change",
        "owner",
        "prefix",
        "sent_mark",
        "tail",
        "turn",
    )

    def __init__(self, name: str, data: bytes | None) -> None:
        self.name = name
        self.prefix = b"q" + name.encode() + b"\0"
        self.is_changed = False
        if data is None:
            self.head = self.tail = self.full = self.expired = self.lost = 0
            self.turn = self.epoch = self.first_change = self.next_change = 0
            self.sent_mark = 0.0
            self.owner = self.losing = 0
            self.listeners: tuple[int, ...] = ()
            return
        (
            self.head,
            self.tail,
            self.full,
            self.expired,
            self.lost,
            self.turn,
            self.epoch,
            self.first_change,
            self.next_change,
            self.sent_mark,
            self.owner,
            self.losing,
        ) = _RECORD.unpack_from(data)
        size = len(data) - _RECORD.size
        self.listeners = struct.unpack_from(f"<{size // 2}H", data, _RECORD.size) if size else ()

    @property
    def waiting(self) -> int:
        """How many messages wait, expired ones perhaps included."""
        count: int = self.tail - self.head
        return count

    def pack(self) -> bytes:
        """Return the value to store."""
        data = _RECORD.pack(
            self.head,
            self.tail,
            self.full,
            self.expired,
            self.lost,
            self.turn,
            self.epoch,
            self.first_change,
            self.next_change,
            self.sent_mark,
            self.owner,
            self.losing,
        )
        listeners = self.listeners
        return data + struct.pack(f"<{len(listeners)}H", *listeners) if listeners else data

    @property
    def is_owned(self) -> bool:
        """Whether it has one process that receives: it is a reader, or a single-reader channel."""
        return "!" in self.name or "?" in self.name

    @property
    def is_specific(self) -> bool:
        """Whether it is the reader of process-specific channels."""
        return self.name.endswith("!")


def has_work(data: bytes | None, changes: int) -> bool:
    """Whether a record, as stored, has messages, or that many changes of membership."""
    if data is None:
        return False
    if data[:8] != data[8:16]:  # head and tail
        return True
    first_change, next_change = _CHANGES.unpack_from(data, _CHANGES_AT)
    return bool(next_change - first_change >= changes)


def record_key(reader: str) -> bytes:
    """Return the key of a channel's record."""
    return b"c" + reader.encode()


def message_key(record: Record, number: int) -> bytes:
    """Return the key of a message."""
    return record.prefix + pack_number(number)


def change_key(reader: str, number: int) -> bytes:
    """Return the key of a change of membership."""
    return b"k" + reader.encode() + b"\0" + pack_number(number)


def rates_key(reader: str) -> bytes:
    """Return the key of the marks of a channel's rates."""
    return b"r" + reader.encode()


def membership_key(channel: str, group: str = "") -> bytes:
    """Return the key of a membership; without a group, the start of all those of a channel."""
    return b"m" + channel.encode() + b"\0" + group.encode()


def count_key(group: str, reader: str = "") -> bytes:
    """Return the key of a group's count of members; without a reader, the start of all its keys."""
    return b"g" + group.encode() + b"\0" + reader.encode()


def listing_key(place: int, reader: str = "") -> bytes:
    """Return the key of what a process listens on; without a reader, the start of all its keys."""
    return b"o" + _PLACE.pack(place) + reader.encode()


def place_key(place: int) -> bytes:
    """Return the key of a process."""
    return b"p" + _PLACE.pack(place)


def encode_message(message: dict[str, Any]) -> bytes:
    """Return a message that has been checked, packed."""
    packed: bytes = msgpack.packb(message)
    return packed


def encode_messages(messages: Iterable[tuple[str, dict[str, Any]]]) -> Entries:
    """Return messages that have been checked, packed."""
    pack = msgpack.Packer().pack
    return [(channel, pack(message)) for channel, message in messages]


def encode_entry(deadline: float, kind: int, text: str, packed: bytes) -> bytes:
    """Return the value of a message that waits. `text` is ASCII, as names are."""
    return _pack_header(deadline, kind, len(text)) + text.encode() + packed


def plain_rows(record: Record, deadline: float, entries: Entries) -> list[tuple[bytes, bytes]]:
    """Return keys and values of messages for one reader, at its tail."""
    prefix, rest = record.prefix, len(record.name)
    return [
        (
            prefix + pack_number(number),
            _pack_header(deadline, PLAIN, len(channel) - rest) + channel[rest:].encode() + packed,
        )
        for number, (channel, packed) in enumerate(entries, record.tail)
    ]


def decode_entry(data: bytes) -> tuple[float, int, str, memoryview]:
    """Return deadline, kind, text and packed message."""
    deadline, kind, size = unpack_header(data)
    end = HEADER_SIZE + size
    return deadline, kind, data[HEADER_SIZE:end].decode(), memoryview(data)[end:]


def deadline_of(data: bytes) -> float:
    """Return the deadline of a message that waits: long ago for what is none."""
    deadline: float = unpack_header(data)[0] if len(data) >= HEADER_SIZE else 0.0
    return deadline
