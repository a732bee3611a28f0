"""The contract of a channel layer, and what every layer shares of its implementation.

A channel is a named first-in-first-out queue; a message is a dict. Delivery is at most once: a
message is given to one receiver or dropped, never given twice. MESSAGES.md section 1 is the source
of all that follows; `layers.conformance` checks it.

- A normal channel (`http.request`) has many senders and receivers. A single-reader channel
  (`http.request.body?Kx3`) is made by `new_channel`. A process-specific one
  (`gunicorn.response.P9!c8`) is received on the part up to and including `!`, its *reader*, with
  its full name; capacity counts on the reader.
- `send` never blocks on the receiver. The message is copied and checked at that moment, so that
  the sender may change its dict afterwards.
- A message that is not received in `expiry` seconds is never delivered and counts towards no
  capacity, and the channel that it was sent to leaves its groups.
- A busy channel never starves a quiet one in the same receive.
- A full member of a group loses a group message; the loss is counted.

A layer is written by implementing the abstract methods; none of them may block but for its own
backend. Waiting is written once, here, on top of `listen`: take, listen, take again, wait to be
woken. Nothing polls. This module does not import gevent: what waits does so on a lock made by
`threading` at that moment, which is a greenlet's wait where gevent has patched threading.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import re
import secrets
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import SplitResult

from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import ChannelLayerError, ChannelLayerUnavailable, InvalidName
from wsgi_bridge.layers.closing import Closing
from wsgi_bridge.layers.interruption import Interruption, interruption
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics
from wsgi_bridge.names import SUFFIX_LENGTH, check_channel, check_pattern

if TYPE_CHECKING:
    from wsgi_bridge.layers.storage_base import Storage

__all__ = [
    "DEFAULT_CAPACITY",
    "DEFAULT_EXPIRY",
    "DEFAULT_GROUP_EXPIRY",
    "DEFAULT_MAX_MESSAGE_SIZE",
    "BaseLayer",
    "Batch",
    "Listener",
    "Watch",
]

#: Seconds until a message that nobody received is dropped; the draft's default.
DEFAULT_EXPIRY = 60.0

#: Seconds until a membership that nobody renewed ends; the draft's default, a day.
DEFAULT_GROUP_EXPIRY = 86400.0

#: Messages that a channel holds at most; the draft's default.
DEFAULT_CAPACITY = 100

#: Bytes of one message, packed. The draft asks for 1 MB at least; whole frames of uploads by
#: WebSocket should pass, and a full channel of the largest messages still fit into memory.
DEFAULT_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

#: What a receiver gets: (channel, message), or (members, message) for a compact group message.
Batch = list[tuple[str | tuple[str, ...], dict[str, Any]]]

ChannelCapacity = Mapping[str | re.Pattern[str], int]
_Result = TypeVar("_Result")

#: Called with a descriptor and a function, to have the function called when there is something to
#: read, in a loop that runs from then on; returns a function that ends it.
Watch = Callable[[int, Callable[[], object]], Callable[[], object]]


class Listener(Closing):
    """A registration made by `BaseLayer.listen`; a context manager that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """End the registration; idempotent. A call of `wake` that has begun may still arrive."""


def parse_channel_capacity(text: str) -> dict[str | re.Pattern[str], int]:
    """Read `GLOB:N,GLOB:N`, the form of `channel_capacity` in a URL; raises ValueError."""
    pairs = (item.rpartition(":") for item in text.split(","))
    return {glob: int(number) for glob, _, number in pairs}


