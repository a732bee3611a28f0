"""Keeper: what a shard does beside receiving: heartbeats, nudges, and sends that cannot wait.

A thread (a greenlet, where gevent has patched threading). A process that dies is noticed by the
others when its heartbeats stop; they then remove its readers from the groups. A process that finds
that Redis has forgotten it (a restart, a failover, a pause of its own) claims its readers and
announces its memberships again.
"""

from __future__ import annotations

import _thread
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.layers import REDIS_THREAD_FAILED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import _Waiter
from wsgi_bridge.layers.redis.connection import Command, command
from wsgi_bridge.layers.redis.scripts import SCRIPTS

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["BEAT", "LIFE", "Keeper"]

logger = logging.getLogger(__name__)

#: Seconds between heartbeats, and how long one lasts: a dead process is gone after LIFE + BEAT at
#: most, and a process that a computation stops for most of a second is not taken for dead.
BEAT = 0.6
LIFE = 1.4

#: Seconds between two looks for messages that expired in queues that nobody asks for, and for
#: changes of memberships behind readers that get no messages.
SWEEP = 5.0

#: Queues looked at in one sweep: some 10 ms of Redis's time. Where there are more, the next sweep
#: is at the next heartbeat: single-reader channels come and go by the hundred a second.
SWEEP_SIZE = 500

#: Times that memberships are announced: who took us for dead may be about to remove what the first
#: time added.
ANNOUNCEMENTS = 2

#: Commands that wait to be run, at most: past that the backend is too slow for us.
MAX_POSTED = 10_000

Done = Callable[[Any], None]


class Keeper:
    """The thread beside; it runs from the first time that it is needed."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._is_started = False
        self._waiter = _Waiter()
        self._has_nudge = False
        self._was_known = False
        self._announcements = 0
        # Deques: other threads append while this one takes.
        self._posted: deque[tuple[Command, Done]] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        #: The last flush that is known of; empty if Redis has forgotten it, None at the beginning.
        self.flushed: bytes | None = None
        self._beat_at = 0.0
        self._sweep_at = time.monotonic() + SWEEP

    def start(self) -> None:
        """Have the thread run. Does not block."""
        with self._shard.layer.inbox.lock:
            if self._is_started:
                return
            self._is_started = True
        _thread.start_new_thread(self._run, ())  # see Reader.start

    def wake(self) -> None:
        """Have it beat now: there is something to say."""
        self._beat_at = 0.0
        self._waiter.wake()

    def nudge(self) -> None:
        """Have the reader consider what it waits for. Does not block."""
        self._has_nudge = True
        self.start()
        self._waiter.wake()

    def post(self, request: Command, done: Done) -> None:
        """Run a command soon, and call `done(reply)`, or `done(exception)`. Does not block.

        Raises ChannelLayerUnavailable if Redis is known to be away, or far behind.
        """
        self._shard.health.check()
        if len(self._posted) >= MAX_POSTED:
            raise ChannelLayerUnavailable("Redis does not keep up")
        self._posted.append((request, done))
        self.start()
        self._waiter.wake()

    def defer(self, job: Callable[[], None]) -> None:
        """Call a function that may block, soon. Does not block."""
        self._jobs.append(job)
        self.start()
        self._waiter.wake()

    # The thread.

    def _run(self) -> None:
        layer = self._shard.layer
        mine = layer.process
        while layer.process == mine:
            self._waiter.wait(max(0.0, self._beat_at - time.monotonic()))
            try:
                self._work()
            except ChannelLayerUnavailable:
                self._beat_at = time.monotonic() + max(0.01, self._shard.health.delay())
            except Exception as exc:
                REDIS_THREAD_FAILED.log(
                    logger,
                    "the keeper of %(shard)s failed",
                    cause=exc,
                    exc_info=True,
                    shard=self._shard.name,
                )
                self._beat_at = time.monotonic() + BEAT
            if layer.is_closed and not self._has_nudge:
                return

    def _work(self) -> None:
        self._run_posted()
        if self._has_nudge:
            self._has_nudge = False
            key = self._shard.reader.nudge_key
            self._shard.pipe.call([command("RPUSH", key, 1), command("PEXPIRE", key, 10_000)])
        for _ in range(len(self._jobs)):
            self._jobs.popleft()()
        if time.monotonic() >= self._beat_at and not self._shard.layer.is_closed:
            self._beat_at = time.monotonic() + BEAT
            self._beat()

    def _run_posted(self) -> None:
        posted = [self._posted.popleft() for _ in range(len(self._posted))]
        if not posted:
            return
        try:
            replies = self._shard.pipe.call([request for request, _ in posted])
        except ChannelLayerUnavailable as exc:
            replies = [exc] * len(posted)
        for (_, done), reply in zip(posted, replies, strict=True):
            done(reply)

    def _beat(self) -> None:
        shard = self._shard
        layer = shard.layer
        reply = self._tell()
        if not isinstance(reply, list):
            return  # out of memory: nobody else can beat either
        is_known, orphans = reply
        if self._was_known and not is_known:
            self._announcements = ANNOUNCEMENTS
        self._was_known = True
        if self._announcements:
            layer.announce()
            self._announcements -= 1
        for at in range(0, len(orphans), 2):
            layer.bury(shard, orphans[at], orphans[at + 1].decode())
        layer.give_back_unwanted(shard)
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP
            layer.fetch_changes(shard)
            if layer.sweep(shard, SWEEP_SIZE) == SWEEP_SIZE:
                self._sweep_at = 0.0

    def _tell(self) -> Any:
        """Say that this process lives and what it reads; return what beat.lua does of others."""
        shard = self._shard
        layer = shard.layer
        begun = sorted(shard.begun)
        waiting = sorted(shard.lost.intersection(shard.listened))
        readers = [*begun, *sorted(shard.claimed.difference(begun)), *waiting]
        tokens = [layer.token(reader) for reader in readers]
        keys = (shard.keys.processes, shard.keys.owners, shard.keys.flushed)
        beat = SCRIPTS.beat.call(keys, layer.process, LIFE, len(begun), *tokens)
        try:
            [reply] = shard.pipe.call([beat])
        except ChannelLayerUnavailable:
            self._was_known = True  # it may have arrived; who is not known then was forgotten
            raise
        if not isinstance(reply, list):
            return reply
        shard.begun.difference_update(begun)
        *rest, taken, flushed = reply
        if flushed and self.flushed not in (None, flushed):
            layer.forget_members()
        self.flushed = flushed
        lost = {readers[tokens.index(token.decode())] for token in taken}
        for reader in lost.intersection(shard.claimed):
            layer.lose_reader(shard, reader)
        for reader in set(waiting).difference(lost):
            # Whoever took it over is gone.
            shard.regain(reader)
            shard.reader.look_again()
        return rest
