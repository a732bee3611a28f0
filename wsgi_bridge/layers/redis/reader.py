"""Reader: the one blocking receive of this process on a shard.

A thread (a greenlet, where gevent has patched threading) that waits in one `BLMPOP` for every
channel that somebody here has demand for, and takes as many messages at once as the demand allows.
Servers before 7.0 have no BLMPOP: `BLPOP` then takes the first one, and `LPOP` the rest with it.

What it waits for changes while it waits: it is then nudged, by an entry in a list of its own that
it waits for as well. A nudge cannot be missed, as `CLIENT UNBLOCK` could.
"""

from __future__ import annotations

import _thread
import logging
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from wsgi_bridge.events.layers import REDIS_THREAD_FAILED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import _Waiter
from wsgi_bridge.layers.redis.connection import Command, Link, LinkLost, command
from wsgi_bridge.layers.redis.pipe import is_displaced

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.inbox import LocalQueue
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["Reader"]

logger = logging.getLogger(__name__)

#: Seconds that one blocking receive lasts: how late a dead connection that nobody closed is found.
BLOCK = 5

#: Messages taken at once, at most. More would delay the first of them for the last.
BATCH = 256


class Reader:
    """The receiving thread of a shard; it runs while there is something to wait for."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._link: Link | None = None
        self._has_blmpop = True
        self._is_started = False
        self._parked = _Waiter()
        self._waiting: list[_Waiter] = []
        #: Names of the channels that it waits for in Redis at this moment, None if it does not.
        self.blocked: frozenset[str] | None = None
        #: How often it has waited.
        self.turns = 0

    @property
    def nudge_key(self) -> bytes:
        """The list that wakes it."""
        return self._shard.keys.key("nudge", self._shard.layer.process)

    def start(self) -> None:
        """Have the thread run. Does not block."""
        with self._shard.layer.inbox.lock:
            if self._is_started:
                return
            self._is_started = True
        # Not threading.Thread: its start waits, and the hub of gevent may not. Looked up now, so
        # that it is a greenlet where gevent has patched it.
        _thread.start_new_thread(self._run, ())

    def look_again(self) -> None:
        """Consider what is to be waited for. Does not block; any thread may call."""
        shard = self._shard
        with shard.layer.inbox.lock:
            blocked = self.blocked
            if blocked is None:
                self._parked.wake()
                return
            wanted, _ = shard.layer.inbox.wanted(shard)
            names = {queue.name for queue in wanted}
            is_stale = bool(names - blocked) or any(
                name not in shard.listened and "!" not in name for name in blocked
            )
        if is_stale or shard.layer.is_closed:
            shard.keeper.nudge()

    def release(self, names: set[str]) -> None:
        """Return when it does not wait for `names`, and all that it took of them is in the inbox.

        Blocks for a round trip or two if it does.
        """
        waiter = _Waiter()
        with self._shard.layer.inbox.lock:
            if self.blocked is None or not names & self.blocked:
                return
            self._waiting.append(waiter)
        self._shard.keeper.nudge()
        waiter.wait(self._shard.timeout)

    # The thread.

    def _run(self) -> None:
        layer = self._shard.layer
        mine = layer.process
        while not layer.is_closed and layer.process == mine:
            try:
                self._receive()
            except ChannelLayerUnavailable:
                self._parked.wait(self._shard.health.delay() or 0.01)
            except Exception as exc:
                REDIS_THREAD_FAILED.log(
                    logger,
                    "the receiving thread of %(shard)s failed",
                    cause=exc,
                    exc_info=True,
                    shard=self._shard.name,
                )
                self._hang_up()
                self._parked.wait(1.0)
        self._hang_up()

    def _receive(self) -> None:
        shard = self._shard
        inbox = shard.layer.inbox
        with inbox.lock:
            queues, count = inbox.wanted(shard)
            if queues and self._link is not None:
                self.blocked = frozenset([queue.name for queue in queues])
        if not queues:
            self._parked.wait(None)
        elif self._link is None:
            self._link = self._connect()
        else:
            try:
                self._wait_for(queues, min(count, BATCH))
            except LinkLost:
                self._hang_up()
                raise
            finally:
                self._unblock()

    def _connect(self) -> Link:
        health = self._shard.health
        health.check()
        try:
            link = self._shard.place.connect(BLOCK + self._shard.timeout)
        except LinkLost:
            health.lost()
            raise
        health.found()
        return link

    def _unblock(self) -> None:
        with self._shard.layer.inbox.lock:
            self.blocked = None
            self.turns += 1
            waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.wake()

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    # One blocking receive.

    def _wait_for(self, queues: list[LocalQueue], count: int) -> None:
        assert self._link is not None
        layer = self._shard.layer
        wakes = {queue.keys.wake: queue for queue in queues if "!" in queue.name}
        by_key = {queue.keys.queue: queue for queue in queues}
        self._link.send([self._command([self.nudge_key, *wakes, *by_key], count)])
        reply = self._link.read()
        if isinstance(reply, ResponseError):
            self._refused(reply)
        elif reply is not None and reply[0] in by_key:
            queue = by_key[reply[0]]
            layer.arrived(queue, self._entries(queue, reply, count))
        elif reply is not None and reply[0] in wakes:
            layer.woken(wakes[reply[0]])

    def _command(self, keys: list[bytes], count: int) -> Command:
        if self._has_blmpop:
            return command(b"BLMPOP", BLOCK, len(keys), *keys, b"LEFT", b"COUNT", count)
        return command(b"BLPOP", *keys, BLOCK)

    def _entries(self, queue: LocalQueue, reply: Any, count: int) -> list[bytes]:
        if self._has_blmpop:
            entries: list[bytes] = reply[1]
            return entries
        assert self._link is not None
        if count == 1:
            return [reply[1]]
        [rest] = self._link.exchange([command(b"LPOP", queue.keys.queue, count - 1)])
        return [reply[1], *(rest if isinstance(rest, list) else ())]

    def _refused(self, reply: ResponseError) -> None:
        """Take an error reply for what it is."""
        text = str(reply).lower()
        if "unknown command" in text and self._has_blmpop:
            self._has_blmpop = False
        elif is_displaced(reply) or text.startswith("unblocked"):
            # A slot that moved, or a master that was demoted under us.
            self._shard.place.locate()
            raise LinkLost(f"the shard is elsewhere: {reply}") from reply
        else:
            self._shard.health.lost()
            raise LinkLost(f"Redis refused to wait: {reply}") from reply
