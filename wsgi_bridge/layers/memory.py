"""The channel layer of one process: queues in memory, behind one lock.

It keeps the whole contract of `layers.base`, and is fast enough to carry every request of a process
that is protocol server and worker at once. It is not shared: a forked child starts empty.

- One native lock, a real one even where gevent has patched threading: it is held for microseconds,
  never across a wake or a switch, so no greenlet could ever wait for it. It is re-entrant, because
  the garbage collector may run in any allocation under it, and a finalizer (a generator's
  `finally`) may well call `group_discard`.
- `offer` and `_take` are the hot path, and written out flat for that reason.
- Expired messages are dropped where they are met: at a take, at capacity, when groups or figures
  are asked for, and by a sweep of idle queues when new ones are opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar
from urllib.parse import SplitResult

from wsgi_bridge.copying import copy_message, copy_trusted
from wsgi_bridge.events.layers import LAYER_GROUP_FULL
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer, Batch, Listener, _Result
from wsgi_bridge.layers.concurrency import native_lock, reset_after_fork
from wsgi_bridge.layers.membership import Groups
from wsgi_bridge.layers.queue import NO_ROOM, ROOM, Names, Queue, Room, Wake, sum_statistics
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics
from wsgi_bridge.layers.storage import MemoryStorage
from wsgi_bridge.names import check_channel, check_group, check_reader, reader_of

__all__ = ["MemoryLayer"]

logger = logging.getLogger(__name__)

#: Queues that are open before idle ones are first looked for. Above any number of channels that an
#: application names, below what the single-reader ones of uploads would cost in memory.
SWEEP_SIZE = 1024

_named: dict[str, MemoryLayer] = {}


class MemoryLayer(BaseLayer):
    """A channel layer in the memory of this process; safe to use from any thread or greenlet."""

    extensions = (*BaseLayer.extensions, "introspection", "storage")

    #: `strict=1` has what is handed over checked and copied too, as a layer with a wire does: for
    #: tests of protocol servers and of layers' users.
    url_options: ClassVar = {**BaseLayer.url_options, "strict": lambda text: bool(int(text))}

    def __init__(self, *, strict: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._room_of: Callable[[str], Room] = (lambda _: NO_ROOM) if strict else (lambda _: ROOM)
        self._strict = strict
        self._lock = native_lock()
        self._queues: dict[str, Queue] = {}
        self._groups = Groups(self.group_expiry)
        self._retired = Queue("", 0)  # holds the counts of queues that were swept
        self._turn = 0
        self._sweep_size = SWEEP_SIZE
        self._closed = False
        self._storage = MemoryStorage(self)
        #: Called with whom a message was for that has expired; under the lock, so that it may not
        #: use a layer. For who keeps memberships elsewhere.
        self.on_expired: Callable[[Names], object] | None = None
        reset_after_fork(self, MemoryLayer._reset)

    def _reset(self) -> None:
        """Start empty: in a forked child, where the lock may be held by a thread of the parent.

        What waited at the fork is the parent's to deliver; here it would be delivered twice.
        """
        self._lock = native_lock()
        self._queues = {}
        self._groups.clear()
        self._storage.clear()

    @classmethod
    def from_url(cls, url: SplitResult, **options: Any) -> MemoryLayer:
        """Return a new layer, or that of the same name in this process until it is closed.

        The options of whoever opens a name first hold for all.
        """
        name = url.netloc + url.path
        if not name:
            return cls(**options)
        layer = _named.get(name)
        if layer is None or layer._closed:
            layer = _named[name] = cls(**options)
        return layer

    # Sending and receiving.

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on `channel`; see BaseLayer."""
        if channel not in self._queues:  # those names have been checked
            check_channel(channel)
        copied = copy_message(message, self.max_message_size)
        self.hand_over(channel, copied)

    def hand_over(self, channel: str, message: dict[str, Any]) -> None:
        """Put `message` itself on `channel`; see BaseLayer."""
        if not self.offer(channel, message):
            self._put(channel, message)

    def offer(self, channel: str, message: dict[str, Any]) -> bool:
        """Put `message` itself on a channel with room; whether that is so. Hot path.

        There is room up to the capacity, unless somebody decides: see `guard`. A channel that has
        no queue yet has none.
        """
        queues = self._queues
        now = self.clock()
        with self._lock:
            queue = queues.get(channel) or queues.get(channel[: channel.find("!") + 1])
            if queue is None:
                return False
            entries = queue.entries
            if len(entries) >= queue.room and not self._is_fresh(queue, now):
                return False
            entries.append((now + self.expiry, channel, message))
            sent = queue.sent
            if now >= sent.next_mark:
                sent.mark(now)
            sent.total += 1
            wakes = queue.wakes
        for wake in wakes:
            wake()
        return True

    def _put(self, channel: str, message: dict[str, Any]) -> None:
        """Put a message up to the capacity; raise ChannelFull past it."""
        if self._strict:
            check_channel(channel)
            message = copy_message(message, self.max_message_size)
        now = self.clock()
        with self._lock:
            queue = self._queue_with_room(reader_of(channel), now)
            if queue is None:
                raise ChannelFull(channel)
            queue.entries.append((now + self.expiry, channel, message))
            queue.sent.add(now)
            wakes = queue.wakes
        for wake in wakes:
            wake()

    def _is_fresh(self, queue: Queue, now: float) -> bool:
        """Whether more than the room of a queue may wait: nothing has waited for long."""
        entries = queue.entries
        if not queue.patience or not entries or len(entries) >= queue.capacity:
            return False
        return now - entries[0][0] + self.expiry < queue.patience

    def guard(self, room_of: Callable[[str], Room]) -> None:
        """Have `room_of(reader)` say, when a queue is opened, what `offer` may put there.

        It is called under the lock, so that it may not use a layer; `set_room` is for later.
        """
        with self._lock:
            self._room_of = room_of
            for queue in self._queues.values():
                queue.give_room(room_of(queue.name))

    def set_room(self, reader: str, room: Room) -> None:
        """Say what `offer` may put for a reader from now on."""
        with self._lock:
            queue = self._queues.get(reader)
            if queue is not None:
                queue.give_room(room)

    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        now = self.clock()
        queues = self._queues
        batch: Batch = []
        with self._lock:
            ready = []
            for channel in channels:
                queue = queues.get(channel) or self._open_reader(channel, now)
                if queue.entries:
                    ready.append(queue)
            while ready:
                # The one that was served longest ago goes first, and all have an equal share of
                # what is left of the limit.
                if len(ready) > 1:
                    ready.sort(key=_turn_of)
                share = max(1, (limit - len(batch)) // len(ready))
                for queue in ready:
                    if len(batch) >= limit:
                        return batch
                    self._turn += 1
                    queue.turn = self._turn
                    self._drain(queue, batch, min(len(batch) + share, limit), now, compact)
                ready = [queue for queue in ready if queue.entries]
        return batch

    def _drain(self, queue: Queue, batch: Batch, size: int, now: float, compact: bool) -> None:
        """Move what is not expired to `batch`, until it has `size` messages."""
        entries = queue.entries
        queue.losing = False
        while entries and len(batch) < size:
            deadline, names, message = entries.popleft()
            if deadline <= now:
                self._expire(queue, names)
            elif compact or isinstance(names, str):
                batch.append((names, message))
            else:
                room = size - len(batch)
                if len(names) > room:
                    entries.appendleft((deadline, names[room:], copy_trusted(message)))
                batch.append((names[0], message))
                batch.extend((name, copy_trusted(message)) for name in names[1:room])

    def listen(self, channels: Sequence[str], wake: Wake) -> _Listener:
        """Have `wake()` called at every message put on `channels`; see BaseLayer."""
        now = self.clock()
        with self._lock:
            queues = [self._queues.get(name) or self._open_reader(name, now) for name in channels]
            for queue in queues:
                queue.wakes = (*queue.wakes, wake)
        return _Listener(self, queues, wake)

    def pending(self, reader: str) -> int:
        """Return how many messages wait for a reader, expired ones perhaps included. Hot path."""
        queue = self._queues.get(reader)
        return 0 if queue is None else len(queue.entries)

    def age(self, reader: str) -> float:
        """Return for how many seconds the oldest message of a reader has waited. Hot path."""
        try:
            deadline = self._queues[reader].entries[0][0]
        except LookupError:  # without the lock, it may just be taken
            return 0.0
        return self.clock() - deadline + self.expiry

    def wakes_of(self, reader: str) -> tuple[Wake, ...]:
        """Return the wakes of those who listen on a reader."""
        queue = self._queues.get(reader)
        return () if queue is None else queue.wakes

    # Groups.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        with self._lock:
            self._check_open()
            self._groups.add(group, channel, self.clock())

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        with self._lock:
            self._check_open()
            self._groups.discard(group, channel)

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`; see BaseLayer."""
        check_channel(channel)
        now = self.clock()
        with self._lock:
            self._groups.leave(reader_of(channel), (channel,))
            self._storage.forget(channel, now)

    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`; see BaseLayer."""
        check_group(group)
        now = self.clock()
        with self._lock:
            self._check_open()
            readers = self._live_readers(group, now)
            return [name for reader in readers for name in self._groups.names(group, reader, now)]

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`; see BaseLayer."""
        check_group(group)
        copied = copy_message(message, self.max_message_size)
        self._send_to_members(group, lambda: copied)

    def _send_to_members(self, group: str, make: Callable[[], dict[str, Any]]) -> None:
        """Put what `make` returns on every member; it is called in the step that puts it."""
        now = self.clock()
        wakes: list[Wake] = []
        lost: list[tuple[str, int]] = []
        with self._lock:
            self._check_open()
            copied = make()
            for position, reader in enumerate(self._live_readers(group, now)):
                names = self._groups.names(group, reader, now)
                queue = self._queues.get(reader) or self._open(reader, now)
                # Each receiver may change what it got: only one of them gets this very dict.
                content = copy_trusted(copied) if position else copied
                if names and not self._post(queue, names, content, now):
                    lost.append((reader, len(names)))
                wakes.extend(queue.wakes)
        for wake in wakes:
            wake()
        for reader, count in lost:
            LAYER_GROUP_FULL.log(
                logger,
                "a message to group %(group)s is lost for %(members)d members: channel "
                "%(channel)s is at capacity",
                cause="capacity",
                group=group,
                members=count,
                channel=reader,
            )

    def _post(
        self, queue: Queue, names: tuple[str, ...], message: dict[str, Any], now: float
    ) -> bool:
        """Put a group message on a queue; False when a burst of losses begins with this one."""
        if len(queue.entries) >= queue.capacity:
            queue.lost += len(names)
            begun, queue.losing = queue.losing, True
            return begun
        specific = queue.name.endswith("!")
        queue.entries.append((now + self.expiry, names if specific else names[0], message))
        queue.sent.add(now)
        return True

    def _live_readers(self, group: str, now: float) -> list[str]:
        """Return the readers of a group's members, after what expired in their queues has left."""
        readers = self._groups.readers(group)
        for reader in readers:
            queue = self._queues.get(reader)
            if queue is not None:
                self._purge(queue, now)
        return self._groups.readers(group)

    def drop_expired(self, reader: str) -> None:
        """Drop what has expired in the queue of a reader."""
        queue = self._queues.get(reader)
        if queue is not None and queue.entries:
            with self._lock:
                self._purge(queue, self.clock())

    # Expiry. All of these are called with the lock held.

    def _purge(self, queue: Queue, now: float) -> bool:
        """Drop the expired messages at the head of a queue; True if there were any."""
        entries = queue.entries
        before = len(entries)
        while entries and entries[0][0] <= now:
            self._expire(queue, entries.popleft()[1])
        return len(entries) < before

    def _expire(self, queue: Queue, names: Names) -> None:
        queue.expired += 1
        # Whoever let a message expire is taken for gone.
        channels = (names,) if isinstance(names, str) else names
        self._groups.leave(queue.name, channels)
        for channel in channels:
            self._storage.forget(channel, self.clock())
        if self.on_expired is not None:
            self.on_expired(names)

    def _open(self, reader: str, now: float) -> Queue:
        self._check_open()
        if len(self._queues) >= self._sweep_size:
            self._sweep(now)
        queue = self._queues[reader] = Queue(reader, self.capacity_of(reader))
        queue.give_room(self._room_of(reader))
        return queue

    def _queue_with_room(self, reader: str, now: float) -> Queue | None:
        """Return the queue of a reader; None, which is counted, if it is at capacity."""
        queue = self._queues.get(reader) or self._open(reader, now)
        if len(queue.entries) < queue.capacity or self._purge(queue, now):
            return queue
        queue.full.add(now)
        return None

    def _open_reader(self, channel: str, now: float) -> Queue:
        check_reader(channel)
        return self._open(channel, now)

    def _sweep(self, now: float) -> None:
        """Forget the queues that are empty, unlistened and quiet; keep their counts."""
        for queue in list(self._queues.values()):
            self._purge(queue, now)
            if queue.is_idle(now):
                self._retired.add_counts(queue)
                self._queues.pop(queue.name, None)
        # In proportion to what is in use, so that sweeping costs each opened queue the same.
        self._sweep_size = max(SWEEP_SIZE, 2 * len(self._queues))

    # Storage.

    @property
    def storage(self) -> MemoryStorage:
        """Values, scheduled messages, logs and presence, for as long as this layer lives."""
        return self._storage

    # Statistics.

    def global_statistics(self) -> Statistics:
        """Return the figures of all channels, those that were swept included."""
        with self._lock:
            return self._statistics([self._retired, *self._queues.values()])

    def channel_statistics(self, channel: str) -> Statistics:
        """Return the figures of one channel, since it was last idle and swept."""
        check_channel(channel)
        with self._lock:
            queue = self._queues.get(reader_of(channel))
            return self._statistics([] if queue is None else [queue])

    def statistics_by_channel(self) -> dict[str, Statistics]:
        """Return the figures of every channel with messages or a count; see BaseLayer."""
        with self._lock:
            found = {queue.name: self._statistics([queue]) for queue in list(self._queues.values())}
        return {name: figures for name, figures in found.items() if any(figures.values())}

    def statistics_by_group(self) -> dict[str, GroupStatistics]:
        """Return the size of every group; see BaseLayer."""
        found: dict[str, GroupStatistics] = {}
        now = self.clock()
        with self._lock:
            for group in self._groups.all():
                readers = self._live_readers(group, now)
                sizes = [len(self._groups.names(group, reader, now)) for reader in readers]
                sizes = [size for size in sizes if size]
                if sizes:
                    found[group] = {"members_count": sum(sizes), "readers_count": len(sizes)}
        return found

    def describe(self) -> dict[str, Any]:
        """Return facts on the layer; see BaseLayer."""
        return {"layer": "memory"}

    def _statistics(self, queues: list[Queue]) -> Statistics:
        now = self.clock()
        for queue in queues:
            self._purge(queue, now)
        return sum_statistics(queues, now, self.expiry)

    # Life cycle.

    def flush(self) -> None:
        """Drop every message and membership; listeners and counts stay."""
        with self._lock:
            self._check_open()
            for queue in list(self._queues.values()):
                queue.entries.clear()
            self._groups.clear()
            self._storage.clear()

    def close(self) -> None:
        """Refuse every later operation, and wake whoever waits; see BaseLayer."""
        with self._lock:
            self._closed = True
            wakes = [wake for queue in self._queues.values() for wake in queue.wakes]
            # Whoever comes next finds no queue, and `_open` refuses.
            self._queues = {}
            self._groups.clear()
            self._storage.clear()
        for wake in wakes:
            wake()

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelLayerUnavailable("this memory layer was closed")

    async def _call_async(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return function(*arguments)  # nothing here blocks


_turn_of = attrgetter("turn")


class _Listener(Listener):
    """What `MemoryLayer.listen` returns."""

    def __init__(self, layer: MemoryLayer, queues: list[Queue], wake: Wake) -> None:
        self._layer = layer
        self._queues = queues
        self._wake = wake

    def close(self) -> None:
        with self._layer._lock:
            queues, self._queues = self._queues, []
            for queue in queues:
                kept = list(queue.wakes)
                kept.remove(self._wake)
                queue.wakes = tuple(kept)
