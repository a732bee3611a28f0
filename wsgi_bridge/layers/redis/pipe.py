"""Everybody's commands to one shard, in one pipeline, and what happens when the connection breaks.

Who calls first sends; who calls while those replies are under way waits, and one of them then sends
for all. So one caller alone has a round trip of its own and no delay, and a hundred greenlets of
one loop tick share two.

A call fails with ChannelLayerUnavailable, at once where the server is known to be down: it is then
tried again at times that grow apart, by whoever calls. Nothing is sent again but what Redis said it
did not run.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.concurrency import is_cooperative, native_lock
from wsgi_bridge.layers.redis.connection import Command, Link, LinkLost
from wsgi_bridge.layers.redis.merge import Merged
from wsgi_bridge.layers.redis.scripts import SCRIPTS

__all__ = ["Health", "Pipe", "is_displaced"]

#: Seconds between the first attempts to connect again, and the longest: the first is of the order
#: of a restart of Redis, the last a compromise between log noise and noticing.
FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0

#: Attempts at commands that a cluster is about to move elsewhere, and seconds between them. The
#: nodes tell one another once a second who has a slot, and send us to and fro until all know.
MOVES = 30
MOVE_DELAY = 0.1

#: Errors that say "not here": nothing was run, and the shard has to be looked for again.
_DISPLACED = (AskError, ClusterDownError, MovedError, ReadOnlyError, TryAgainError)
_DISPLACED_CODES = frozenset(("ASK", "CLUSTERDOWN", "MASTERDOWN", "MOVED", "TRYAGAIN"))


def is_displaced(reply: object) -> bool:
    """Whether an error reply says that the shard is elsewhere, or on its way."""
    if isinstance(reply, _DISPLACED):
        return True
    # Older versions of redis-py know the errors of a cluster on its own connections only.
    return isinstance(reply, ResponseError) and str(reply).split(" ")[0] in _DISPLACED_CODES


class Health:
    """Whether a shard can be reached, and when it is tried again.

    `changed` is called with False when it is lost, and with True when it is found again.
    """

    def __init__(self, changed: Callable[[bool], None]) -> None:
        self.is_down = False
        self._failures = 0
        self._retry_at = 0.0
        self._changed = changed

    def check(self) -> None:
        """Raise ChannelLayerUnavailable if it is not time to try yet."""
        if self.is_down and time.monotonic() < self._retry_at:
            raise ChannelLayerUnavailable("Redis cannot be reached")

    def delay(self) -> float:
        """Return the seconds until it may be tried."""
        return max(0.0, self._retry_at - time.monotonic()) if self.is_down else 0.0

    def lost(self) -> None:
        """It could not be reached."""
        longest = min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY)
        self._failures = min(self._failures + 1, 16)
        # Jitter: a hundred processes noticed the same restart at the same moment.
        self._retry_at = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311
        if not self.is_down:
            self.is_down = True
            self._changed(False)

    def found(self) -> None:
        """It answers."""
        self._failures = 0
        if self.is_down:
            self.is_down = False
            self._changed(True)


class _Request:
    """What one caller wants sent, and where it waits."""

    __slots__ = ("commands", "error", "leads", "lock", "replies")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.replies: list[Any] = []
        self.error: ChannelLayerUnavailable | None = None
        self.leads = False
        self.lock: Any = None

    def outcome(self) -> list[Any]:
        if self.error is not None:
            # One of its own for each caller: a traceback grows with every raise.
            raise ChannelLayerUnavailable(str(self.error)) from self.error
        return self.replies


class Pipe:
    """The commands of one shard. `connect` returns a new Link; `locate` looks for the shard again.

    Safe to use from any thread or greenlet.
    """

    def __init__(
        self, connect: Callable[[], Link], locate: Callable[[], None], health: Health
    ) -> None:
        self._connect = connect
        self._locate = locate
        self._health = health
        self._lock = native_lock()
        self._pending: list[_Request] = []
        self._is_busy = False
        self._link: Link | None = None

    def call(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands and return their replies, error replies as ResponseError.

        Blocks for a round trip. Raises ChannelLayerUnavailable.
        """
        request = _Request(commands)
        with self._lock:
            self._pending.append(request)
            request.leads = not self._is_busy
            self._is_busy = True
            if not request.leads:
                request.lock = threading.Lock()
                request.lock.acquire()
        if not request.leads:
            self._wait(request)
        if request.leads:
            self._lead(request)
        return request.outcome()

    def _wait(self, request: _Request) -> None:
        is_woken = False
        try:
            is_woken = request.lock.acquire()
        finally:
            if not is_woken:  # killed while it waited: nobody may rely on it
                self._withdraw(request)

    def _yield(self, request: _Request) -> None:
        """Let the other greenlets run: what they send in this tick of the loop goes along."""
        is_alive = False
        try:
            time.sleep(0)
            is_alive = True
        finally:
            if not is_alive:
                self._withdraw(request)

    def _withdraw(self, request: _Request) -> None:
        with self._lock:
            if request in self._pending:
                self._pending.remove(request)
            if not request.leads:
                return
        self._pass_on()

    def _pass_on(self) -> None:
        """Have the next one send, if there is one."""
        with self._lock:
            if not self._pending:
                self._is_busy = False
                return
            following = self._pending[0]
            following.leads = True
        following.lock.release()

    def _lead(self, request: _Request) -> None:
        if is_cooperative():
            self._yield(request)
        with self._lock:
            batch, self._pending = self._pending, []
        error: ChannelLayerUnavailable | None = LinkLost("the sender was interrupted")
        try:
            merged = Merged([each for request in batch for each in request.commands])
            replies = merged.spread(self._run(merged.commands))
            error = None
        except ChannelLayerUnavailable as exc:
            error = exc
        finally:
            if error is None:
                _distribute(batch, replies)
            else:
                self._fail(batch, error)
            for request in batch:
                if request.lock is not None and not request.leads:
                    request.lock.release()
            self._pass_on()

    def _fail(self, batch: list[_Request], error: ChannelLayerUnavailable) -> None:
        if isinstance(error, LinkLost):
            self.drop()
        for request in batch:
            request.error = error

    def _run(self, commands: list[Command]) -> list[Any]:
        replies = self._ready().exchange(commands)
        for attempt in range(MOVES):
            again = [
                at
                for at, reply in enumerate(replies)
                if isinstance(reply, ResponseError) and self._can_repeat(reply, commands[at])
            ]
            if not again:
                break
            if is_displaced(replies[again[0]]):
                self._look_elsewhere(replies[again[0]], attempt)
            repeated = self._ready().exchange([commands[at] for at in again])
            for at, reply in zip(again, repeated, strict=True):
                replies[at] = reply
        self._health.found()
        return replies

    def _can_repeat(self, reply: ResponseError, command: Command) -> bool:
        """Whether Redis did not run the command, and may now."""
        if isinstance(reply, NoScriptError) and command.script is not None:
            self._ready().exchange([command.script.load])
            return True
        return is_displaced(reply)

    def _look_elsewhere(self, reply: ResponseError, attempt: int) -> None:
        self.drop()
        if isinstance(reply, ReadOnlyError) and attempt:
            # The same replica again: nobody has been promoted yet.
            self._health.lost()
            raise ChannelLayerUnavailable(f"Redis is a replica: {reply}") from reply
        if attempt:
            time.sleep(MOVE_DELAY)
        if attempt + 1 == MOVES:
            self._health.lost()
            raise ChannelLayerUnavailable(f"the shard is being moved: {reply}") from reply
        self._locate()

    def _ready(self) -> Link:
        """Return the connection, made again if it was closed meanwhile."""
        link = self._link
        if link is not None and not link.is_stale():
            return link
        if link is not None:
            self.drop()
        self._health.check()
        try:
            link = self._connect()
            link.exchange([script.load for script in SCRIPTS.all()])
        except LinkLost:
            self._health.lost()
            raise
        self._link = link
        return link

    def close(self) -> None:
        """Hang up, unless somebody is using the connection: that one finds the layer closed."""
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
        self.drop()
        self._pass_on()

    def drop(self) -> None:
        """Hang up; the next call connects again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()


def _distribute(batch: list[_Request], replies: list[Any]) -> None:
    start = 0
    for request in batch:
        end = start + len(request.commands)
        request.replies = replies[start:end]
        start = end
