"""LMDB as the ipc layer uses it: one environment, short transactions, errors translated.

- LMDB lets one process write at a time, by a mutex in shared memory that the kernel hands on when
  its holder is killed. A transaction that was not committed has not happened.
- Within this process, a native lock keeps the threads apart: native even where gevent has patched
  threading, since it is held for microseconds and never across a switch of greenlets. It is
  re-entrant because the garbage collector may run in any allocation, and a finalizer of the
  application may use the layer: its writes are put off until the transaction at hand is done.
- `writemap`: pages are changed in place, in the shared map, which halves the time that others wait.
  A page that the file system cannot provide would then be SIGBUS. So the map that LMDB is given is
  never larger than what has been set aside of the file: when it is full the file grows by a step,
  or, at the limit or in a full file system, StoreFull is raised.
- No sync: the store does not outlive the machine (`directory`).
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import lmdb

from wsgi_bridge.events.layers import IPC_FINALIZER_FAILED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.ipc.directory import MAX_READERS, Directory

__all__ = ["Reentered", "Store", "StoreFull", "Txn", "lmdb_version"]

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")
Txn: TypeAlias = "lmdb.Transaction[bytes]"

#: Read transactions that are kept for re-use: one for each thread that is likely to read at a time.
SPARE_TRANSACTIONS = 8

#: Bytes of the data to begin with, and how many they grow by at most: 16 MB are set aside in some
#: milliseconds.
FIRST_SIZE = 1024 * 1024
MAX_STEP = 16 * 1024 * 1024


class StoreFull(ChannelLayerUnavailable):
    """The map, or the file system that it is in, has no room left; for a send, ChannelFull."""


class Reentered(Exception):
    """A finalizer writes while a transaction of its own thread is under way."""


def lmdb_version() -> str:
    """Return the version of LMDB, which is not that of its Python package."""
    return ".".join(map(str, lmdb.version()))


class Store:
    """The LMDB environment of a directory in this process; not to be used in a forked child."""

    def __init__(self, directory: Directory, rolled_back: Callable[[], object]) -> None:
        """Open it, while the directory is locked; `rolled_back` is called after a failure."""
        self._directory = directory
        self._path = directory.path
        self._rolled_back = rolled_back
        self.lock = native_lock()
        self._writing = False
        self._closed = False
        self._put_off: list[Callable[[], object]] = []
        try:
            self._env: lmdb.Environment | None = self._open()
        except (lmdb.Error, OSError) as exc:
            raise ChannelLayerUnavailable(
                f"{str(self._path)!r} cannot be opened: {exc}; stop the processes that use it and "
                "remove it, or name another directory: ipc:///path"
            ) from exc

    def _open(self) -> lmdb.Environment:
        # Never less than there is: LMDB would cut off what other processes use.
        self._size = max(self._size_of_file(), min(FIRST_SIZE, self._directory.map_size))
        env = lmdb.open(
            self._directory.data,
            subdir=False,
            map_size=self._size,
            mode=0o600,
            sync=False,
            metasync=False,
            writemap=True,
            meminit=False,  # what is in the file was written by the same user
            max_readers=MAX_READERS,
            max_spare_txns=SPARE_TRANSACTIONS,
        )
        try:
            self._directory.reserve(self._size)
        except OSError:
            env.close()
            raise
        return env

    def _size_of_file(self) -> int:
        try:
            return os.stat(self._directory.data).st_size
        except FileNotFoundError:
            return 0

    def write(self, work: Callable[[Txn], _Result]) -> _Result:
        """Call `work` in a write transaction, which is committed unless it raises.

        Blocks while another process writes. Raises StoreFull, ChannelLayerUnavailable, Reentered.
        """
        with self.lock:
            if self._writing:
                raise Reentered
            self._check_open()
            self._writing = True
            try:
                result = self._commit(work)
            finally:
                self._writing = False
            if self._put_off:
                self._catch_up()
            return result

    def read(self, work: Callable[[Txn], _Result]) -> _Result:
        """Call `work` in a read transaction; never waits for a writer."""
        with self.lock:
            self._check_open()
            txn = self._begin(write=False)
            try:
                return work(txn)
            except lmdb.Error as exc:
                raise self._translate(exc) from exc
            finally:
                txn.abort()

    def is_in_use(self) -> bool:
        """Whether this thread is in a transaction: who asks is a finalizer in the midst of it."""
        return self.lock._is_owned()

    def put_off(self, call: Callable[[], object]) -> None:
        """Have `call` made after the transaction of this thread that is under way."""
        self._put_off.append(call)

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return self._size_of_file()

    @property
    def map_size(self) -> int:
        """Bytes that the data may grow to."""
        return self._directory.map_size

    def free_readers(self) -> None:
        """Let go of what killed processes were reading: it keeps pages from being used again."""
        with self.lock:
            if self._env is not None and not self._writing:
                self._env.reader_check()

    def close(self) -> None:
        """Close the environment; idempotent."""
        with self.lock:
            if not self._closed:
                self._closed = True
                self.suspend()

    def suspend(self) -> None:
        """Close the environment until it is used again: before a fork.

        LMDB's must not be inherited: when a child lets go of its copy, py-lmdb clears the entries
        of its parent in the table of readers, which is shared.
        """
        if self._env is not None and not self._writing:
            self._env.close()
            self._env = None

    def abandon(self) -> None:
        """Refuse every use: in a forked child."""
        self._closed = True

    def _commit(self, work: Callable[[Txn], _Result]) -> _Result:
        while True:
            txn = self._begin(write=True)
            try:
                result = work(txn)
                txn.commit()
                return result
            except lmdb.MapFullError as exc:
                self._roll_back(txn)
                if not self._grow():
                    raise self._translate(exc) from exc
            except lmdb.Error as exc:
                self._roll_back(txn)
                raise self._translate(exc) from exc
            except BaseException:
                self._roll_back(txn)
                raise

    def _begin(self, write: bool) -> Txn:
        try:
            try:
                return self._opened().begin(write=write)
            except lmdb.MapResizedError:  # another process has made the file grow
                self._follow()
                return self._opened().begin(write=write)
        except lmdb.Error as exc:
            raise self._translate(exc) from exc

    def _opened(self) -> lmdb.Environment:
        if self._env is None:
            with self._directory.locked():
                self._env = self._open()
        return self._env

    def _roll_back(self, txn: Txn) -> None:
        txn.abort()
        self._rolled_back()

    # The size of the file. It never shrinks, and only changes under the lock of the directory.

    def _grow(self) -> bool:
        """Make the file larger by a step; False if it cannot be."""
        with self._directory.locked():
            size = self._size_of_file()
            if size <= self._size:
                size = min(size + min(size, MAX_STEP), self._directory.map_size)
                if size <= self._size:
                    return False
                try:
                    self._directory.reserve(size)
                except OSError:
                    return False
            self._opened().set_mapsize(size)
            self._size = size
        return True

    def _follow(self) -> None:
        with self._directory.locked():
            self._size = self._size_of_file()
            self._opened().set_mapsize(self._size)

    def _catch_up(self) -> None:
        while self._put_off:
            call = self._put_off.pop(0)
            try:
                call()
            except Exception as exc:
                IPC_FINALIZER_FAILED.log(
                    logger, "what a finalizer did on the ipc layer failed", cause=exc, exc_info=True
                )

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelLayerUnavailable("this ipc layer was closed")

    def _translate(self, exc: lmdb.Error) -> Exception:
        code = getattr(exc, "code", None)
        full = (lmdb.MapFullError, lmdb.TxnFullError, lmdb.ReadersFullError)
        if isinstance(exc, full) or code in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            return StoreFull(f"the ipc layer in {str(self._path)!r} is full: {exc}")
        return ChannelLayerUnavailable(
            f"the ipc layer in {str(self._path)!r} fails: {exc}; stop the processes that use it "
            "and remove it"
        )
