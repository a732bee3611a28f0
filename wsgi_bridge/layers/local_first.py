"""Local first: a process consumes what its own sockets produce through a queue in its memory.

A composite of a memory layer, this process's own, and of a layer that it shares with others. What
need not cross stays in the first, so that a request with several processes costs what it costs with
one. Neither protocol servers nor workers know. It keeps the contract of `layers.base`:

    sent to                                goes
    a protocol channel (`http.request`)    local, or shared past `spill`: see `_overflow`
    `!`, received in this process          local, unless it must follow a group message (own_reader)
    `?`, made in this process              local, unless its reader is elsewhere (exports)
    anything else, and groups              shared

A take asks the local layer first, and the shared one only for channels that may have something
there (ears). Where both have, each gets its share. What differs from the contract:

- Capacity counts in each part: a protocol channel is full when both are. A send that found both
  full counts as such in both.
- Without the shared layer (ChannelLayerUnavailable), what is local goes on: takes find what is
  here, and say once in the log that the rest is missing. A send that has to cross raises.
- A protocol channel has messages of one sender in two queues: no order is promised there, and
  nothing needs it, since a connection has one event under way.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import SplitResult

from wsgi_bridge.exceptions import (
    ChannelFull,
    ChannelLayerError,
    ChannelLayerUnavailable,
    InvalidLayerURL,
)
from wsgi_bridge.layers.base import BaseLayer, Batch, Listener, _Result
from wsgi_bridge.layers.concurrency import reset_after_fork
from wsgi_bridge.layers.ears import Ears
from wsgi_bridge.layers.exports import Exports
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.own_reader import OwnReader
from wsgi_bridge.layers.queue import Names, Wake
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics, add_statistics, no_statistics
from wsgi_bridge.names import (
    MAX_NAME_LENGTH,
    SUFFIX_LENGTH,
    check_channel,
    check_pattern,
    check_reader,
    reader_of,
)

__all__ = ["DEFAULT_SPILL", "DEFAULT_SPILL_AFTER", "LOCAL_CHANNELS", "LocalFirstLayer"]

logger = logging.getLogger(__name__)

#: What protocol servers send, and any process may consume.
LOCAL_CHANNELS = frozenset(
    (
        "http.request",
        "http.disconnect",
        "websocket.connect",
        "websocket.receive",
        "websocket.disconnect",
    )
)

#: Messages that wait for this process's own consumers before others may have some: enough for the
#: next consumers that become free, few enough not to wait behind.
DEFAULT_SPILL = 8

#: Seconds that the oldest of them must have waited. A burst that was read from many sockets in one
#: turn of the hub is no sign of busy consumers, a turn that took as long as this is.
DEFAULT_SPILL_AFTER = 0.01

#: Seconds for which nothing is sent to others after one of those messages came back: they have no
#: time either, and each would cost more than it saves.
SPILL_PAUSE = 1.0

#: Characters that begin the suffix of a single-reader name and say which process made it (48 random
#: bits). The usual suffix follows, so that a name is no easier to guess by who knows another.
TOKEN_LENGTH = 8

#: Seconds for which a shared layer that was unavailable is not asked again, unless it wakes us.
RETRY_INTERVAL = 0.1

#: Names of which the turn is remembered, for receives of several kinds of channels at once.
MAX_SERVED = 1000

_Put = Callable[[str, dict[str, Any]], None]


class LocalFirstLayer(BaseLayer):
    """A local layer before a shared one; both are this layer's from now on, and closed by it.

    `spill` and `spill_after`: messages that may wait in a queue of `local_channels` here, and
    seconds for which the oldest may, before more of them go to the shared layer. Options such as
    `expiry` are those of the shared layer; `over` makes a local one that has the same.
    """

    def __init__(
        self,
        local: MemoryLayer,
        shared: BaseLayer,
        *,
        spill: int = DEFAULT_SPILL,
        spill_after: float = DEFAULT_SPILL_AFTER,
        local_channels: Collection[str] = LOCAL_CHANNELS,
    ) -> None:
        super().__init__(**_options(shared))
        self.local = local
        self.shared = shared
        self.extensions = shared.extensions
        self._spill_after = spill_after
        self._rooms = {name: local.capacity_of(name) for name in local_channels}
        # Not more than fit, so that the hot path never meets a full queue.
        self._bounds = {name: min(spill, room - 1) for name, room in self._rooms.items()}
        self._retry_at = 0.0
        self._spill_at = 0.0
        self._is_cut_off = False
        self._reset()
        reset_after_fork(self, LocalFirstLayer._leave_parent)

    def _reset(self) -> None:
        """Begin anew: in a forked child, too, which is another process with readers of its own."""
        self._token = secrets.token_urlsafe(TOKEN_LENGTH * 6 // 8)
        self._mark = "?" + self._token
        self._own: dict[str, OwnReader] = {}
        self._exports = Exports(self.expiry)
        self._ears = Ears(self.local, self.shared, self._is_read_here_only)
        self._lingering = self._ears.lingering.keys()
        self._quiet = self._ears.quiet
        self._owed: set[str] = set()  # channels passed over where there was room for one message
        self._served: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._expired: deque[Names] = deque()  # whom messages here were for
        self.local.on_expired = self._expired.append

    def _leave_parent(self) -> None:
        self._ears.is_abandoned = True
        self._reset()

    @classmethod
    def over(cls, shared: BaseLayer, **options: Any) -> LocalFirstLayer:
        """Return `shared` behind a new memory layer of the same expiry, capacity and clock."""
        return cls(MemoryLayer(**_options(shared)), shared, **options)

    @classmethod
    def from_url(cls, url: SplitResult, **options: Any) -> LocalFirstLayer:  # noqa: ARG003
        """Refuse: no URL names it. A server puts it before the layer that a URL names."""
        raise InvalidLayerURL("a local-first layer is made of two layers: use LocalFirstLayer.over")

    # Sending.

    def new_channel(self, pattern: str) -> str:
        """Return an unused single-reader name that tells this process as its maker; see BaseLayer.

        A long pattern leaves less room for the random rest of the name, SUFFIX_LENGTH in all.
        """
        check_pattern(pattern)
        suffix = self._token + secrets.token_urlsafe(SUFFIX_LENGTH * 6 // 8)
        return (pattern + suffix)[:MAX_NAME_LENGTH]

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on `channel`; see BaseLayer."""
        if type(channel) is not str:
            check_channel(channel)
        if self._stays(channel):
            self.local.send(channel, message)
        else:
            self._send_away(self.local.send, self.shared.send, channel, message)

    def hand_over(self, channel: str, message: dict[str, Any]) -> None:
        """Put `message` itself on `channel`; see BaseLayer."""
        if self._stays(channel):
            self.local.hand_over(channel, message)
        else:
            self._send_away(self.local.hand_over, self.shared.hand_over, channel, message)

    def hand_over_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[ChannelLayerError | None]:
        """Hand over what may stay one by one, and what has to cross together; see BaseLayer."""
        refused: list[ChannelLayerError | None] = []
        crossing: list[tuple[str, dict[str, Any]]] = []
        for channel, message in messages:
            if self._must_cross(channel):
                crossing.append((channel, message))
                continue
            refused += self._cross(crossing)
            refused.append(self._refusal(channel, message))
        return refused + self._cross(crossing)

    def _must_cross(self, channel: str) -> bool:
        """Whether a channel is neither a protocol channel nor one of this process's own."""
        is_own = self._mark in channel or reader_of(channel) in self._own
        return not is_own and channel not in self._bounds

    def _cross(self, messages: list[tuple[str, dict[str, Any]]]) -> list[ChannelLayerError | None]:
        refused = self.shared.hand_over_many(messages) if messages else []
        messages.clear()
        return refused

    def _stays(self, channel: str) -> bool:
        """Whether a message goes to the local layer without further thought. Hot path."""
        bound = self._bounds.get(channel)
        if bound is not None:
            pending = self.local.pending(channel)
            return pending <= bound or (pending < self._rooms[channel] and self._waits(channel))
        end = channel.find("!") + 1
        if end:
            own = self._own.get(channel[:end])
            return own is not None and not own.crossing
        return self._mark in channel and channel not in self._exports

    def _waits(self, channel: str) -> bool:
        """Whether what is more than usual in a queue had better wait for our own consumers."""
        if self.local.age(channel) < self._spill_after:
            return True
        return time.monotonic() < self._spill_at

    def _send_away(
        self, put_local: _Put, put_shared: _Put, channel: str, message: dict[str, Any]
    ) -> None:
        """Send what may have to cross, by these methods of the two layers."""
        own = self._own.get(reader_of(channel))
        if channel in self._bounds:
            self._overflow(put_local, put_shared, channel, message)
        elif own is not None:
            self._follow(own, put_local, put_shared, channel, message)
        else:
            if channel in self._exports:
                self._exports.add(channel, self.clock())
            put_shared(channel, message)

    def _overflow(
        self, put_local: _Put, put_shared: _Put, channel: str, message: dict[str, Any]
    ) -> None:
        """Let another process have a message, when our own consumers are all busy."""
        now = self.clock()
        body = message.get("body_channel") if isinstance(message, dict) else None
        if body and not self._exports.has_room(now):
            put_local(channel, message)
            return
        try:
            put_shared(channel, message)
        except ChannelFull:
            put_local(channel, message)
        except ChannelLayerUnavailable as exc:
            self._report(exc)
            put_local(channel, message)
        else:
            # Its sender sends chunks only after this, and they are to follow.
            if isinstance(body, str) and self._mark in body:
                self._exports.add(body, now)

    def _follow(
        self, own: OwnReader, put_local: _Put, put_shared: _Put, channel: str, message: Any
    ) -> None:
        """Send to a reader of this process, behind the sender's group messages if there are any."""
        sender = threading.get_ident()  # looked up now: that of the greenlet, under gevent
        if not own.follow(sender):
            put_local(channel, message)
            return
        try:
            put_shared(channel, message)
        except ChannelLayerUnavailable as exc:
            self._report(exc)
            put_local(channel, message)
        finally:
            own.arrive(sender)

    # Receiving.

    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        if self._expired:
            self._forget_expired()
        if self._quiet.issuperset(channels):
            return self.local._take(channels, limit, compact)
        for name in channels:
            if name not in self._quiet:
                check_reader(name)
                self._own_if_specific(name)
        sources = self._split(channels)
        if len(sources) == 1:
            return self._take_from(sources[0], limit, compact)
        return self._take_in_turn(sources, limit, compact)

    def _own_if_specific(self, name: str) -> None:
        if name.endswith("!") and name not in self._own:
            self._own.setdefault(name, OwnReader(name))

    def _split(self, channels: Sequence[str]) -> list[list[str]]:
        """Return the process-specific readers one by one, and the other channels together."""
        specific = [[name] for name in channels if name in self._own]
        plain = [name for name in channels if name not in self._own]
        return [plain, *specific] if plain else specific

    def _take_in_turn(self, sources: list[list[str]], limit: int, compact: bool) -> Batch:
        """Take from each its share, then what is left; the one served longest ago goes first."""
        served = self._served
        if len(served) > MAX_SERVED:
            served.clear()
        sources.sort(key=lambda names: served.get(names[0], 0))
        batch: Batch = []
        for share in (max(1, limit // max(1, len(sources))), limit):
            for names in sources:
                room = min(share, limit - len(batch))
                if room > 0 and (part := self._take_from(names, room, compact)):
                    served[names[0]] = next(self._turns)
                    batch += part
        return batch

    def _take_from(self, names: list[str], limit: int, compact: bool) -> Batch:
        own = self._own.get(names[0])
        if own is not None:
            return self._take_own(own, limit, compact)
        return self._take_plain(names, limit, compact)

    def _take_own(self, own: OwnReader, limit: int, compact: bool) -> Batch:
        """Take for a process-specific reader, in order; see own_reader."""
        names = [own.name]
        if not own.held and own.name not in self._quiet:
            self._fetch(own, limit, compact)
        batch: Batch = []
        if own.held and own.ahead > 0:
            size = min(limit, own.ahead)
            batch = self.local._take(names, size, compact)
            own.ahead = own.ahead - size if len(batch) == size else 0
        if own.ahead <= 0:
            batch += own.give(limit - len(batch), compact)
        if own.held:
            self._quiet.discard(own.name)
        elif len(batch) < limit:
            batch += self.local._take(names, limit - len(batch), compact)
        return batch

    def _fetch(self, own: OwnReader, limit: int, compact: bool) -> None:
        arrived = own.arrived()
        taken = self._ask([own.name], limit, compact)
        if taken is None:
            return
        if taken:
            own.hold(taken, self.local.pending(own.name))
        if len(taken) < limit:
            own.release(arrived)

    def _take_plain(self, names: list[str], limit: int, compact: bool) -> Batch:
        """Take up to half from the local layer, the rest from the shared one, or the reverse."""
        due = [name for name in names if name not in self._quiet]
        if not due:
            return self.local._take(names, limit, compact)
        half = limit - limit // 2
        if not self._owed.isdisjoint(due):
            self._owed.difference_update(due)
            batch = self._ask(due, half, compact) or []
            may_have_more = len(batch) == half
            batch += self.local._take(names, limit - len(batch), compact)
            if may_have_more and len(batch) < limit:
                batch += self._ask(due, limit - len(batch), compact) or []
            return batch
        batch = self.local._take(names, half, compact)
        if len(batch) == limit:
            self._owed.update(due)
            return batch
        batch += self._ask(due, limit - len(batch), compact) or []
        if len(batch) < limit:
            batch += self.local._take(names, limit - len(batch), compact)
        return batch

    def _ask(self, names: list[str], limit: int, compact: bool) -> Batch | None:
        """Take from the shared layer; None if it cannot be asked. Marks what is quiet."""
        if time.monotonic() < self._retry_at:
            return None
        looks = self._ears.look(names)
        try:
            batch = self.shared.receive_many(names, limit, 0.0, compact=compact)
        except ChannelLayerUnavailable as exc:
            self._retry_at = time.monotonic() + RETRY_INTERVAL
            self._report(exc)
            return None
        if not batch:
            self._ears.settle(looks)
        elif not self._bounds.keys().isdisjoint(names) and any(map(self._came_back, batch)):
            self._spill_at = time.monotonic() + SPILL_PAUSE
        self._is_cut_off = False
        return batch

    def _came_back(self, item: tuple[Any, dict[str, Any]]) -> bool:
        """Whether a message had overflowed from here, and nobody else took it."""
        reply = item[1].get("reply_channel")
        return isinstance(reply, str) and reader_of(reply) in self._own

    def listen(self, channels: Sequence[str], wake: Wake) -> Listener:
        """Have `wake()` called at every message put on `channels`; see BaseLayer."""
        listener = self.local.listen(channels, wake)  # checks the names
        if self._lingering >= set(channels):
            return listener
        for name in channels:
            self._own_if_specific(name)
        self._ears.open(channels)
        return _Listener(listener, self._ears, channels)

    def _is_read_here_only(self, name: str) -> bool:
        return name.endswith("!") or self._mark in name

    def _report(self, exc: ChannelLayerUnavailable) -> None:
        """Say once a burst that this process is alone."""
        if not self._is_cut_off:
            self._is_cut_off = True
            logger.warning("the shared layer is unavailable, what is local goes on: %s", exc)

    # Groups: the shared layer's.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        self.shared.group_add(group, channel)
        if self._mark in channel:
            # Its group messages cross: all others follow, so that they stay in order.
            self._exports.add(channel, self.clock())

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        self.shared.group_discard(group, channel)

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`; see BaseLayer.

        Never fails for want of the shared layer: a membership that is left there ends when the next
        group message finds its member gone.
        """
        try:
            self.shared.forget_channel(channel)
        except ChannelLayerUnavailable as exc:
            self._report(exc)

    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`; see BaseLayer."""
        self._drop_expired()
        return self.shared.group_channels(group)

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`; see BaseLayer."""
        self._drop_expired()
        sender = threading.get_ident()
        readers = list(self._own.values())
        for own in readers:
            own.depart(sender)
        try:
            self.shared.send_group(group, message)
        finally:
            for own in readers:
                own.arrive(sender)
                # There need be no wake: the group may have no member here. The next take finds out.
                self._quiet.discard(own.name)

    def _drop_expired(self) -> None:
        """Have those leave their groups whose messages have expired in the local layer."""
        for name in list(self._own):
            self.local.drop_expired(name)
        if self._expired:
            self._forget_expired()

    def _forget_expired(self) -> None:
        while self._expired:
            names = self._expired.popleft()
            for name in (names,) if isinstance(names, str) else names:
                self.forget_channel(name)

    # Statistics.

    def global_statistics(self) -> Statistics:
        """Return the figures of both layers together; those of the local one if it is alone."""
        held = sum(len(own.held) for own in list(self._own.values()))
        return self._add(self.local.global_statistics(), self.shared.global_statistics, held)

    def channel_statistics(self, channel: str) -> Statistics:
        """Return the figures of one channel in both layers; see `global_statistics`."""
        figures = self.local.channel_statistics(channel)
        own = self._own.get(reader_of(channel))
        held = len(own.held) if own is not None else 0
        return self._add(figures, lambda: self.shared.channel_statistics(channel), held)

    def _add(self, local: Statistics, ask: Callable[[], Statistics], held: int) -> Statistics:
        try:
            shared = ask()
        except ChannelLayerUnavailable as exc:
            self._report(exc)
            return local
        figures = add_statistics(local, shared)
        figures["messages_pending"] += held
        return figures

    def statistics_by_channel(self) -> dict[str, Statistics]:
        """Return the figures of every channel in both layers; see BaseLayer."""
        found = self.local.statistics_by_channel()
        try:
            shared = self.shared.statistics_by_channel()
        except ChannelLayerUnavailable as exc:
            self._report(exc)
            return found
        for name, figures in shared.items():
            found[name] = add_statistics(found.get(name, no_statistics()), figures)
        for name, own in list(self._own.items()):
            if own.held:
                found.setdefault(name, no_statistics())["messages_pending"] += len(own.held)
        return found

    def statistics_by_group(self) -> dict[str, GroupStatistics]:
        """Return the size of every group; see BaseLayer."""
        return self.shared.statistics_by_group()

    def describe(self) -> dict[str, Any]:
        """Return facts on the shared layer; see BaseLayer."""
        return {**self.shared.describe(), "local_first": True}

    # Life cycle.

    def flush(self) -> None:
        """Drop every message and membership in both layers; see BaseLayer."""
        self.local.flush()
        for own in list(self._own.values()):
            own.held.clear()
        self.shared.flush()

    def close(self) -> None:
        """Close both layers; see BaseLayer."""
        self.local.close()
        self.shared.close()

    async def _call_async(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return await self.shared._call_async(function, *arguments)


class _Listener(Listener):
    """What `LocalFirstLayer.listen` returns: a local listener, and what it has open of the ears."""

    def __init__(self, local: Listener, ears: Ears, names: Sequence[str]) -> None:
        self._local = local
        self._ears = ears
        self._names = tuple(names)

    def close(self) -> None:
        self._local.close()
        names, self._names = self._names, ()
        self._ears.release(names)


def _options(layer: BaseLayer) -> dict[str, Any]:
    """Return the options that a layer was opened with."""
    return {
        "expiry": layer.expiry,
        "group_expiry": layer.group_expiry,
        "capacity": layer.capacity,
        "channel_capacity": layer.channel_capacity,
        "max_message_size": layer.max_message_size,
        "clock": layer.clock,
    }
