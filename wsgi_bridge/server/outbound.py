"""Outbound: the bytes on their way to one socket.

A write goes to the kernel at once when nothing waits; what the kernel does not take is kept, in
order, until the socket is writable. There is no limit here: the owner looks at ``size`` and holds
its sources back (MESSAGES.md section 3, ``write_buffer``).
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsgi_bridge.server.stalls import Stalls

# Bytes handed to the kernel in one call; Linux's default send buffer grows to 4 MiB, and a longer
# copy would only be cut.
MAX_SEND = 256 * 1024
WRITE = 2  # libev's EV_WRITE

Socket = Any  # the C socket, socket.socket or gevent's: send, recv, fileno, close, shutdown

# SO_LINGER with no time: the kernel throws away what it still holds, and resets the connection.
_NO_LINGER = struct.pack("ii", 1, 0)


class Outbound:
    """Writes for one socket. Owned by the connection that reads it.

    ``on_progress`` is called in the hub whenever waiting bytes went out (``size`` has shrunk);
    ``on_lost`` once, when the peer is gone. Neither is called from inside ``write``, which returns
    False instead. ``stalls`` ends the wait for a client that does not read, if somebody is to.
    """

    __slots__ = ("_loop", "_on_lost", "_on_progress", "_queue", "_stalls", "_watcher", "is_lost",
                 "size", "sock", "total")  # fmt: skip

    def __init__(
        self,
        loop: Any,
        sock: Socket,
        on_progress: Callable[[], None],
        on_lost: Callable[[], None],
        stalls: Stalls | None = None,
    ) -> None:
        self.sock = sock
        self.size = 0  # bytes that wait
        self.total = 0  # bytes ever written, waiting ones included
        self.is_lost = False
        self._loop = loop
        self._on_progress = on_progress
        self._on_lost = on_lost
        self._stalls = stalls
        self._queue: deque[memoryview] | None = None
        self._watcher: Any = None

    def write(self, data: bytes) -> bool:
        """Send, or keep, ``data``; False when the peer is gone. Never blocks."""
        if self.is_lost:
            return False
        self.total += len(data)
        if self.size:
            self._keep(memoryview(data))
            return True
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.is_lost = True
            return False
        if sent < len(data):
            self._keep(memoryview(data)[sent:])
        return True

    def close(self) -> None:
        """Stop writing and forget what waits. The socket itself is the owner's."""
        self.is_lost = True
        self.size = 0
        self._queue = None
        if self._watcher is not None:
            self._forget_waiting()

    def give_up(self) -> None:
        """The peer does not read: it is lost, and so is what the kernel holds for it."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        except OSError:
            self.is_lost = True  # it has gone by itself
        self.close()
        self._on_lost()

    def shutdown(self) -> None:
        """Tell the peer that no more comes."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.is_lost = True

    def _keep(self, data: memoryview) -> None:
        if self._queue is None:
            self._queue = deque()
        if self._watcher is None:
            self._watcher = self._loop.io(self.sock.fileno(), WRITE)
        if not self.size:
            self._watcher.start(self._on_writable)
            if self._stalls is not None:
                self._stalls.add(self)
        self._queue.append(data)
        self.size += len(data)

    def _on_writable(self) -> None:
        assert self._queue is not None
        try:
            self._send_queue(self._queue)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            self._on_lost()
            return
        if not self.size:
            # An idle connection keeps neither watcher nor queue: there may be ten thousand.
            self._forget_waiting()
            self._queue = None
        self._on_progress()

    def _forget_waiting(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        self._watcher = None
        if self._stalls is not None:
            self._stalls.discard(self)

    def _send_queue(self, queue: deque[memoryview]) -> None:
        """Send the queue's head, joined, once: the loop comes back while the socket is writable."""
        batch = [queue.popleft()]
        length = len(batch[0])
        while queue and length + len(queue[0]) <= MAX_SEND:
            length += len(queue[0])
            batch.append(queue.popleft())
        data = batch[0] if len(batch) == 1 else memoryview(b"".join(batch))
        sent = 0
        try:
            sent = self.sock.send(data[:MAX_SEND])
        finally:
            if sent < len(data):
                queue.appendleft(data[sent:])
            self.size -= sent
