"""What a local-first layer is made of and remembers; what it does is in the other files."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections import deque
from collections.abc import Collection
from typing import Any

from wsgi_bridge.events.layers import LAYER_CUT_OFF
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.concurrency import reset_after_fork
from wsgi_bridge.layers.local_first.ears import Ears
from wsgi_bridge.layers.local_first.exports import Exports
from wsgi_bridge.layers.local_first.own_reader import OwnReader
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.queue import NO_ROOM, ROOM, Names, Room
from wsgi_bridge.names import reader_of

__all__ = [
    "DEFAULT_SPILL",
    "DEFAULT_SPILL_AFTER",
    "LOCAL_CHANNELS",
    "LocalFirstCore",
    "options_of",
]

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

#: Characters that begin the suffix of a single-reader name and say which process made it (48 random
#: bits). The usual suffix follows, so that a name is no easier to guess by who knows another.
TOKEN_LENGTH = 8


class LocalFirstCore(BaseLayer):
    """The two layers, and what is known of both."""

    def __init__(
        self,
        local: MemoryLayer,
        shared: BaseLayer,
        *,
        spill: int = DEFAULT_SPILL,
        spill_after: float = DEFAULT_SPILL_AFTER,
        local_channels: Collection[str] = LOCAL_CHANNELS,
    ) -> None:
        super().__init__(**options_of(shared))
        self.local = local
        self.shared = shared
        self.extensions = shared.extensions
        self._spill_after = spill_after
        self._rooms = {name: local.capacity_of(name) for name in local_channels}
        #: How many may wait without a thought.
        self._bounds = {name: min(spill + 1, room) for name, room in self._rooms.items()}
        self._retry_at = 0.0
        self._spill_at = 0.0
        self._is_cut_off = False
        self._reset()
        reset_after_fork(self, LocalFirstCore._leave_parent)

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
        self.local.guard(self._room_of)

    def _leave_parent(self) -> None:
        self._ears.is_abandoned = True
        self._reset()

    def _room_of(self, reader: str) -> Room:
        """What stays here without further thought, when a queue is opened.

        From then on, `set_room` says so before anything sends messages elsewhere.
        """
        bound = self._bounds.get(reader)
        if bound is not None:
            return Room(bound, self._spill_after)
        own = self._own.get(reader)
        if own is not None:
            return own.room
        is_ours = self._mark in reader and reader not in self._exports
        return ROOM if is_ours else NO_ROOM

    def _export(self, channel: str) -> None:
        """Have what is sent to a single-reader channel of ours cross from now on."""
        self._exports.add(channel, self.clock())
        self.local.set_room(channel, NO_ROOM)

    def _is_read_here_only(self, name: str) -> bool:
        return name.endswith("!") or self._mark in name

    def _is_read_here(self, channel: str) -> bool:
        """Whether only this process receives what is sent to `channel`."""
        return self._mark in channel or reader_of(channel) in self._own

    def _report(self, exc: ChannelLayerUnavailable) -> None:
        """Say once a burst that this process is alone."""
        if not self._is_cut_off:
            self._is_cut_off = True
            LAYER_CUT_OFF.log(
                logger,
                "the shared layer is unavailable, what is local goes on: %(cause)s",
                cause=exc,
            )

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`; see BaseLayer.

        Never fails for want of the shared layer: a membership that is left there ends when the next
        group message finds its member gone.
        """
        try:
            self.shared.forget_channel(channel)
        except ChannelLayerUnavailable as exc:
            self._report(exc)

    def _forget_expired(self) -> None:
        while self._expired:
            names = self._expired.popleft()
            for name in (names,) if isinstance(names, str) else names:
                self.forget_channel(name)


def options_of(layer: BaseLayer) -> dict[str, Any]:
    """Return the options that a layer was opened with."""
    return {
        "expiry": layer.expiry,
        "group_expiry": layer.group_expiry,
        "capacity": layer.capacity,
        "channel_capacity": layer.channel_capacity,
        "max_message_size": layer.max_message_size,
        "clock": layer.clock,
    }
