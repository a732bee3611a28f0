"""Sending: which of the two layers a message goes to."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.local_first.core import LocalFirstCore
from wsgi_bridge.layers.local_first.own_reader import OwnReader
from wsgi_bridge.names import (
    MAX_NAME_LENGTH,
    SUFFIX_LENGTH,
    check_channel,
    check_pattern,
    reader_of,
)

__all__ = ["SendOperations"]

_Put = Callable[[str, dict[str, Any]], None]


class SendOperations(LocalFirstCore):
    """`send`, `hand_over` and `hand_over_many`."""

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
        if self.local.offer(channel, message):
            return
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
        return not self._is_read_here(channel) and channel not in self._bounds

    def _cross(self, messages: list[tuple[str, dict[str, Any]]]) -> list[ChannelLayerError | None]:
        refused = self.shared.hand_over_many(messages) if messages else []
        messages.clear()
        return refused

    def _stays(self, channel: str) -> bool:
        """Whether a message goes to the local layer, where there is no room without asking."""
        bound = self._bounds.get(channel)
        if bound is not None:
            pending = self.local.pending(channel)
            return pending < bound or (pending < self._rooms[channel] and self._waits(channel))
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
                self._export(channel)
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
                self._export(body)

    def _follow(
        self, own: OwnReader, put_local: _Put, put_shared: _Put, channel: str, message: Any
    ) -> None:
        """Send to a reader of this process, behind the sender's group messages if there are any."""
        sender = threading.get_ident()  # looked up now: that of the greenlet, under gevent
        if not own.follow(sender):
            put_local(channel, message)
            return
        is_gone = False
        try:
            put_shared(channel, message)
        except ChannelLayerUnavailable as exc:
            self._report(exc)
            is_gone = True
        finally:
            # What it should have followed is lost then, or late: no order is left to keep.
            own.stay(sender) if is_gone else own.arrive(sender)
        if is_gone:
            put_local(channel, message)
