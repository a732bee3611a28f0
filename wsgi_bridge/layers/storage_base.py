"""The contract of a layer's storage: the extension "storage" of a channel layer.

State that must not die with the process that made it, for those who build on the layers: sessions
of sockets, delayed messages, presence, history, and the last will of a server. A layer that has the
extension is asked for it by `layer.storage`. MESSAGES.md section 1 is the source of what follows;
`layers.conformance` checks it.

- *Values*: `load` and `save` a dict under a key, for a time, and as long as a channel lives.
- *Scheduled messages*: `schedule` one for later; whoever calls `release_due` puts what is due on
  its channel.
- *Logs*: `append` to and `read` the last messages of a name; `send_group` appends and delivers.
- *Presence*: `group_add` with data of the member, `group_members` with the data of all.
- *Wills*: `set_will` says what others send when the process that reads a channel dies.

Each operation is atomic, whatever happens to the process that calls it. None of them blocks but for
the backend; where nobody may wait (the hub of gevent, on a layer with a network) only `save` and
the wills may be called: they are done soon after. Times are seconds of the layer's clock. Values
and messages are copied and checked as in `send`: what a caller has in hand is its own.

A storage is written by implementing the abstract methods with an underscore, which are given what
has been checked and copied. docs/topics/storage.md says what survives what.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.copying import copy_message
from wsgi_bridge.names import check_channel, check_group, check_key

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = [
    "RELEASED",
    "RETRY_DELAY",
    "Plan",
    "Position",
    "Recovered",
    "Released",
    "Scheduled",
    "Storage",
    "Stored",
    "Will",
    "new_epoch",
    "next_due",
]

#: Seconds after which a scheduled message is tried again whose channel was full: long enough for
#: its receivers to have taken some, short enough not to be late where that matters.
RETRY_DELAY = 0.5

#: Scheduled messages that one `release_due` puts at most, unless told: a transaction of a
#: millisecond or two.
RELEASED = 100

#: Digits that no offset has: numbers of that size are no offsets, and not all backends take them.
MAX_DIGITS = 16

#: What a will puts: (channel, message) each.
Will = Sequence[tuple[str, dict[str, Any]]]


class Stored(NamedTuple):
    """A value, None if there is none, and its version, 0 if there is none."""

    value: dict[str, Any] | None
    version: int


class Released(NamedTuple):
    """How many scheduled messages were put on their channels; when the next is due, if any."""

    number: int
    next_due: float | None


class Scheduled(NamedTuple):
    """How many messages are scheduled; when the next is due, if any."""

    number: int
    next_due: float | None


class Plan(NamedTuple):
    """A scheduled message: for which channel, under which key, when; its period, 0 if it has none.

    The key is None where the backend has it as a hash only.
    """

    channel: str
    key: str | None
    due: float
    every: float


class Position(NamedTuple):
    """A place in a log: that of message number `offset` of an `epoch`; 0 is before the first."""

    epoch: str
    offset: int

    def __str__(self) -> str:
        """Return the text that stands for it outside: in a URL, a page, an event stream's id."""
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return the place that a text stands for; one that is nowhere if it is none.

        It may have come from anybody: whatever it is, nothing is raised.
        """
        epoch, _, offset = text.rpartition(":")
        if not (epoch and offset.isascii() and offset.isdigit() and len(offset) < MAX_DIGITS):
            return cls("", 0)
        return cls(epoch, int(offset))


class Recovered(NamedTuple):
    """Where a log ends, and the messages that were asked for; None if not all of them are there."""

    epoch: str
    offset: int
    messages: list[dict[str, Any]] | None


class Storage(ABC):
    """What a layer keeps beside messages and memberships; see the module's docstring.

    Every method raises ChannelLayerUnavailable, InvalidName for a key, channel or group that is
    none, InvalidMessage and MessageTooLarge for a value that the contract does not carry.
    """

    #: Whether other processes share it, and it survives this one.
    is_shared: bool = True

    def __init__(self, layer: BaseLayer) -> None:
        self._layer = layer

    # Values.

    def load(self, key: str) -> Stored:
        """Return the value under `key` and its version; (None, 0) if there is none."""
        check_key(key)
        return self._load(key)

    @abstractmethod
    def _load(self, key: str) -> Stored: ...

    def save(
        self,
        key: str,
        value: dict[str, Any] | None,
        *,
        ttl: float,
        owner: str = "",
        expected_version: int | None = None,
    ) -> bool:
        """Keep a copy of `value` under `key` for `ttl` seconds; with None, keep it no more.

        With `owner`, the full name of a channel, it goes earlier: `expiry` seconds after the
        channel was forgotten (`forget_channel`), let a message expire, or lost the process that
        reads it. A message about that channel which was sent before then still finds it. What is
        saved later, and under another owner, is a new value, which knows nothing of this.

        With `expected_version`, do nothing and return False if the value has another version by
        now; 0 stands for no value. Versions grow and are never used again. Otherwise True.
        """
        check_key(key)
        if owner:
            check_channel(owner)
        deadline = self._layer.clock() + _positive("ttl", ttl)
        copied = None if value is None else self._copy(value)
        return self._save(key, copied, deadline, owner, expected_version)

    @abstractmethod
    def _save(
        self,
        key: str,
        value: dict[str, Any] | None,
        deadline: float,
        owner: str,
        expected_version: int | None,
    ) -> bool: ...

    # Scheduled messages.

    def schedule(
        self,
        channel: str,
        message: dict[str, Any],
        due: float,
        *,
        key: str | None = None,
        every: float = 0.0,
        keep_time: bool = False,
    ) -> str:
        """Have a copy of `message` put on `channel` at the time `due`, by `release_due`.

        It replaces an earlier one for this channel under the same `key`. Returned is the key, a
        random one unless given. With `every`, in seconds, it is put again
        each time that many seconds after `due`; where periods were missed, once for all of them.
        With `keep_time`, one that it replaces and that has the same `every` leaves it its time: who
        schedules what is scheduled already, when a process starts say, does not put it off.
        Stays until it is put or cancelled: what is scheduled does not expire.
        """
        check_channel(channel)
        if key is None:
            key = secrets.token_urlsafe(12)
        check_key(key)
        if every:
            _positive("every", every)
        self._schedule(channel, key, self._copy(message), float(due), float(every), keep_time)
        return key

    @abstractmethod
    def _schedule(
        self,
        channel: str,
        key: str,
        message: dict[str, Any],
        due: float,
        every: float,
        keep_time: bool,
    ) -> None: ...

    def cancel(self, channel: str, key: str) -> bool:
        """Forget what was scheduled for `channel` under `key`; whether there was anything."""
        check_channel(channel)
        check_key(key)
        return self._cancel(channel, key)

    @abstractmethod
    def _cancel(self, channel: str, key: str) -> bool: ...

    @abstractmethod
    def release_due(self, limit: int = RELEASED) -> Released:
        """Put up to `limit` messages that are due on their channels, the earliest first.

        Each is put exactly once, whoever calls and wherever callers are killed: that it is put and
        that it is no longer scheduled is one step. One whose channel is full stays, and is due
        again RETRY_DELAY seconds later. `next_due` is in the past if there are more.
        """

    @abstractmethod
    def scheduled(self) -> Scheduled:
        """Return how many messages are scheduled, and when the next is due."""

    @abstractmethod
    def plans(self, limit: int = 1000) -> list[Plan]:
        """Return what is scheduled, up to `limit` messages, the earliest first."""

    # Logs.

    def append(self, log: str, message: dict[str, Any], *, keep: int, ttl: float) -> Position:
        """Append a copy of `message` to a log, and return its place.

        The log keeps the last `keep` messages, each for `ttl` seconds. Its epoch and the count of
        its messages are remembered for the layer's `group_expiry` after the last append or read.
        """
        check_key(log)
        _positive("keep", keep)
        return self._append(log, self._copy(message), keep, _positive("ttl", ttl))

    @abstractmethod
    def _append(self, log: str, message: dict[str, Any], keep: int, ttl: float) -> Position: ...

    def read(self, log: str, epoch: str = "", offset: int = 0, *, limit: int = 1000) -> Recovered:
        """Return the messages of a log after a place, and the place where it ends now.

        All of them or None: if the epoch is another one, because the layer lost the log or forgot
        it, if some are gone, if they are more than `limit`, or if no epoch is given. The n-th one
        has the offset `offset + n`. A log that nobody has appended to has a place too, from which
        the first message can be recovered.
        """
        check_key(log)
        return self._read(log, epoch, offset, limit)

    @abstractmethod
    def _read(self, log: str, epoch: str, offset: int, limit: int) -> Recovered: ...

    def send_group(self, group: str, message: dict[str, Any], *, keep: int, ttl: float) -> Position:
        """Do as the layer's `send_group`, and append the message to the log of that name.

        Each member gets it with the keys `epoch` and `offset` added, its place in the log, and gets
        all messages in the order of the log, whoever sends. What the log holds, and `read` returns,
        is the message without them. A member that is full loses it, as ever; the log has it.
        """
        check_group(group)
        _positive("keep", keep)
        return self._send_group(group, self._copy(message), keep, _positive("ttl", ttl))

    @abstractmethod
    def _send_group(
        self, group: str, message: dict[str, Any], keep: int, ttl: float
    ) -> Position: ...

    # Presence.

    def group_add(self, group: str, channel: str, data: dict[str, Any]) -> None:
        """Do as the layer's `group_add`, with data of the member, which replace earlier ones.

        The data go with the membership, however it ends. The layer's `group_add` renews the
        membership of a member and leaves its data alone.
        """
        check_group(group)
        check_channel(channel)
        self._group_add(group, channel, self._copy(data))

    @abstractmethod
    def _group_add(self, group: str, channel: str, data: dict[str, Any]) -> None: ...

    def group_members(self, group: str) -> dict[str, dict[str, Any] | None]:
        """Return the members of `group` with their data, None for one that was added without."""
        check_group(group)
        return self._group_members(group)

    @abstractmethod
    def _group_members(self, group: str) -> dict[str, dict[str, Any] | None]: ...

    # Wills.

    def set_will(self, channel: str, messages: Will) -> None:
        """Have others put copies of `messages` when the process that reads `channel` dies.

        Instead of an earlier will of that channel. It is done once, within two seconds, whether
        the process was killed, lost the backend for good, or closed the layer; whoever notices does
        it. They are put whether or not their channels are full. `forget_channel(channel)` and
        `clear_will` revoke it: what ends well has to be said by the process itself. Only for
        channels that a process owns: process-specific and single-reader ones.
        """
        check_channel(channel)
        copied = []
        for target, message in messages:
            check_channel(target)
            copied.append((target, self._copy(message)))
        self._set_will(channel, copied)

    @abstractmethod
    def _set_will(self, channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None: ...

    def clear_will(self, channel: str) -> None:
        """Revoke the will of `channel`, if there is one."""
        check_channel(channel)
        self._clear_will(channel)

    @abstractmethod
    def _clear_will(self, channel: str) -> None: ...

    def _copy(self, message: dict[str, Any]) -> dict[str, Any]:
        return copy_message(message, self._layer.max_message_size)


def next_due(first: float, every: float, now: float) -> float:
    """Return when a message is due again that was first due at `first` and is put now.

    That is after `now`, and counted from the first time, so that delays never add up.
    """
    periods = (now - first) // every + 1
    due = first + periods * every
    return due if due > now else due + every  # the division may have been rounded


def new_epoch() -> str:
    """Return the name of a new epoch of a log."""
    return secrets.token_urlsafe(9)


def _positive(name: str, number: float) -> float:
    if number <= 0:
        raise ValueError(f"{name} is {number!r}: expected more than 0")
    return number
