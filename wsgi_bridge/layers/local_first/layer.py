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

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import SplitResult

from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.layers.base import BaseLayer, _Result
from wsgi_bridge.layers.local_first.core import options_of
from wsgi_bridge.layers.local_first.sending import SendOperations
from wsgi_bridge.layers.local_first.storage import LocalFirstStorage
from wsgi_bridge.layers.local_first.taking import TakeOperations
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics, add_statistics, no_statistics
from wsgi_bridge.layers.storage_base import Storage
from wsgi_bridge.names import reader_of

__all__ = ["LocalFirstLayer"]


class LocalFirstLayer(SendOperations, TakeOperations):
    """A local layer before a shared one; both are this layer's from now on, and closed by it.

    `spill` and `spill_after`: messages that may wait in a queue of `local_channels` here, and
    seconds for which the oldest may, before more of them go to the shared layer. Options such as
    `expiry` are those of the shared layer; `over` makes a local one that has the same.
    """

    @classmethod
    def over(cls, shared: BaseLayer, **options: Any) -> LocalFirstLayer:
        """Return `shared` behind a new memory layer of the same expiry, capacity and clock."""
        return cls(MemoryLayer(**options_of(shared)), shared, **options)

    @classmethod
    def from_url(cls, url: SplitResult, **options: Any) -> LocalFirstLayer:  # noqa: ARG003
        """Refuse: no URL names it. A server puts it before the layer that a URL names."""
        raise InvalidLayerURL("a local-first layer is made of two layers: use LocalFirstLayer.over")

    # Groups: the shared layer's.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        self.shared.group_add(group, channel)
        self._export_member(channel)

    def _export_member(self, channel: str) -> None:
        if self._mark in channel:
            # Its group messages cross: all others follow, so that they stay in order.
            self._export(channel)

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        self.shared.group_discard(group, channel)

    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`; see BaseLayer."""
        self._drop_expired()
        return self.shared.group_channels(group)

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`; see BaseLayer."""
        with self._crossing():
            self.shared.send_group(group, message)

    @contextlib.contextmanager
    def _crossing(self) -> Iterator[None]:
        """Send to a group in the body: what this sender sends to our readers next will follow."""
        self._drop_expired()
        sender = threading.get_ident()
        readers = list(self._own.values())
        before = [own.depart(sender) for own in readers]
        is_sent = False
        try:
            yield
            is_sent = True
        finally:
            for own, number in zip(readers, before, strict=True):
                if is_sent:
                    own.arrive(sender)
                else:  # what follows need not go to a layer that is back before our reader there is
                    own.stay(sender, number)
                # There need be no wake: the group may have no member here. The next take finds out.
                self._quiet.discard(own.name)

    def _drop_expired(self) -> None:
        """Have those leave their groups whose messages have expired in the local layer."""
        for name in list(self._own):
            self.local.drop_expired(name)
        if self._expired:
            self._forget_expired()

    # Storage: the shared layer's.

    @cached_property
    def storage(self) -> Storage:
        """What the shared layer keeps; see Storage. Raises NotImplementedError if it has none."""
        return LocalFirstStorage(self)

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
        if function == self._take:
            # Whoever waits has ears in the shared layer, which has at hand then what they hear of.
            # In a thread, a message could be taken for a coroutine that was cancelled meanwhile.
            return function(*arguments)
        return await self.shared._call_async(function, *arguments)