class BaseLayer(ABC):
    """A channel layer; see the module's docstring for what each one promises.

    All options are keyword-only: `expiry` and `group_expiry` in seconds, `capacity` in messages for
    each channel, `channel_capacity` a mapping of glob (or compiled regular expression, matched from
    the start) to messages of which the first match wins, `max_message_size` in bytes, `clock` a
    function that returns seconds since the epoch.
    """

    #: What this layer has beyond sending and receiving. A layer that implements what is under
    #: "Introspection" below adds that word, one that has a storage "storage".
    extensions: tuple[str, ...] = ("groups", "flush", "statistics", "asyncio")

    #: Whether several messages in one operation cost less than each in its own: then a worker has
    #: the last words of short messages wait for each other.
    gathers: ClassVar[bool] = False

    #: Options that may stand in the query string of the URL, and how each is read.
    url_options: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "expiry": float,
        "group_expiry": float,
        "capacity": int,
        "channel_capacity": parse_channel_capacity,
        "max_message_size": int,
    }

    def __init__(
        self,
        *,
        expiry: float = DEFAULT_EXPIRY,
        group_expiry: float = DEFAULT_GROUP_EXPIRY,
        capacity: int = DEFAULT_CAPACITY,
        channel_capacity: ChannelCapacity | None = None,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.expiry = expiry
        self.group_expiry = group_expiry
        self.capacity = capacity
        self.channel_capacity = dict(channel_capacity or {})
        self.max_message_size = max_message_size
        self.clock = clock
        self._capacities = [
            (re.compile(fnmatch.translate(key)) if isinstance(key, str) else key, number)
            for key, number in self.channel_capacity.items()
        ]

    @classmethod
    @abstractmethod
    def from_url(cls, url: SplitResult, **options: Any) -> BaseLayer:
        """Return the layer that `url` names; `options` are those of the constructor."""

    # What a layer implements.

    @abstractmethod
    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on `channel`.

        Does not block on the receiver. Raises InvalidName, InvalidMessage, MessageTooLarge,
        ChannelFull, ChannelLayerUnavailable.
        """

    def hand_over(self, channel: str, message: dict[str, Any]) -> None:
        """Do as `send`, for a sender that gives `message` away.

        The sender promises that it made the message itself, of plain types and within the limits,
        and that it never touches it, or anything in it, again: a layer may then do without the copy
        and the check. For protocol servers and the bridge. Raises ChannelFull,
        ChannelLayerUnavailable.
        """
        self.send(channel, message)

    def hand_over_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[ChannelLayerError | None]:
        """Do as `send_many`, for a sender that gives the messages away; see `hand_over`.

        A layer with a backend puts them in one operation.
        """
        return [self._refusal(channel, message) for channel, message in messages]

    def exchange(
        self,
        messages: Sequence[tuple[str, dict[str, Any]]],
        channels: Sequence[str],
        limit: int,
        *,
        compact: bool = False,
    ) -> tuple[Sequence[ChannelLayerError | None], Batch]:
        """Do as `hand_over_many`, and then take up to `limit` messages of `channels`.

        For who has answered some messages and wants the next. `compact` is that of `receive_many`.
        Does not wait. Where none can be received the batch is empty: the next receive says why.
        """
        refused = self.hand_over_many(messages)
        try:
            return refused, self._take(channels, limit, compact)
        except ChannelLayerUnavailable:
            return refused, []

    def _refusal(self, channel: str, message: dict[str, Any]) -> ChannelLayerError | None:
        """Hand one message over; return what that raises."""
        try:
            self.hand_over(channel, message)
        except ChannelLayerError as exc:
            return exc
        return None

    @abstractmethod
    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        """Remove and return up to `limit` messages without waiting; see `receive_many`."""

    @abstractmethod
    def listen(self, channels: Sequence[str], wake: Callable[[], object]) -> Listener:
        """Have `wake()` called whenever a message is put on one of `channels`.

        `wake` is called by any thread, maybe inside the sender's call: it must be cheap, must not
        block and must not raise. It may be called for nothing, but is never missed: who takes after
        `listen`, and again after each wake, until the batch is empty, has seen every message.
        Messages that already wait make no call. Raises InvalidName, ChannelLayerUnavailable.
        """

    @abstractmethod
    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member of `group` for `group_expiry` seconds, or renew that."""

    @abstractmethod
    def group_discard(self, group: str, channel: str) -> None:
        """End the membership of `channel` in `group`, if there is one."""

    @abstractmethod
    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`: the process that reads it says that it is gone."""

    @abstractmethod
    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`, in no order."""

    @abstractmethod
    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`.

        One queue operation for each reader. Does not block, and never raises ChannelFull: a full
        member loses the message, which is counted. Raises as `send` does otherwise.
        """

    @abstractmethod
    def flush(self) -> None:
        """Drop every message and every membership."""

    @abstractmethod
    def global_statistics(self) -> Statistics:
        """Return what was counted for all channels since the layer opened."""

    @abstractmethod
    def channel_statistics(self, channel: str) -> Statistics:
        """Return what was counted for `channel`: for its reader, if it is process-specific."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the backend; idempotent.

        Who waits in a receive is woken; this and every later operation of theirs raises
        ChannelLayerUnavailable.
        """

    @property
    def storage(self) -> Storage:
        """What this layer keeps beside messages, if "storage" is among its extensions.

        Raises NotImplementedError if not.
        """
        raise NotImplementedError(f"{type(self).__name__} keeps no state: no extension 'storage'")

    # Introspection, which a layer may do without: for those who look at it from outside. None of it
    # takes a message, or makes the caller a reader or owner of anything.

    def statistics_by_channel(self) -> dict[str, Statistics]:
        """Return the figures of every channel with messages or a count, by its reader.

        Names that the backend has as hashes only are told as these. Raises NotImplementedError
        without the extension `introspection`, ChannelLayerUnavailable.
        """
        raise self._no_introspection()

    def statistics_by_group(self) -> dict[str, GroupStatistics]:
        """Return how many members, and readers that receive for them, each group has.

        Groups without a member are not among them. Raises as `statistics_by_channel`.
        """
        raise self._no_introspection()

    def describe(self) -> dict[str, Any]:
        """Return facts on the layer and its backend, to be shown or turned into JSON.

        `layer` is always among them. No password or key is. Raises ChannelLayerUnavailable.
        """
        return {"layer": type(self).__name__}

    def _no_introspection(self) -> NotImplementedError:
        return NotImplementedError(
            f"{type(self).__name__} cannot tell what is in it: it has no extension 'introspection'"
        )

    # What follows from it.

    def send_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[ChannelLayerError | None]:
        """Put copies of several messages on their channels, in this order, at the cost of one.

        Returns for each None, or what `send` would have raised (ChannelFull,
        ChannelLayerUnavailable): one that fails does not stop the next. Raises InvalidName,
        InvalidMessage, MessageTooLarge before anything is sent. Does not block on receivers.
        """
        checked = []
        for channel, message in messages:
            check_channel(channel)
            checked.append((channel, copy_message(message, self.max_message_size)))
        return self.hand_over_many(checked)

    def new_channel(self, pattern: str) -> str:
        """Return an unused single-reader name: `pattern`, which ends in `?`, and a random suffix.

        Raises InvalidName. The suffix cannot be guessed.
        """
        check_pattern(pattern)
        return pattern + secrets.token_urlsafe(SUFFIX_LENGTH * 6 // 8)

    def capacity_of(self, channel: str) -> int:
        """Return how many messages `channel` holds; pass the reader of a process-specific one."""
        for pattern, number in self._capacities:
            if pattern.match(channel):
                return number
        return self.capacity

    def receive(
        self, channels: Sequence[str], block: bool = False, timeout: float | None = None
    ) -> tuple[str, dict[str, Any]] | tuple[None, None]:
        """Return the next (channel, message) of any of `channels`, or (None, None).

        With `block`, wait up to `timeout` seconds for it, or for ever. Raises as `receive_many`.
        """
        for channel, message in self.receive_many(channels, 1, timeout if block else 0.0):
            return str(channel), message
        return None, None

    def receive_many(
        self,
        channels: Sequence[str],
        limit: int = 1,
        timeout: float | None = 0.0,
        *,
        compact: bool = False,
    ) -> Batch:
        """Return up to `limit` messages of `channels`, the oldest of each channel first.

        Waits up to `timeout` seconds for the first message, for ever if None; returns an empty list
        when there was none. With `compact`, a group message to a process-specific reader comes once
        as (tuple of member names, message), and else once a member. The messages are the
        receiver's own. Raises InvalidName, ChannelLayerUnavailable. Source: MESSAGES.md section 1.
        """
        if isinstance(channels, str):
            raise InvalidName(f"{channels!r} is one name: expected a list of channel names")
        batch = self._take(channels, limit, compact)
        if batch or timeout == 0.0:
            return batch
        return self._wait_and_take(channels, limit, timeout, compact)

    def _wait_and_take(
        self, channels: Sequence[str], limit: int, timeout: float | None, compact: bool
    ) -> Batch:
        # Real time, not `clock`: nothing could wait for the time of a test.
        end = None if timeout is None else time.monotonic() + timeout
        waiter = _Waiter()
        watched = self._interruption(channels)
        heard = channels if watched is None else [*channels, watched.channel]
        with self.listen(heard, waiter.wake):
            while not (batch := self._take(channels, limit, compact)):
                if watched is not None:
                    watched.check()
                remaining = None if end is None else end - time.monotonic()
                if not waiter.wait(remaining):
                    return self._take(channels, limit, compact)
        return batch

    def _interruption(self, channels: Sequence[str]) -> Interruption | None:
        """Return what may end a wait of the caller for these channels."""
        found = interruption.get()
        if found is None or found.layer is not self or found.channel in channels:
            return None
        return found

    def hear_with(self, watch: Watch) -> None:  # noqa: B027
        """Have the hub of this process hear what other processes ring for, in place of a thread.

        `watch(descriptor, function)` has `function` called in the hub's thread whenever there is
        something to read, and returns a function that ends that. To be called by the hub's thread;
        the hub has to run as long as somebody listens. A layer that has no descriptor does nothing.
        """

    # The asyncio extension.

    async def send_async(self, channel: str, message: dict[str, Any]) -> None:
        """Do as `send`, without blocking the event loop."""
        await self._call_in_turn(self.send, channel, message)

    async def send_group_async(self, group: str, message: dict[str, Any]) -> None:
        """Do as `send_group`, without blocking the event loop."""
        await self._call_in_turn(self.send_group, group, message)

    async def group_add_async(self, group: str, channel: str) -> None:
        """Do as `group_add`, without blocking the event loop."""
        await self._call_in_turn(self.group_add, group, channel)

    async def group_discard_async(self, group: str, channel: str) -> None:
        """Do as `group_discard`, without blocking the event loop."""
        await self._call_in_turn(self.group_discard, group, channel)

    async def receive_async(
        self, channels: Sequence[str], timeout: float | None = None
    ) -> tuple[str, dict[str, Any]] | tuple[None, None]:
        """Wait for the next (channel, message); (None, None) after `timeout` seconds."""
        for channel, message in await self.receive_many_async(channels, 1, timeout):
            return str(channel), message
        return None, None

    async def receive_many_async(
        self,
        channels: Sequence[str],
        limit: int = 1,
        timeout: float | None = None,
        *,
        compact: bool = False,
    ) -> Batch:
        """Do as `receive_many`, without blocking the event loop; waits for ever by default.

        No message is lost when the caller is cancelled while it waits.
        """
        if isinstance(channels, str):
            raise InvalidName(f"{channels!r} is one name: expected a list of channel names")
        await asyncio.sleep(0)  # as in `_call_in_turn`
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        woken = asyncio.Event()
        with self.listen(channels, partial(_wake_loop, loop, woken)):
            while not (batch := await self._call_async(self._take, channels, limit, compact)):
                remaining = None if end is None else end - loop.time()
                try:
                    await asyncio.wait_for(woken.wait(), remaining)
                except asyncio.TimeoutError:
                    # What came as the time ended was maybe set aside for this receiver already.
                    return await self._call_async(self._take, channels, limit, compact)
                woken.clear()  # before the take: what is put after it wakes again
        return batch

    async def _call_in_turn(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        # What does not block need not wait either: without this, who sends what is always at hand,
        # such as lines of a feed, would keep all others of the loop from running. Before the call,
        # so that nothing was done for who is cancelled there.
        await asyncio.sleep(0)
        return await self._call_async(function, *arguments)

    async def _call_async(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call what may block on the backend; a layer without one overrides this."""
        return await asyncio.to_thread(function, *arguments)


class _Waiter:
    """Where one blocked receiver waits: a lock that is held until there is something to take."""

    def __init__(self) -> None:
        # Looked up now and not at import, so that it is a greenlet's lock under gevent.
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        # Two senders may both have seen it locked; the second one's release is one too many.
        if self._lock.locked():
            with contextlib.suppress(RuntimeError):
                self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait up to `timeout` seconds, for ever if None; False when that time has passed."""
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))


def _wake_loop(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    # The loop may have been closed between the put and this call: nobody is left to be woken.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(woken.set)
