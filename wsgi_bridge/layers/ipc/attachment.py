"""What this process shares of one directory, however many layers are open on it.

LMDB allows one environment for each file in a process, and a process needs one socket and one
place only. So the layers of a process that name the same directory share an Attachment, and the
last of them closes it. A forked child has none of its parent's: it attaches itself when a layer is
next used there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import Watch
from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.ipc import figures, sweep, wills
from wsgi_bridge.layers.ipc.directory import Directory
from wsgi_bridge.layers.ipc.doorbell import SWEEP_INTERVAL, Doorbell
from wsgi_bridge.layers.ipc.introspection import find_processes
from wsgi_bridge.layers.ipc.membership import CHANGES_TO_TAKE, Memberships
from wsgi_bridge.layers.ipc.places import Places
from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.records import has_work, listing_key, place_key, record_key
from wsgi_bridge.layers.ipc.session import Rings, Session
from wsgi_bridge.layers.ipc.store import Reentered, Store, StoreFull, Txn

__all__ = ["Attachment", "attach"]

_Result = TypeVar("_Result")
Wake = Callable[[], object]

_attachments: dict[str, Attachment] = {}
_lock = native_lock()


def attach(directory: Directory, clock: Callable[[], float]) -> Attachment:
    """Return this process's attachment to a directory, for one more user; `close` ends the use.

    Blocks for milliseconds if it is the first. Raises ChannelLayerUnavailable.
    """
    key = os.path.realpath(directory.path)
    with _lock:
        attachment = _attachments.get(key)
        if attachment is None:
            attachment = _attachments[key] = Attachment(key, directory, clock)
        attachment.users += 1
        return attachment


class Attachment:
    """The store, the place, the doorbell and the listeners of this process in a directory."""

    def __init__(self, key: str, directory: Directory, clock: Callable[[], float]) -> None:
        self.users = 0
        self._key = key
        self._clock = clock
        self._directory = directory
        self.memberships = Memberships()
        with directory.prepared():
            self.store = Store(directory, self.memberships.disown)
            self._places = Places(directory)
            self._file = _identity(directory.data)
            # Still under the lock: without a place, the layer may be taken for abandoned.
            self._place = self._places.take()
        self.queues = Queues(self.memberships, self._place)
        self.doorbell = Doorbell(directory.path, self._place, self._heard, self._sweep)
        self._wakes: dict[str, tuple[Wake, ...]] = {}
        self._listed: dict[str, float] = {}  # reader → when it was last listened on
        self._passive = 0  # listeners that somebody else has to hear for
        self._swept_to = ""
        self._swept_rows_to = b""
        self.is_lost = False
        self.ring(self.write(self._enter))

    def _enter(self, txn: Txn) -> Rings:
        rings = self._bury_in(txn, self._place)  # whoever had the place before was killed
        txn.put(place_key(self._place), str(os.getpid()).encode())
        return rings

    # Transactions.

    def write(self, work: Callable[[Txn], _Result]) -> _Result:
        """Call `work` in a write transaction; once more, after some cleaning, if the map is full.

        Raises StoreFull, ChannelLayerUnavailable, Reentered.
        """
        try:
            return self.store.write(work)
        except StoreFull:
            self.store.free_readers()
            self._sweep_idle(limit=1_000_000)
            return self.store.write(work)

    # Listening.

    def listen(self, readers: Sequence[str], wake: Wake, *, hears: bool = False) -> None:
        """Have `wake` called at every message for `readers`; `hears` if the caller will `hear`."""
        with self.store.lock:
            self.doorbell.listen()
            if not hears:
                self._passive += 1
                self.doorbell.need_thread()
            for reader in readers:
                self._wakes[reader] = (*self._wakes.get(reader, ()), wake)
            missing = [reader for reader in readers if reader not in self._listed]
            if missing:
                self.write(partial(self._list, readers=missing))
                self._listed.update(dict.fromkeys(missing, 0.0))

    def _list(self, txn: Txn, readers: Sequence[str]) -> None:
        session = Session(txn, 0.0)
        for reader in readers:
            record = session.record(reader)
            if self._place not in record.listeners:
                record.listeners = (*record.listeners, self._place)
            if not record.owner and record.is_owned:
                self.queues.claim(session, record)
            record.is_changed = True
            txn.put(listing_key(self._place, reader), b"")
        session.save()

    def unlisten(self, readers: Sequence[str], wake: Wake, *, hears: bool = False) -> None:
        """End what `listen` began, in this process; in the store it is the sweep that does.

        Whoever waits in a loop would write twice for each wait otherwise.
        """
        with self.store.lock:
            if not hears:
                self._passive -= 1
                self.doorbell.is_needed = self._passive > 0
            for reader in readers:
                wakes = list(self._wakes.get(reader, ()))
                if wake in wakes:
                    wakes.remove(wake)
                if wakes:
                    self._wakes[reader] = tuple(wakes)
                else:
                    self._wakes.pop(reader, None)
                    if reader in self._listed:
                        self._listed[reader] = time.monotonic()

    def claim(self, reader: str) -> None:
        """Own a reader, unless another process does: what waits there goes when this one dies."""
        with contextlib.suppress(Reentered):
            self.write(partial(self._claim, reader=reader))

    def _claim(self, txn: Txn, reader: str) -> None:
        session = Session(txn, 0.0)
        record = session.record(reader)
        if not record.owner:
            self.queues.claim(session, record)
            session.save()

    def is_alone(self) -> bool:
        """Whether nobody in this process listens, and whoever would may hear for itself."""
        return not self._wakes and not self.doorbell.is_watched

    def hear_with(self, watch: Watch) -> None:
        """Have a hub hear for this process from now on; see Doorbell."""
        with self.store.lock:
            self.doorbell.listen()
            self.doorbell.hear_with(watch)

    def rouse(self, reader: str) -> None:
        """Wake whoever hears in this process, by a datagram."""
        self.doorbell.ring(self._place, reader)

    # Waking.

    def ring(self, rings: Rings) -> None:
        """Wake the listeners of a transaction: those of this process by a call, without a datagram.

        Called without a lock. A process that is found dead is buried.
        """
        for place, reader in rings:
            if place == self._place:
                self.wake(reader)
            elif not self.doorbell.ring(place, reader):
                self._bury(place)

    def wake(self, reader: str) -> None:
        """Call the wakes of a reader in this process."""
        for wake in self._wakes.get(reader, ()):
            wake()

    def _heard(self, readers: set[str], all_of_them: bool) -> None:
        if all_of_them:
            readers = self.store.read(self._find_work)
        for reader in readers:
            self.wake(reader)

    def _find_work(self, txn: Txn) -> set[str]:
        readers = list(self._wakes)
        return {name for name in readers if has_work(txn.get(record_key(name)), CHANGES_TO_TAKE)}

    # Sweeping, by the doorbell's thread.

    def _sweep(self) -> None:
        if _identity(self._directory.data) != self._file:
            self._lose()
            return
        for place in self.store.read(find_processes):
            if place != self._place:
                self._bury(place)
        self._unlist()
        for _ in range(figures.SWEEPS):
            if self._sweep_idle(limit=figures.SWEEP_SIZE) < figures.SWEEP_SIZE // 2:
                break
        self.store.free_readers()

    def others(self) -> list[int]:
        """Return the ids of the other processes that use the directory now."""
        known = self.store.read(find_processes)
        return [pid for place, pid in known.items() if place != self._place and self._lives(place)]

    def _lives(self, place: int) -> bool:
        if self._places.lock(place):
            self._places.unlock(place)
            return False
        return True

    def _bury(self, place: int) -> None:
        """Remove what a process has left, if it is dead."""
        if not self._places.lock(place):
            return
        try:
            rings = self.write(partial(self._bury_in, place=place))
        finally:
            self._places.unlock(place)
        self.ring(rings)

    def _bury_in(self, txn: Txn, place: int) -> Rings:
        session = Session(txn, self._clock())
        wills.execute(session, self.queues, place)
        self.queues.bury(session, place)
        session.save()
        txn.delete(place_key(place))
        return session.rings

    def _unlist(self) -> None:
        """Take what nobody has listened on for a while out of the store."""
        with self.store.lock:
            before = time.monotonic() - SWEEP_INTERVAL
            quiet = [
                reader
                for reader, since in self._listed.items()
                if reader not in self._wakes and since < before
            ]
            if quiet:
                self.write(partial(self._unlist_in, readers=quiet))
                for reader in quiet:
                    del self._listed[reader]

    def _unlist_in(self, txn: Txn, readers: Sequence[str]) -> None:
        session = Session(txn, 0.0)
        for reader in readers:
            record = session.record(reader)
            record.listeners = tuple(item for item in record.listeners if item != self._place)
            record.is_changed = True
            if record.owner != self._place:
                txn.delete(listing_key(self._place, reader))
        session.save()

    def _sweep_idle(self, limit: int) -> int:
        """Forget what is idle among the next channels, and old rows; return how many there were."""
        now = self._clock()
        self._swept_to, idle = figures.sweep(self.store, self.queues, now, self._swept_to, limit)
        self._swept_rows_to, expired = sweep.sweep(self.store, now, self._swept_rows_to, limit)
        return idle + expired

    # The end.

    def _lose(self) -> None:
        """Somebody has removed the directory: other processes will meet elsewhere."""
        self.is_lost = True
        self.wake_all()

    def wake_all(self) -> None:
        """Wake every listener of this process."""
        for reader in list(self._wakes):
            self.wake(reader)

    def close(self) -> None:
        """End one use; the last one takes the process's channels and memberships with it."""
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _attachments.get(self._key) is self:
                del _attachments[self._key]
            if not self.is_lost:
                self._leave()
            self.doorbell.close()
            self.store.close()
            self._places.close()

    def _leave(self) -> None:
        try:
            self.ring(self.write(partial(self._bury_in, place=self._place)))
        except ChannelLayerUnavailable:
            return  # the others find that the place is free

    def abandon(self) -> None:
        """Do what a forked child has to: nothing in the store, which is its parent's."""
        self.store.abandon()
        self.doorbell.abandon()
        self._places.close()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


# No other thread may be in the middle of something while a process forks: in the child it would
# stay there for ever.


def _before_fork() -> None:
    _lock.acquire()
    for attachment in _attachments.values():
        attachment.store.lock.acquire()
        attachment.store.suspend()


def _after_fork_in_parent() -> None:
    for attachment in _attachments.values():
        attachment.store.lock.release()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = native_lock()
    for attachment in _attachments.values():
        attachment.abandon()
    _attachments.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
