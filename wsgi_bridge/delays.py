"""Messages for later: when one is due, and how it gets on the layer's timetable.

`send_later` is what `Channel.send_later` and `Group.send_later` do, `read_delay` is what the
message `asgi.delay` means (MESSAGES.md section 4). Both end in a `Later`, which `schedule` puts on
`layer.storage`. What is there is put on its channel by a `wsgi_bridge.releaser` of any process.

A layer's timetable knows channels only. So a message to a group is scheduled for the channel DUE,
which every releaser receives, with the group's name in it. A message without one is a ring: those
who sleep until they look again shall look now.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import ChannelLayerError, InvalidMessage
from wsgi_bridge.names import check_channel, check_key
from wsgi_bridge.outbox import current_outbox, layer_in_use

if TYPE_CHECKING:
    from wsgi_bridge.history import History
    from wsgi_bridge.layers.base import BaseLayer

__all__ = [
    "DELAY",
    "DUE",
    "LOOK_EVERY",
    "Later",
    "Periodic",
    "When",
    "cancel",
    "read_delay",
    "send_later",
]

logger = logging.getLogger(__name__)

#: Where anybody may send a message for later, as in Django Channels.
DELAY = "asgi.delay"
#: What the releasers of all processes receive: rings, and messages to groups that are due.
DUE = "wsgi-bridge.due"
#: Seconds between two looks of a releaser at a timetable that others share: what it was not rung
#: for, since the process that was has been killed, is late by so much at most.
LOOK_EVERY = 1.0
#: Seconds before a message is due within which releasers are rung for it. What is later than that
#: they find by themselves; twice the time between two looks leaves room for clocks that differ.
RING_WITHIN = 2 * LOOK_EVERY


class When(NamedTuple):
    """When a message is due, and how many seconds after that again, 0 for never.

    With `keeps_time`, one that is scheduled already under the same id, with the same period, keeps
    its time.
    """

    due: float
    every: float = 0.0
    keeps_time: bool = False

    @classmethod
    def read(
        cls,
        clock: Callable[[], float],
        delay: float | None,
        at: float | datetime | None,
        every: float | None,
    ) -> When:
        """Return what `delay`, `at` and `every` say; see `Channel.send_later`.

        Raise ValueError or TypeError.
        """
        if delay is not None and at is not None:
            raise ValueError(f"delay={delay!r} and at={at!r}: expected one of them at most")
        period = 0.0 if every is None else _number("every", every)
        if every is not None and period <= 0:
            raise ValueError(f"every is {every!r}: expected seconds above 0")
        if at is not None:
            return cls(_timestamp(at), period)
        if delay is not None:
            seconds = _number("delay", delay)
            if seconds < 0:
                raise ValueError(f"delay is {delay!r}: expected seconds, 0 or more")
            return cls(clock() + seconds, period)
        if every is None:
            raise TypeError("expected delay=, at= or every=: when is it to be sent?")
        return cls(clock() + period, period, keeps_time=True)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r}: expected a number of seconds")
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}: expected a finite number of seconds")
    return float(value)


def _timestamp(at: object) -> float:
    if not isinstance(at, datetime):
        seconds = _number("at", at)
        if seconds < 0:
            raise ValueError(f"at is {at!r}: expected seconds since the epoch, 0 or more")
        return seconds
    if at.tzinfo is None or at.utcoffset() is None:
        raise ValueError(
            f"at is {at!r}, which has no time zone: expected an aware datetime, such as "
            "datetime(..., tzinfo=timezone.utc) or naive.astimezone() for this machine's zone"
        )
    return at.timestamp()


@dataclass(frozen=True, slots=True)
class Periodic:
    """A message that is sent to a channel every so many seconds; see `Bridge.send_every`."""

    every: float
    channel: str
    content: dict[str, Any]
    id: str

    @classmethod
    def make(cls, every: float, channel: str, content: dict[str, Any], key: str) -> Periodic:
        """Check what can be checked without a layer. Raise ValueError, TypeError, InvalidName."""
        When.read(float, None, None, every)
        check_channel(channel)
        check_key(key)
        return cls(every, channel, copy_message(content, sys.maxsize), key)

    def schedule(self, layer: BaseLayer) -> None:
        """Put it on the layer's timetable; if it is there, leave it its time."""
        when = When.read(layer.clock, None, None, self.every)
        Later.to_channel(layer, self.channel, self.content, when, self.id).schedule()


