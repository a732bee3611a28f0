"""What this process has taken off Redis and nobody has received yet, and how much more it wants.

A queue here is fed in two ways. Where somebody listens, by the shard's Reader, as long as there is
demand: a receive that got less than it asked for has demand for the rest, shared by the channels
that it named. So a process never holds more than its receivers asked for, and a busy one leaves the
messages in Redis to its siblings. Where nobody listens, by the receive itself.

Plain data behind one lock, never held while a wake is called.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wsgi_bridge.copying import copy_trusted
from wsgi_bridge.layers.base import Batch, Listener
from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.queue import Names, Wake

if TYPE_CHECKING:
    from wsgi_bridge.layers.redis.keys import ChannelKeys
    from wsgi_bridge.layers.redis.shard import Shard

__all__ = ["Demand", "Inbox", "InboxListener", "Local", "LocalQueue"]

#: (deadline, whom it is for, message)
Local = tuple[float, Names, dict[str, Any]]

#: Seconds that a receive may take from the reply of Redis until it has its messages, with other
#: threads in between.
FETCHING = 0.5

#: Queues that are open before those that nobody uses are forgotten.
SWEEP_SIZE = 1024


class Demand:
    """How many messages a receiver still wants, of all the channels that it named."""

    __slots__ = ("remaining",)

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining


class LocalQueue:
    """The messages of one reader in this process, oldest first."""

    __slots__ = (
        *("capacity", "demand", "entries", "full_until", "is_normal", "keys", "name", "shard"),
        *("added_at", "seen_turn", "turn", "wakes"),
    )

    def __init__(self, name: str, shard: Shard, keys: ChannelKeys, capacity: int) -> None:
        self.name = name
        self.capacity = capacity
        self.shard = shard
        self.keys = keys
        self.is_normal = "!" not in name and "?" not in name
        self.entries: deque[Local] = deque()
        self.wakes: tuple[Wake, ...] = ()
        self.demand = Demand(0)
        self.full_until = 0.0  # monotonic time until which senders that cannot wait are refused
        self.turn = 0  # the inbox's turn when it was last served
        self.added_at = 0.0  # monotonic time when a receive last fetched something itself
        self.seen_turn = 0  # that of the last look for what nobody asks for


class Inbox:
    """The queues of this process. `open_queue` makes one, and checks its name."""

    def __init__(self, open_queue: Callable[[str], LocalQueue]) -> None:
        self.lock = native_lock()
        self._open_queue = open_queue
        self._queues: dict[str, LocalQueue] = {}
        self._sweep_size = SWEEP_SIZE
        self._turn = 0

    def queue(self, name: str) -> LocalQueue:
        """Return the queue of a reader, opened if need be. Raises InvalidName."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._open_queue(name)
            with self.lock:
                if len(self._queues) >= self._sweep_size:
                    self._sweep()
                queue = self._queues.setdefault(name, queue)
        return queue

    def _sweep(self) -> None:
        for queue in list(self._queues.values()):
            if not queue.entries and not queue.wakes and queue.demand.remaining <= 0:
                del self._queues[queue.name]
        # In proportion to what is in use, so that sweeping costs each opened queue the same.
        self._sweep_size = max(SWEEP_SIZE, 2 * len(self._queues))

    def drain(
        self,
        queues: Sequence[LocalQueue],
        batch: Batch,
        limit: int,
        now: float,
        compact: bool,
    ) -> list[tuple[LocalQueue, Names]]:
        """Move messages to `batch` until it has `limit`; return whom the expired ones were for."""
        expired: list[tuple[LocalQueue, Names]] = []
        with self.lock:
            ready = [queue for queue in queues if queue.entries]
            while ready and len(batch) < limit:
                if len(ready) > 1:
                    ready.sort(key=lambda queue: queue.turn)
                share = max(1, (limit - len(batch)) // len(ready))
                for queue in ready:
                    self._turn += 1
                    queue.turn = self._turn
                    size = min(len(batch) + share, limit)
                    expired += [
                        (queue, names) for names in _drain(queue, batch, size, now, compact)
                    ]
                ready = [queue for queue in ready if queue.entries]
        return expired

    def feed(self, queue: LocalQueue, entries: Iterable[Local], taken: int) -> bool:
        """Add messages that were taken off Redis; False if nobody listens any more.

        `taken` is what they fulfil of the demand.
        """
        with self.lock:
            queue.demand.remaining -= taken
            self._turn += 1
            queue.turn = self._turn
            wakes = queue.wakes
            if not wakes and queue.is_normal:
                return False
            queue.entries.extend(entries)
        for wake in wakes:
            wake()
        return True

    def add(self, queue: LocalQueue, entries: Iterable[Local]) -> None:
        """Add messages for the receive that took them off Redis."""
        with self.lock:
            queue.added_at = time.monotonic()
            queue.entries.extend(entries)

    def unwanted(self, shard: Shard, *, at_once: bool) -> list[tuple[LocalQueue, list[Local]]]:
        """Remove and return what others may have, since who it was fetched for has gone.

        What a later receive here would find at its hand stays until the second look without one,
        unless `at_once`; and what a receive has just fetched stays for that, however often somebody
        looks meanwhile.
        """
        found = []
        before = time.monotonic() - FETCHING
        with self.lock:
            for queue in self._queues.values():
                if queue.shard is not shard or not queue.entries:
                    continue
                if queue.wakes or not queue.is_normal:
                    continue
                if queue.added_at > before and not at_once:
                    continue
                if at_once or queue.seen_turn == queue.turn:
                    found.append((queue, list(queue.entries)))
                    queue.entries.clear()
                queue.seen_turn = queue.turn
        return found

    def served(self, queues: Iterable[LocalQueue]) -> None:
        """Remember who was asked, in that order."""
        with self.lock:
            for queue in queues:
                self._turn += 1
                queue.turn = self._turn

    def want(self, queues: Sequence[LocalQueue], number: int) -> None:
        """Have up to `number` messages of these queues together fetched."""
        demand = Demand(number)
        for queue in queues:
            queue.demand = demand

    def wanted(self, shard: Shard) -> tuple[list[LocalQueue], int]:
        """Return what the reader of a shard is to wait for, and how many it may take at once.

        To be called with the lock held.
        """
        queues = [
            queue
            for queue in shard.listened.values()
            if queue.demand.remaining > 0 and queue.name not in shard.lost
        ]
        queues.sort(key=lambda queue: queue.turn)
        return queues, min((queue.demand.remaining for queue in queues), default=0)

    def listen(self, names: Sequence[str], wake: Wake) -> InboxListener:
        """Have `wake` called whenever one of these queues is fed."""
        queues = [self.queue(name) for name in names]
        with self.lock:
            for queue in queues:
                queue.wakes = (*queue.wakes, wake)
                queue.shard.listened[queue.name] = queue
                if queue.demand.remaining <= 0:
                    queue.demand = Demand(1)
        return InboxListener(self, queues, wake)

    def unlisten(self, queues: Sequence[LocalQueue], wake: Wake) -> None:
        """End that."""
        with self.lock:
            for queue in queues:
                kept = list(queue.wakes)
                kept.remove(wake)
                queue.wakes = tuple(kept)
                if not kept:
                    queue.demand = Demand(0)
                    queue.shard.listened.pop(queue.name, None)
        for shard in {queue.shard for queue in queues}:
            shard.reader.look_again()

    def wake_all(self, shard: Shard | None = None) -> None:
        """Call every wake, of one shard or all: they have to see for themselves."""
        with self.lock:
            queues = [each for each in self._queues.values() if shard in (None, each.shard)]
            wakes = [wake for queue in queues for wake in queue.wakes]
        for wake in wakes:
            wake()

    def clear(self) -> None:
        """Drop every message."""
        with self.lock:
            for queue in self._queues.values():
                queue.entries.clear()


def _drain(queue: LocalQueue, batch: Batch, size: int, now: float, compact: bool) -> list[Names]:
    """Move what is not expired to `batch`; return whom the rest was for."""
    entries = queue.entries
    expired: list[Names] = []
    while entries and len(batch) < size:
        deadline, names, message = entries.popleft()
        if deadline <= now:
            expired.append(names)
        elif compact or isinstance(names, str):
            batch.append((names, message))
        else:
            room = size - len(batch)
            if len(names) > room:
                entries.appendleft((deadline, names[room:], copy_trusted(message)))
            batch.append((names[0], message))
            batch.extend((name, copy_trusted(message)) for name in names[1:room])
    return expired


class InboxListener(Listener):
    """What `listen` returns."""

    def __init__(self, inbox: Inbox, queues: list[LocalQueue], wake: Wake) -> None:
        self._inbox = inbox
        self._queues = queues
        self._wake = wake

    def close(self) -> None:
        """End the registration."""
        queues, self._queues = self._queues, []
        self._inbox.unlisten(queues, self._wake)
