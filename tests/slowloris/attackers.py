"""Connections that are kept busy with as little as possible. In a process of their own.

Three kinds, after what is slow: the request's head, its body, or the reading of the response.
"""

from __future__ import annotations

import errno
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

KINDS = ("head", "body", "read")
# Seconds between two bytes of one connection.
INTERVAL = 1.0
# Connections opened a second, at most; slowhttptest opens 50.
RATE = 500
# Seconds between two rounds of looking whose byte is due.
ROUND = 0.05

_BEGINNINGS = {
    "head": b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ",
    "body": b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n",
    # Sixteen megabytes: more than the kernel holds for a client with a small window.
    "read": b"GET /stream?count=256&size=65536 HTTP/1.1\r\nHost: a\r\n\r\n",
}
_NOT_YET = (errno.EAGAIN, errno.ENOTCONN, errno.EINPROGRESS, errno.EALREADY)


@dataclass
class Lives:
    """What became of the connections of one kind; times in seconds."""

    opened: int = 0
    dropped: int = 0
    longest: float = 0.0

    def add(self, life: float) -> None:
        """Count one that the server has dropped."""
        self.dropped += 1
        self.longest = max(self.longest, life)


@dataclass
class Attack:
    """``count`` connections to ``port``. ``again``: whether one that is dropped comes back."""

    port: int
    count: int
    again: bool
    lives: dict[str, Lives] = field(default_factory=lambda: {kind: Lives() for kind in KINDS})

    def run(self, should_stop: Callable[[], bool]) -> dict[str, Lives]:
        """Attack until told to stop, or until all were dropped; return what became of them."""
        missing = deque(KINDS[n % len(KINDS)] for n in range(self.count))
        attackers: list[Attacker] = []
        while (attackers or missing) and not should_stop():
            started = time.monotonic()
            opened = min(len(missing), int(RATE * ROUND))
            attackers += [self._open(missing.popleft()) for _ in range(opened)]
            gone = {each for each in attackers if not self._goes_on(each, started)}
            attackers = [each for each in attackers if each not in gone]
            if self.again:
                missing += [each.kind for each in gone]
            time.sleep(max(0.0, started + ROUND - time.monotonic()))
        for attacker in attackers:
            attacker.sock.close()
        return self.lives

    def _open(self, kind: str) -> Attacker:
        self.lives[kind].opened += 1
        return Attacker(self.port, kind)

    def _goes_on(self, attacker: Attacker, now: float) -> bool:
        if now < attacker.due or attacker.act(now):
            return True
        attacker.sock.close()
        self.lives[attacker.kind].add(now - attacker.opened)
        return False


class Attacker:
    """One connection."""

    def __init__(self, port: int, kind: str) -> None:
        """Connect, without waiting for it."""
        self.kind = kind
        self.sock = socket.socket()
        if self.kind == "read":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))
        self._next = _BEGINNINGS[self.kind]
        self.opened = self.due = time.monotonic()

    def act(self, now: float) -> bool:
        """Do as little as keeps the connection busy; whether it lives."""
        self.due = now + INTERVAL
        try:
            if self._next:
                self.sock.send(self._next)
                self._next = b"" if self.kind == "read" else b"x"
            if self.kind != "read":
                return self._hears_nothing()
            if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return False  # a reset, behind bytes that could still be read
            return bool(self.sock.recv(1))
        except OSError as exc:
            return exc.errno in _NOT_YET

    def _hears_nothing(self) -> bool:
        """Whether there was no answer: it would be a 408."""
        try:
            self.sock.recv(1)
        except BlockingIOError:
            return True
        return False


def attack(port: int, count: int, again: bool, pipe: Connection) -> None:
    """Attack until something comes on the pipe, and send what became of the connections there."""
    pipe.send(Attack(port, count, again).run(pipe.poll))