@dataclass(frozen=True, slots=True)
class Later:
    """A message for later, checked and copied, and not yet on the timetable.

    `name` is what was sent to, for logs; `channel` is where it is put, under `key`.
    """

    layer: BaseLayer
    name: str
    channel: str
    message: dict[str, Any]
    key: str
    when: When

    @classmethod
    def to_channel(
        cls,
        layer: BaseLayer,
        channel: str,
        content: Any,
        when: When,
        key: str | None,
    ) -> Later:
        """Check and copy a message to a channel. Raise InvalidName, InvalidMessage and so on."""
        check_channel(channel)
        copied = copy_message(content, layer.max_message_size)
        return cls(layer, channel, channel, copied, _key(key), when)

    @classmethod
    def to_group(
        cls,
        layer: BaseLayer,
        group: str,
        content: Any,
        when: When,
        key: str | None,
        history: History | None = None,
    ) -> Later:
        """Check and copy a message to a group, whose name was checked. Raise as `to_channel`."""
        copied = copy_message(content, layer.max_message_size)
        message: dict[str, Any] = {"group": group, "content": copied}
        if history is not None:
            history.check(content)
            message.update(history=history.keep, ttl=history.ttl)
        later = cls(layer, group, DUE, message, _key(key), when)
        check_key(later.full_key)
        return later

    @property
    def full_key(self) -> str:
        """The key on the timetable: ids of two groups are apart, as those of two channels are."""
        return _full_key(self.channel, self.name, self.key)

    def schedule(self) -> None:
        """Put it on the timetable. Raise ChannelLayerError, NotImplementedError."""
        due, every, keeps_time = self.when
        self.layer.storage.schedule(
            self.channel, self.message, due, key=self.full_key, every=every, keep_time=keeps_time
        )
        if due < self.layer.clock() + RING_WITHIN:
            # Nobody is rung that cannot be: who looks finds it too.
            with contextlib.suppress(ChannelLayerError):
                self.layer.send(DUE, {})


def _key(key: str | None) -> str:
    if key is None:
        return secrets.token_urlsafe(12)
    check_key(key)
    return key


def _full_key(channel: str, name: str, key: str) -> str:
    return f"{name}:{key}" if channel == DUE else key


def send_later(make: Callable[[BaseLayer], Later], layer: BaseLayer | None, now: bool) -> str:
    """Have what `make(layer)` returns scheduled; return its id.

    When the consumer ends, or at once if none runs or with `now`: as all that is sent. Raises
    NotImplementedError at once if the layer keeps no timetable.
    """
    outbox = current_outbox.get()
    later = make(layer or layer_in_use())
    later.layer.storage  # noqa: B018 (raises on the caller's line, not when the consumer ends)
    if outbox is None:
        later.schedule()
    else:
        outbox.post_later(later, now)
    return later.key


def cancel(layer: BaseLayer | None, channel: str, name: str, key: str) -> bool:
    """Take back what was scheduled under an id, at once; whether there was anything."""
    outbox = current_outbox.get()
    full = _full_key(channel, name, key)
    was_waiting = outbox is not None and outbox.withdraw_later(channel, full)
    return (layer or layer_in_use()).storage.cancel(channel, full) or was_waiting


# asgi.delay


def read_delay(layer: BaseLayer, message: Mapping[str, Any]) -> Callable[[], object]:
    """Return what does as a message on `asgi.delay` says.

    Raise InvalidMessage, InvalidName or MessageTooLarge, with what was expected.
    """
    channel, key = message.get("channel"), message.get("id")
    check_channel(channel)  # type: ignore[arg-type]  # it says what it expects, of any type
    assert isinstance(channel, str)
    if key is not None:
        check_key(key)
    if message.get("cancel"):
        if key is None:
            raise InvalidMessage("cancel without id: expected the id of what is to be cancelled")
        return lambda: layer.storage.cancel(channel, key)
    content = message.get("content")
    if not isinstance(content, dict):
        raise InvalidMessage(f"content is {type(content).__name__}: expected a dict, the message")
    try:
        delay, every = _seconds("delay", message), _seconds("every", message)
        when = When.read(layer.clock, delay, message.get("at"), every)
    except (TypeError, ValueError) as exc:
        raise InvalidMessage(str(exc)) from exc
    return Later.to_channel(layer, channel, content, when, key).schedule


def _seconds(key: str, message: Mapping[str, Any]) -> float | None:
    value_ms = message.get(key)
    if value_ms is None:
        return None
    is_number = isinstance(value_ms, (int, float)) and not isinstance(value_ms, bool)
    if not is_number or value_ms < 0:
        raise ValueError(f"{key} is {value_ms!r}: expected a number of ms, 0 or more")
    return float(value_ms) / 1000
