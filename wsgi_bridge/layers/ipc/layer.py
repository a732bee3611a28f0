"""The channel layer of one machine: queues in LMDB, shared by processes, woken by datagrams.

It keeps the whole contract of `layers.base` between processes, without a broker and without a lock
of its own; docs/topics/ipc.md maps each operation to those of LMDB. Every operation is one
transaction: after a kill -9 at any instruction it has happened or it has not.

- Nothing is opened before the first use, nor inherited by a forked child.
- No call blocks longer than a write transaction of another process: microseconds, or what it takes
  to copy a message of the largest size.
- What is here is names, copies and errors; what happens in a transaction is in `queues` and
  `membership`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import SplitResult, unquote

import msgpack

from wsgi_bridge.copying import copy_message
from wsgi_bridge.events.layers import LAYER_GROUP_FULL, LAYER_UNDECODABLE
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer, Batch, Listener, Watch, _Result
from wsgi_bridge.layers.concurrency import is_cooperative, reset_after_fork
from wsgi_bridge.layers.ipc import figures, introspection, undecodable
from wsgi_bridge.layers.ipc.attachment import Attachment, Wake, attach
from wsgi_bridge.layers.ipc.directory import Directory, find_directory
from wsgi_bridge.layers.ipc.doorbell import watch_in_hub
from wsgi_bridge.layers.ipc.gathering import LARGEST_BATCH, Gathering
from wsgi_bridge.layers.ipc.hearer import Hearer
from wsgi_bridge.layers.ipc.membership import CHANGES_TO_TAKE
from wsgi_bridge.layers.ipc.queues import Packed
from wsgi_bridge.layers.ipc.records import (
    Record,
    encode_message,
    encode_messages,
    has_work,
    record_key,
)
from wsgi_bridge.layers.ipc.sending import SendOperations
from wsgi_bridge.layers.ipc.session import Rings, Session
from wsgi_bridge.layers.ipc.storage import IpcStorage
from wsgi_bridge.layers.ipc.store import Reentered, StoreFull, Txn, lmdb_version
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics
from wsgi_bridge.names import check_channel, check_group, check_reader, reader_of

__all__ = ["IpcLayer"]

logger = logging.getLogger(__name__)

#: Seconds from the wake of a thread to its take, where the last one found several messages: whoever
#: sends them is not done, and each take of a single one would make it wait for the lock. Half the
#: CPU for each message under load; where one message is answered at a time there is no such pause.
GATHER = 0.000_05

#: Names that are remembered as checked: those of one busy process, not of all its uploads.
MAX_CHECKED = 10_000


class IpcLayer(SendOperations):
    """A channel layer between the processes of one user; safe to use from any thread or greenlet.

    `directory` is where they meet. `map_size` is how many bytes may wait, for whoever makes it: up
    to 1 GB, and half of what is free, unless given.
    """

    extensions = (*BaseLayer.extensions, "introspection", "storage")
    gathers = True
    url_options: ClassVar = {**BaseLayer.url_options, "map_size": int}

    def __init__(
        self, directory: str | os.PathLike[str], *, map_size: int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.directory = Path(directory)
        self._map_size = map_size
        self._attachment: Attachment | None = None
        self._closed = False
        self._in_flow = False  # whether the last wait ended with several messages
        self._gathering = Gathering(self._put)
        self._listeners: set[_Listener] = set()
        self._readers: set[str] = set()  # names that were checked
        self._storage = IpcStorage(self)
        reset_after_fork(self, IpcLayer._reset)

    @classmethod
    def from_url(cls, url: SplitResult, **options: Any) -> IpcLayer:
        """Return a new layer on the directory that `url` names; raises InvalidLayerURL."""
        return cls(find_directory(url.netloc, unquote(url.path)), **options)

    def _attach(self) -> Attachment:
        """Return the attachment of this process; make it, if this is the first use."""
        attachment = self._attachment
        self._check_open()
        if attachment is None:
            directory = Directory(self.directory, self._map_size)
            attachment = attach(directory, self.clock)
            try:
                self._check_open()
            except ChannelLayerUnavailable:  # closed by another thread meanwhile
                attachment.close()
                raise
            self._attachment = attachment
        if attachment.is_lost:
            raise ChannelLayerUnavailable(
                f"{str(self.directory)!r} was removed while it was in use: start the processes of "
                "this site again"
            )
        return attachment

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelLayerUnavailable("this ipc layer was closed")

    def _reset(self) -> None:
        """Begin anew: in a forked child."""
        self._attachment = None
        self._gathering = Gathering(self._put)
        self._listeners = set()
        self._readers = set()

    # Receiving.

    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        attachment = self._attach()
        self._begin(attachment, channels)
        now = self.clock()
        queues = attachment.queues

        def is_ready(txn: Txn) -> bool:
            return any(has_work(txn.get(record_key(name)), CHANGES_TO_TAKE) for name in channels)

        def work(txn: Txn) -> Packed:
            session = Session(txn, now)
            taken = queues.take(session, channels, limit, compact)
            session.save()
            return taken

        try:
            # Most takes find nothing, and need not wait for a writer to learn it.
            taken = attachment.write(work) if attachment.store.read(is_ready) else []
        except Reentered:
            return []
        return self._decoded(attachment, channels, taken)

    def _decoded(self, attachment: Attachment, channels: Sequence[str], taken: Packed) -> Batch:
        batch: Batch = []
        lost: list[str] = []
        for names, packed in taken:
            try:
                message = msgpack.unpackb(packed)
                if type(message) is not dict:
                    raise ValueError(f"{type(message).__name__} where a dict belongs")
                batch.append((names, message))
            except ValueError as exc:
                LAYER_UNDECODABLE.log(
                    logger,
                    "a message to %(channel)s cannot be decoded, and is lost",
                    cause=exc,
                    channel=names,
                )
                lost.append(names if isinstance(names, str) else names[0])
        if lost:
            self._count_undecodable(attachment, lost)
            for channel in channels:
                attachment.wake(channel)  # there may be more, whatever the size of the batch says
        return batch

    def _count_undecodable(self, attachment: Attachment, channels: Iterable[str]) -> None:
        def count(txn: Txn) -> None:
            session = Session(txn, 0.0)
            for channel in channels:
                undecodable.add(session, reader_of(channel))

        with contextlib.suppress(Reentered, StoreFull):
            attachment.write(count)

    def exchange(
        self,
        messages: Sequence[tuple[str, dict[str, Any]]],
        channels: Sequence[str],
        limit: int,
        *,
        compact: bool = False,
    ) -> tuple[Sequence[ChannelLayerError | None], Batch]:
        """Put messages and take others in one transaction; see BaseLayer."""
        entries = encode_messages(messages)
        if sum([len(packed) for _, packed in entries]) > LARGEST_BATCH:
            return super().exchange(messages, channels, limit, compact=compact)
        attachment = self._attach()
        self._begin(attachment, channels)
        now = self.clock()

        def work(txn: Txn) -> tuple[list[ChannelFull | None], Packed, Rings]:
            session = Session(txn, now)
            refused = self._put_in(session, attachment.queues, entries)
            taken = attachment.queues.take(session, channels, limit, compact)
            session.save()
            return refused, taken, session.rings

        try:
            refused, taken, rings = attachment.write(work)
        except (Reentered, StoreFull):
            return super().exchange(messages, channels, limit, compact=compact)
        attachment.ring(rings)
        return refused, self._decoded(attachment, channels, taken)

    def _begin(self, attachment: Attachment, channels: Sequence[str]) -> None:
        """Check names when they are first received on; own those that are process-specific."""
        for channel in channels:
            if channel in self._readers:
                continue
            check_reader(channel)
            if channel.endswith("!"):
                attachment.claim(channel)
            if len(self._readers) > MAX_CHECKED:
                self._readers.clear()
            self._readers.add(channel)

    def listen(self, channels: Sequence[str], wake: Wake) -> _Listener:
        """Have `wake()` called at every message put on `channels`; see BaseLayer."""
        return self._listen(channels, wake, hears=False)

    def _listen(self, channels: Sequence[str], wake: Wake, *, hears: bool) -> _Listener:
        attachment = self._attach()
        for channel in channels:
            check_reader(channel)
        listener = _Listener(self, attachment, tuple(channels), wake, hears)
        try:
            attachment.listen(channels, wake, hears=hears)
        except (ChannelLayerUnavailable, Reentered):
            attachment.unlisten(channels, wake, hears=hears)
            raise
        self._listeners.add(listener)
        if not hears and not attachment.doorbell.is_watched and (watch := watch_in_hub()):
            attachment.hear_with(watch)
        return listener

    def _wait_and_take(
        self, channels: Sequence[str], limit: int, timeout: float | None, compact: bool
    ) -> Batch:
        attachment = self._attach()
        is_interruptible = self._interruption(channels) is not None
        if is_interruptible or is_cooperative() or not attachment.is_alone():
            return super()._wait_and_take(channels, limit, timeout, compact)
        # A native thread that waits alone hears for itself. Somebody else of this process who
        # sends, or hears, has to rouse it from there.
        end = None if timeout is None else time.monotonic() + timeout
        hearer = Hearer(attachment, channels[0])
        with self._listen(channels, hearer.wake, hears=True):
            while not (batch := self._take(channels, limit, compact)):
                remaining = None if end is None else end - time.monotonic()
                if remaining is not None and remaining <= 0:
                    break
                hearer.hear(remaining)
                if self._in_flow and limit > 1:
                    time.sleep(GATHER)
        self._in_flow = len(batch) > 1
        return batch

    def hear_with(self, watch: Watch) -> None:
        """Have the hub of this process hear what other processes ring for; see BaseLayer.

        Where gevent has patched threading this is done by itself.
        """
        self._attach().hear_with(watch)

    # Groups.

    def group_add(self, group: str, channel: str) -> None:
        """Make `channel` a member, or renew its membership; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        members = self._attach().memberships
        deadline = self.clock() + self.group_expiry
        self._change(lambda session: members.add(session, group, channel, deadline))

    def group_discard(self, group: str, channel: str) -> None:
        """End a membership, if there is one; see BaseLayer."""
        check_group(group)
        check_channel(channel)
        members = self._attach().memberships
        self._change(lambda session: members.discard(session, group, channel))

    def forget_channel(self, channel: str) -> None:
        """End every membership of `channel`, and what the storage has of it; see BaseLayer."""
        check_channel(channel)
        self._storage.forget_channel(channel)

    def _change(self, change: Callable[[Session], object]) -> None:
        """Make a change in a transaction, and wake who listens for what it has put."""
        attachment = self._attach()
        now = self.clock()

        def work(txn: Txn) -> Rings:
            session = Session(txn, now)
            change(session)
            session.save()
            return session.rings

        try:
            rings = attachment.write(work)
        except Reentered:
            attachment.store.put_off(partial(self._change, change))
            return
        attachment.ring(rings)

    def group_channels(self, group: str) -> list[str]:
        """Return the members of `group`; see BaseLayer."""
        check_group(group)
        names: list[str] = []

        def list_members(session: Session) -> None:
            names[:] = self._members(session, group)

        self._change(list_members)
        return names

    def _members(self, session: Session, group: str) -> list[str]:
        members = self._attach().memberships
        return [
            channel
            for reader, _ in self._live_readers(session, group)
            for name, channel, _ in members.rows(session, reader)
            if name == group
        ]

    def _live_readers(self, session: Session, group: str) -> list[tuple[str, int]]:
        """Return the readers of a group's members, after what expired in their queues has left."""
        attachment = self._attach()
        for reader, _ in attachment.memberships.readers(session, group):
            attachment.queues.purge(session, session.record(reader))
        return attachment.memberships.readers(session, group)

    def send_group(self, group: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on every member of `group`; see BaseLayer."""
        check_group(group)
        packed = encode_message(copy_message(message, self.max_message_size))
        lost: list[tuple[str, int]] = []
        try:
            self._change(lambda session: self._post_group(session, group, packed, lost))
        except StoreFull:
            self._change(lambda session: self._count_lost(session, group, lost))
        self._report_lost(group, lost)

    def _report_lost(self, group: str, lost: list[tuple[str, int]]) -> None:
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

    def _post_group(
        self, session: Session, group: str, packed: bytes, lost: list[tuple[str, int]]
    ) -> None:
        queues = self._attach().queues
        deadline = session.now + self.expiry
        lost.clear()  # of an attempt that was rolled back
        for reader, count in self._live_readers(session, group):
            record = session.record(reader)
            if record.waiting < self.capacity_of(reader):
                queues.put_group(session, group, packed, deadline, record)
                continue
            _lose(record, count, lost)

    def _count_lost(self, session: Session, group: str, lost: list[tuple[str, int]]) -> None:
        """Count a message to `group` that there was no room for."""
        lost.clear()
        for reader, count in self._live_readers(session, group):
            _lose(session.record(reader), count, lost)

    # Storage.

    @property
    def storage(self) -> IpcStorage:
        """What the processes of this layer keep together; see Storage."""
        return self._storage

    # Statistics.

    def global_statistics(self) -> Statistics:
        """Return the figures of all channels, in all processes."""
        return self._statistics(None)

    def channel_statistics(self, channel: str) -> Statistics:
        """Return the figures of one channel, since it was last idle and swept."""
        check_channel(channel)
        return self._statistics(reader_of(channel))

    def _statistics(self, reader: str | None) -> Statistics:
        attachment = self._attach()
        now = self.clock()
        return figures.statistics(attachment.store, attachment.queues, now, self.expiry, reader)

    def statistics_by_channel(self) -> dict[str, Statistics]:
        """Return the figures of every channel with messages or a count; see BaseLayer."""
        mine = self._attach()
        now = self.clock()
        return introspection.statistics_by_channel(mine.store, mine.queues, now, self.expiry)

    def statistics_by_group(self) -> dict[str, GroupStatistics]:
        """Return the size of every group; see BaseLayer."""
        mine = self._attach()
        now = self.clock()
        return introspection.statistics_by_group(mine.store, mine.queues, mine.memberships, now)

    def describe(self) -> dict[str, Any]:
        """Return facts on the layer: versions, directory, sizes in bytes, other processes' ids."""
        attachment = self._attach()
        return {
            "layer": "ipc",
            "lmdb": lmdb_version(),
            "directory": str(self.directory),
            "data_size": attachment.store.size,
            "map_size": attachment.store.map_size,
            "processes": attachment.others(),
        }

    # Life cycle.

    def flush(self) -> None:
        """Drop every message and membership, and the storage; listeners and counts stay."""
        self._change(self._storage.flush)

    def close(self) -> None:
        """Refuse every later operation, and wake whoever waits; see BaseLayer."""
        if self._closed:
            return
        self._closed = True
        attachment, self._attachment = self._attachment, None
        for listener in list(self._listeners):
            listener.wake()
        if attachment is not None:
            attachment.close()

    async def _call_async(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        return function(*arguments)  # shorter than the way to a thread and back


def _lose(record: Record, count: int, lost: list[tuple[str, int]]) -> None:
    """Count a group message lost for the members under a reader; note the first of a burst."""
    record.lost += count
    record.is_changed = True
    if not record.losing:
        record.losing = 1
        lost.append((record.name, count))


class _Listener(Listener):
    """What `IpcLayer.listen` returns; `hears` if its owner hears for itself."""

    def __init__(
        self,
        layer: IpcLayer,
        attachment: Attachment,
        readers: tuple[str, ...],
        wake: Wake,
        hears: bool,
    ) -> None:
        self._layer = layer
        self._attachment: Attachment | None = attachment
        self._readers = readers
        self._hears = hears
        self.wake = wake

    def close(self) -> None:
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.unlisten(self._readers, self.wake, hears=self._hears)
            self._layer._listeners.discard(self)
