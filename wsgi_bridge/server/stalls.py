"""Clients that do not read: what is written for them waits, and somebody has to end that.

A client with bytes waiting has ``write_timeout`` seconds to take ``write_timeout * min_write_rate``
of them, or all; then again as long. What it has taken is what its end has acknowledged: a buffer of
the kernel's can hold megabytes, and be full or empty for minutes while a client reads steadily.
"""

from __future__ import annotations

import fcntl
import logging
import struct
import sys
import termios
from typing import TYPE_CHECKING

from wsgi_bridge.events.server import CONNECTION_STALLED

if TYPE_CHECKING:
    from wsgi_bridge.server.outbound import Outbound, Socket
    from wsgi_bridge.server.server import ProtocolServer

logger = logging.getLogger(__name__)

# Seconds between two looks at whose time is up.
LOOK_EVERY = 1.0


class Stalls:
    """The sockets of one process that have bytes waiting. Used in the hub only.

    A socket whose client reads as fast as we write is never in here.
    """

    def __init__(self, server: ProtocolServer) -> None:
        settings = server.settings
        self._server = server
        self._timeout = settings.write_timeout
        self._least = max(1, int(settings.write_timeout * settings.min_write_rate))
        # When its time is up, and the bytes that its client had taken when that began.
        self._marks: dict[Outbound, tuple[float, int] | None] = {}
        self.deadline = 0.0

    def add(self, out: Outbound) -> None:
        """Bytes begin to wait."""
        if not self._timeout:
            return
        if not self._marks:
            self._look_later()
            self._server.timed.add(self)
        self._marks[out] = None  # the first look is soon enough to ask the kernel

    def discard(self, out: Outbound) -> None:
        """Nothing waits any more, or nobody for it."""
        if self._marks.pop(out, self) is not self and not self._marks:
            self._server.timed.discard(self)

    def on_due(self) -> None:
        """Look whose time is up."""
        self._look_later()
        now = self._server.clock()
        lost = [out for out, mark in list(self._marks.items()) if self._is_lost(out, mark, now)]
        for out in lost:
            out.give_up()
        if lost:
            self._server.counters.slow_client_lost_count += len(lost)
            CONNECTION_STALLED.log(
                logger,
                "%(clients)d clients given up: they took less than %(rate)d bytes of "
                "their answer in %(timeout)s s",
                cause="min_write_rate",
                clients=len(lost),
                rate=self._least,
                timeout=self._timeout,
            )

    def _look_later(self) -> None:
        self.deadline = self._server.clock() + min(LOOK_EVERY, self._timeout / 4)

    def _is_lost(self, out: Outbound, mark: tuple[float, int] | None, now: float) -> bool:
        if mark is not None and now < mark[0]:
            return False
        taken = out.total - out.size - count_unacknowledged(out.sock)
        if mark is not None and taken - mark[1] < self._least:
            return True
        self._marks[out] = (now + self._timeout, taken)
        return False


def count_unacknowledged(sock: Socket) -> int:
    """Return how many bytes the kernel holds that the peer has not acknowledged."""
    if sys.platform != "linux":
        return 0  # what the kernel took counts as read, then
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0])
