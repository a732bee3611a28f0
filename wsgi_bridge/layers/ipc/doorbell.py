"""Waking other processes, and being woken: one Unix datagram socket for each process that listens.

A datagram holds the name of the reader to look at. It is a hint and carries no data: if the
receiver has too many waiting already, another one is not needed, and is dropped. Each sender
has a connected socket for each receiver, so that a full queue is always the receiver's own, never
that of a sender whose buffer is taken up by others that do not answer.

Who hears depends on who waits, because each thread that is woken on the way costs 30 to 60 µs:

- A thread that blocks in a receive, alone in its process, hears for itself.
- A hub that was given by `hear_with` watches the descriptor. Where gevent has patched threading,
  that of the main thread is, when something first listens there: whoever waits runs it.
- Otherwise one daemon thread blocks in `recv`, and calls the wakes. It is native, even where gevent
  has patched threading and sockets: wakes may be called from any thread, and so gevent's hub,
  plain threads and asyncio are all served by it, whichever of them runs.

The thread is there in any case. Every second it sweeps, and hears what nobody else has heard.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import logging
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from wsgi_bridge.events.layers import IPC_THREAD_FAILED, IPC_WAKE_FAILED
from wsgi_bridge.layers.base import Watch
from wsgi_bridge.layers.concurrency import is_cooperative, native

__all__ = ["SWEEP_INTERVAL", "Doorbell", "watch_in_hub"]

logger = logging.getLogger(__name__)

#: Seconds between looks at which processes have died: what one leaves is gone in 1 to 2 seconds.
SWEEP_INTERVAL = 1.0

#: Seconds for which a thread that hears for itself looks out before it sleeps, where the last wait
#: was as short: two processes that take turns would put each other to sleep and wake each other,
#: which takes longer. A wait that is not short is the last one that is looked out in.
SOON = 0.000_15

#: Whether another process can run meanwhile: where it cannot, no wait is that short for long.
HAS_CORES = (os.cpu_count() or 1) > 1

#: Datagrams heard at once from which on some may have been dropped: under the smallest queue of a
#: socket (net.unix.max_dgram_qlen is 10 unless told). Then all readers are looked at.
MAY_HAVE_DROPPED = 4

#: Bytes of the longest name.
_SIZE = 128

#: Bytes of the longest path of a Unix socket, with the zero at its end.
_MAX_PATH = 108

_GONE = (errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE)

Heard = Callable[[set[str], bool], object]


class Doorbell:
    """The socket of this process, and those to other ones.

    `heard` is called by the thread with the names that were rung for, and whether there may have
    been others; `sweep` by the same thread, every SWEEP_INTERVAL.
    """

    def __init__(self, path: Path, place: int, heard: Heard, sweep: Callable[[], object]) -> None:
        self._path = path
        self._place = place
        self._heard = heard
        self._sweep = sweep
        self._socket: _socket.socket | None = None
        self._peers: dict[int, _socket.socket] = {}
        self._closed = False
        self._unwatch: Callable[[], object] | None = None
        self._comes_soon = False  # whether the last wait of a thread that hears itself was short
        #: Whether the thread is to hear, and what it waits for when it is not.
        self.is_needed = False
        self._rest = native("allocate_lock")()
        self._rest.acquire()
        # Where paths of sockets cannot be as long as the directory's, it is named by descriptor.
        self._directory = -1
        if len(os.fsencode(path)) + len("/65535.sock") >= _MAX_PATH:
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def listen(self) -> None:
        """Be woken from now on; idempotent."""
        if self._socket is not None or self._closed:
            return
        address = self._address(self._place)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)  # of a process that was killed
        hearing = _new_socket()
        hearing.bind(address)
        hearing.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(SWEEP_INTERVAL), 0)
        )
        self._socket = hearing
        native("start_new_thread")(self._run, (hearing,))

    def need_thread(self) -> None:
        """Have the thread hear from now on, unless a hub does."""
        self.is_needed = True
        if self._unwatch is None and self._rest.locked():
            with contextlib.suppress(RuntimeError):  # another one was faster
                self._rest.release()

    @property
    def is_watched(self) -> bool:
        """Whether a hub hears."""
        return self._unwatch is not None

    def hear_with(self, watch: Watch) -> None:
        """Have a hub hear in place of the thread. To be called after `listen`, by the hub's thread.

        If the hub should stop, the thread hears what comes, up to SWEEP_INTERVAL later.
        """
        if self._socket is not None and self._unwatch is None:
            self._unwatch = watch(self._socket.fileno(), self.hear_now)
            self.ring(self._place, "")  # the thread leaves its recv

    def hear_now(self) -> None:
        """Take what there is to hear, without waiting."""
        if self._socket is not None and not self._closed:
            self._tell(_receive_all(self._socket))

    def hear(self, timeout: float | None) -> None:
        """Wait for something to hear, up to `timeout` seconds, or SWEEP_INTERVAL."""
        hearing = self._socket
        if hearing is None or self._closed:
            return
        began = time.perf_counter()
        if self._comes_soon and (names := _look(hearing, SOON)):
            self._tell(names)
            return
        self._wait(hearing, timeout)
        self._comes_soon = HAS_CORES and time.perf_counter() - began < SOON

    def _wait(self, hearing: _socket.socket, timeout: float | None) -> None:
        if timeout is not None and timeout < SWEEP_INTERVAL:
            descriptor = hearing.fileno()
            if descriptor < 0:
                return  # closed by another thread meanwhile
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll(max(0.0, timeout) * 1000)
            self._tell(_receive_all(hearing))
        else:
            self._tell(_receive(hearing))

    def ring(self, place: int, reader: str) -> bool:
        """Wake the process at `place`; False if there is none. Does not block."""
        data = reader.encode()
        peer = self._peers.get(place)
        if peer is not None and self._send(peer, data):
            return True
        # The first time, or the process at that place is another one now.
        peer = self._connect(place)
        return peer is not None and self._send(peer, data)

    def close(self) -> None:
        """Be woken no more; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._unwatch is not None:
            self._unwatch()
        self.need_thread()
        if self._socket is not None:
            self.ring(self._place, "")  # the thread ends, and closes its socket itself
            with contextlib.suppress(OSError):
                os.unlink(self._address(self._place))
        self._close_peers()

    def abandon(self) -> None:
        """Close the descriptors that a forked child has inherited."""
        self._closed = True
        if self._unwatch is not None:
            self._unwatch()
        if self._socket is not None:
            self._socket.close()
        self._close_peers()

    def _close_peers(self) -> None:
        peers, self._peers = self._peers, {}
        for peer in peers.values():
            peer.close()
        if self._directory >= 0:
            os.close(self._directory)

    def _address(self, place: int) -> str:
        if self._directory >= 0:
            return f"/proc/self/fd/{self._directory}/{place}.sock"
        return f"{self._path}/{place}.sock"

    # Ringing.

    def _connect(self, place: int) -> _socket.socket | None:
        peer = _new_socket()
        try:
            peer.connect(self._address(place))
        except OSError as exc:
            peer.close()
            if exc.errno not in _GONE:
                IPC_WAKE_FAILED.log(
                    logger,
                    "cannot wake the process at %(place)d: %(cause)s",
                    cause=exc,
                    place=place,
                )
            return None
        peer.setblocking(False)
        self._peers[place] = peer
        return peer

    def _send(self, peer: _socket.socket, data: bytes) -> bool:
        try:
            peer.send(data)
        except BlockingIOError:
            return True  # it has not heard what it was rung for before, and will look
        except OSError as exc:
            return exc.errno == errno.ENOBUFS
        return True

    # Hearing.

    def _run(self, hearing: _socket.socket) -> None:
        swept = time.monotonic()
        while not self._closed:
            try:
                if self.is_needed and self._unwatch is None:
                    self._tell(_receive(hearing))
                else:
                    self._rest.acquire(timeout=SWEEP_INTERVAL)
                    self._tell(_receive_all(hearing))
                if time.monotonic() - swept >= SWEEP_INTERVAL and not self._closed:
                    swept = time.monotonic()
                    self._sweep()
            except Exception as exc:
                # Whoever waits in this process depends on this thread.
                IPC_THREAD_FAILED.log(
                    logger,
                    "the thread that wakes the receivers of the ipc layer failed",
                    cause=exc,
                    exc_info=True,
                )
        hearing.close()

    def _tell(self, names: list[str]) -> None:
        if names and not self._closed:
            self._heard(set(names), len(names) >= MAY_HAVE_DROPPED)


