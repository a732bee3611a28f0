"""Sending: one script for a message, or for all that go to a channel at once.

Where the caller may not wait (the hub of gevent), the keeper sends. It is known only later then
that the channel was full: this is counted and logged, and for a moment after it the next ones are
refused at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import OutOfMemoryError, ResponseError

from wsgi_bridge.copying import copy_message
from wsgi_bridge.events.layers import REDIS_MESSAGE_LOST, REDIS_OUT_OF_MEMORY
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.concurrency import can_wait
from wsgi_bridge.layers.redis.connection import Command
from wsgi_bridge.layers.redis.core import refusal
from wsgi_bridge.layers.redis.inbox import LocalQueue
from wsgi_bridge.layers.redis.readers import ReaderOperations
from wsgi_bridge.names import check_channel, reader_of

__all__ = ["SendOperations"]

logger = logging.getLogger(__name__)

#: Seconds for which a channel that was found full is refused to who cannot wait for the answer.
FULL_FOR = 0.05


class SendOperations(ReaderOperations):
    """`send`, `hand_over` and `hand_over_many`."""

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on `channel`, in one round trip; see BaseLayer."""
        check_channel(channel)
        self.hand_over(channel, copy_message(message, self.max_message_size))

    def hand_over(self, channel: str, message: dict[str, Any]) -> None:
        """Put `message` on `channel`; see BaseLayer."""
        target = self._target(reader_of(channel))
        self._check_open()
        call = self._send_call(target, channel, message)
        if not can_wait():
            self._post(target, channel, call)
            return
        [reply] = target.shard.pipe.call((call,))
        if reply != 1:
            self._sent(target, channel, reply)

    def hand_over_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[ChannelLayerError | None]:
        """Put several messages on their channels, in one pipeline for each shard; see BaseLayer."""
        self._check_open()
        if not can_wait():
            return super().hand_over_many(messages)
        requests = []
        for channel, message in messages:
            target = self._target(reader_of(channel))
            requests.append((target, self._send_call(target, channel, message)))
        errors: list[ChannelLayerError | None] = [None] * len(requests)
        for shard in dict.fromkeys(target.shard for target, _ in requests):
            places = [at for at, (target, _) in enumerate(requests) if target.shard is shard]
            try:
                replies = shard.pipe.call([requests[at][1] for at in places])
            except ChannelLayerUnavailable as exc:
                replies = [exc] * len(places)
            for at, reply in zip(places, replies, strict=True):
                errors[at] = self._error_of(requests[at][0], messages[at][0], reply)
        return errors

    def _send_call(self, target: LocalQueue, channel: str, message: dict[str, Any]) -> Command:
        now = self.clock()
        deadline = now + self.expiry
        keys = target.keys
        entry = self._codec.encode(deadline, channel, message)
        arguments = (now, target.capacity, deadline, self._queue_lifetime, keys.suffix)
        return keys.send.mergeable(keys.queue, entry, *arguments)

    def _sent(self, target: LocalQueue, channel: str, reply: Any) -> None:
        error = self._error_of(target, channel, reply)
        if error is not None:
            raise error

    def _error_of(self, target: LocalQueue, channel: str, reply: Any) -> ChannelLayerError | None:
        """Return what the reply of a send means, other than that the message was put."""
        if reply == 1:
            return None
        if isinstance(reply, OutOfMemoryError) or "OOM" in str(reply):
            REDIS_OUT_OF_MEMORY.log(
                logger,
                "Redis is out of memory: channel %(channel)s is full",
                cause="maxmemory",
                channel=channel,
            )
            return ChannelFull(channel)
        if isinstance(reply, ChannelLayerError):
            return reply
        if isinstance(reply, ResponseError):
            return refusal(reply)
        is_put, expired = reply
        if expired:
            self._left_behind(target.keys.suffix, expired)
        return None if is_put else ChannelFull(channel)

    def _post(self, target: LocalQueue, channel: str, call: Command) -> None:
        """Send from where nobody may wait: the outcome is known only later."""
        if time.monotonic() < target.full_until:
            raise ChannelFull(channel)

        def done(reply: Any) -> None:
            error = self._error_of(target, channel, reply)
            if error is None:
                return
            if isinstance(error, ChannelFull):
                target.full_until = time.monotonic() + FULL_FOR
            REDIS_MESSAGE_LOST.log(
                logger, "a message to %(channel)s was lost: %(cause)s", cause=error, channel=channel
            )

        target.shard.keeper.post(call, done)
