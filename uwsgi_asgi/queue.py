"""ConnectionQueue: accepted connections on their way from the workers to the terminators.

A pair of Unix sockets that the master makes before it forks: the kernel keeps what is in it, so
that a terminator that was killed is no loss for who waits, and there is nothing on a file system.
Each packet is one connection: what is known of its request, and its descriptors.

- One packet is taken whole, by one terminator.
- Who puts something never waits for long: a queue that is full is said to be full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Sequence

__all__ = ["MAX_PACKET", "ConnectionQueue"]

# Bytes of one packet: uWSGI's buffer-size, which a request's head must fit, is 64 KB at most.
MAX_PACKET = 128 * 1024
# Bytes that wait in the kernel, some kilobytes for each connection. It may grant less.
ROOM = 4 * 1024 * 1024
# Descriptors in one packet: the connection, and the file with its request's body.
MAX_DESCRIPTORS = 2
# Seconds between two attempts at a queue that is full, and how many there are: a burst has gone
# by then, and a terminator that hangs holds no worker up.
PAUSE = 0.01
ATTEMPTS = 5
# Of Linux's asm-generic/socket.h: SO_SNDBUF beyond the limit of the system, for root.
_SO_SNDBUFFORCE = 32

# ETOOMANYREFS: more descriptors are on their way than the user may have open.
_FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS))


class ConnectionQueue:
    """Both ends of the queue; each process uses one."""

    def __init__(self, reader: socket.socket, writer: socket.socket) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def make(cls) -> ConnectionQueue:
        """Make a queue, in the master."""
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for sock in (reader, writer):
            sock.setblocking(False)
        try:
            writer.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, ROOM)
        except PermissionError:
            writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
        return cls(reader, writer)

    # By name, for the sub-interpreters of a process

    def __str__(self) -> str:
        return " ".join(f"{end.fileno()}:{_inode(end.fileno())}" for end in self._ends)

    @classmethod
    def find(cls, text: str) -> ConnectionQueue | None:
        """Return the queue that `str` made a text of, in this process or a parent of it.

        None if its descriptors are something else by now, as they are when uWSGI has executed
        itself.
        """
        ends = []
        for name in text.split():
            number, _, inode = name.partition(":")
            if _inode(int(number)) != int(inode):
                return None
            ends.append(socket.socket(fileno=os.dup(int(number))))
        return cls(*ends) if len(ends) == 2 else None

    @property
    def _ends(self) -> tuple[socket.socket, socket.socket]:
        return self._reader, self._writer

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something to take."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close both ends in this process."""
        for end in self._ends:
            end.close()

    # Its use

    def put(self, packet: bytes, descriptors: Sequence[int]) -> bool:
        """Put a connection in; False if there is no room. Raises ValueError if it is too large."""
        if len(packet) > MAX_PACKET:
            raise ValueError(f"{len(packet)} bytes of one request; expected {MAX_PACKET} at most")
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
            try:
                socket.send_fds(self._writer, [packet], descriptors)
                return True
            except OSError as exc:
                if exc.errno == errno.EMSGSIZE:
                    raise ValueError(f"{len(packet)} bytes of one request are too many") from exc
                if exc.errno not in _FULL:
                    raise
        return False

    def take(self) -> tuple[bytes, list[int]] | None:
        """Return the next packet, and descriptors that are the caller's; None if there is none.

        Raises OSError when there is no room for descriptors in this process.
        """
        flags = socket.MSG_CMSG_CLOEXEC
        try:
            packet, descriptors, outcome, _ = socket.recv_fds(
                self._reader, MAX_PACKET, MAX_DESCRIPTORS, flags
            )
        except BlockingIOError:
            return None
        # The kernel drops descriptors that the process has no room for.
        if outcome & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
            for descriptor in descriptors:
                os.close(descriptor)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return packet, descriptors


def _inode(descriptor: int) -> int:
    """Return what tells a socket from all others, 0 if there is no such descriptor."""
    with contextlib.suppress(OSError):
        return os.fstat(descriptor).st_ino
    return 0