def _receive(hearing: _socket.socket) -> list[str]:
    """Wait for a datagram, take the others that are there; empty after SWEEP_INTERVAL."""
    try:
        first = hearing.recv(_SIZE).decode("ascii", "replace")
    except (BlockingIOError, InterruptedError):
        return []
    except OSError:
        if hearing.fileno() >= 0:
            raise
        return []  # closed by another thread meanwhile
    return [first, *_receive_all(hearing)]


def _look(hearing: _socket.socket, seconds: float) -> list[str]:
    """Return what comes within `seconds`, without sleeping."""
    end = time.perf_counter() + seconds
    while not (names := _receive_all(hearing)) and time.perf_counter() < end:
        pass
    return names


def _receive_all(hearing: _socket.socket) -> list[str]:
    names = []
    try:
        while True:
            names.append(hearing.recv(_SIZE, socket.MSG_DONTWAIT).decode("ascii", "replace"))
    except (BlockingIOError, InterruptedError):
        return names
    except OSError:
        if hearing.fileno() >= 0:
            raise
        return names  # closed by another thread meanwhile


def watch_in_hub() -> Watch | None:
    """Return how gevent's hub watches a descriptor; None unless whoever waits here runs it."""
    if not is_cooperative():
        return None
    if threading.current_thread() is not threading.main_thread():
        return None  # another thread's hub may end with it
    loop = sys.modules["gevent"].get_hub().loop

    def watch(descriptor: int, function: Callable[[], object]) -> Callable[[], object]:
        watcher = loop.io(descriptor, 1)
        watcher.start(function)

        def unwatch() -> None:
            watcher.stop()
            watcher.close()

        return unwatch

    return watch


def _new_socket() -> _socket.socket:
    # Not socket.socket, which gevent replaces.
    return _socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
