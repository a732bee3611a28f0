"""Who of the workers that accept from the same sockets takes the next connection.

The kernel wakes all of them, and whoever is awake first has it: of 64 connections that come at once
one worker may get 60, and serve them alone for as long as they last. So the workers tell each other
how many connections they have, in a page of memory made before the fork, and one that has more than
another lets that one go first. For some milliseconds only: nobody waits for a worker that is dead,
stopped, or busy with something else.

In the same page each says how much it has in all, for whoever tells that of the whole gunicorn.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# Workers that one master may have; others take part in nothing.
SEATS = 256
# Seconds after which a worker that gave no sign counts no more; it gives one every second.
STALE = 2.5
# A worker may have so many connections more than another, and this part of the other's: less would
# have them wait for each other, connection by connection.
SLACK = 2
SLACK_PART = 1 / 32

# What there is of a seat: a number of 8 bytes each.
_COUNT, _SIGN, _PID, _CONNECTIONS, _WEBSOCKETS, _WIDTH = range(6)


class Board:
    """A page shared by a master's workers, with a seat for each. Made in the master."""

    def __init__(self) -> None:
        self._holders: list[Any] = []
        self.numbers = memoryview(mmap.mmap(-1, SEATS * _WIDTH * 8)).cast("q")

    def take_seat(self, worker: Any) -> int | None:
        """Return a seat for a worker that is about to be forked; None if there is none left."""
        seat = next((n for n, holder in enumerate(self._holders) if not is_unreaped(holder)), None)
        if seat is None:
            seat = len(self._holders)
            if seat == SEATS:
                return None
            self._holders.append(worker)
        self._holders[seat] = worker
        for at in (_SIGN, _PID):
            self.numbers[seat * _WIDTH + at] = 0
        return seat


class Totals(NamedTuple):
    """What the workers of one gunicorn have together."""

    connections: int
    websockets: int


class Share:
    """One worker's part of the connections. Made in the master, used in the worker's hub."""

    def __init__(self, board: Board, seat: int | None) -> None:
        self._numbers = board.numbers
        self._seat = self._at = None if seat is None else seat * _WIDTH
        self._siblings: list[int] = []  # where the counts are of those that accept now

    def set_count(self, connections: int) -> None:
        """Tell the siblings how many connections there are."""
        if self._at is not None:
            self._numbers[self._at] = connections

    def give_sign(self) -> None:
        """Tell the siblings that this worker accepts; see who of them does."""
        if self._at is None:
            return
        now = time.monotonic_ns()
        self._numbers[self._at + _SIGN] = now
        since = now - int(STALE * 1e9)
        signs = self._numbers[_SIGN::_WIDTH].tolist()
        seats = [seat * _WIDTH for seat, sign in enumerate(signs) if sign > since]
        self._siblings = [at for at in seats if at != self._at]

    def leave(self) -> None:
        """Tell the siblings that this worker accepts no more."""
        if self._at is not None:
            self._numbers[self._at + _SIGN] = 0
        self._at = None
        self._siblings = []

    def tell_totals(self, connections: int, websockets: int) -> Totals:
        """Say what this worker has, whether or not it accepts; return what all living have.

        A worker that was killed has nothing, at once: whether its process lives is asked.
        """
        numbers, at = self._numbers, self._seat
        if at is None:
            return Totals(connections, websockets)
        numbers[at + _CONNECTIONS] = connections
        numbers[at + _WEBSOCKETS] = websockets
        numbers[at + _PID] = os.getpid()
        pids = numbers[_PID::_WIDTH].tolist()
        seats = [seat * _WIDTH for seat, pid in enumerate(pids) if pid and _lives(pid)]
        return Totals(
            sum(numbers[seat + _CONNECTIONS] for seat in seats),
            sum(numbers[seat + _WEBSOCKETS] for seat in seats),
        )

    def is_full(self, connections: int) -> bool:
        """Whether one with so many should let a sibling go first."""
        if not self._siblings:
            return False
        least = min(map(self._numbers.__getitem__, self._siblings))
        return connections > least + SLACK + least * SLACK_PART


class Courtesy:
    """Lets siblings go first, and ends that. Used in the hub, by one listener.

    ``pause`` and ``resume`` stop and start its accepting, ``accept`` has it accept one connection
    and returns whether there was one.
    """

    # Seconds between two looks at the others' share; waking a process takes a tenth of that.
    STEP = 0.001
    # Looks until a connection that nobody takes is taken here; on a busy machine a process may be
    # left waiting for some milliseconds.
    PATIENCE = 5
    # Connections that are taken at once when nobody wanted the one before, at most; then a look.
    MAX_TAKEN = 4

    __slots__ = ("_accept", "_is_full", "_left", "_loop", "_pause", "_resume", "_taken", "_timer",
                 "_unwanted")  # fmt: skip

    def __init__(
        self,
        loop: Any,
        is_full: Callable[[], bool],
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        accept: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._is_full = is_full
        self._pause = pause
        self._resume = resume
        self._accept = accept
        self._left = 0  # looks
        self._unwanted = 0  # how many to take when nobody wants one: 1, 2, 4…
        self._taken = 0  # of those
        self._timer: Any = None

    def should_wait(self) -> bool:
        """Whether the next connection is left to a sibling; then accepting has been paused."""
        if not self._is_full():
            return False
        if self._taken < self._unwanted:
            self._taken += 1
            return False
        self._left = 1 if self._unwanted else self.PATIENCE
        self._pause()
        self._timer = self._loop.timer(self.STEP, self.STEP)
        self._timer.start(self._look)
        return True

    def close(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _look(self) -> None:
        self._left -= 1
        is_full = self._is_full()
        if is_full and self._left:
            return
        self.close()
        self._taken = 0
        if is_full and self._accept():
            # It lay there all the time: they have something else to do.
            self._unwanted = min(self.MAX_TAKEN, 2 * self._unwanted or 1)
        else:
            self._unwanted = 0
        self._resume()


_board: Board | None = None


def make_share(worker: Any) -> Share:
    """Return the share of a worker that is about to be forked. For the master."""
    global _board  # one a master, made with its first worker
    if _board is None:
        _board = Board()
    return Share(_board, _board.take_seat(worker))


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return True
    return False


def is_unreaped(worker: Any) -> bool:
    """Whether gunicorn counts a worker: it closes the temporary file of one that has ended."""
    try:
        worker.tmp.fileno()
    except ValueError:
        return False
    return True
