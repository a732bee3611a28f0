"""Seats: what is known of each consumer mule in memory that outlives it, made by the master.

uWSGI starts a mule that has died anew, at once and for ever. So whoever takes the seat looks what
became of the one before: it waits if that one died as it started, longer each time, and tells those
who wait for what that one was busy with (`wsgi_bridge.processes.board`). A seat is taken by a
lock, which ends with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import mmap
import struct
import tempfile
import time
from collections.abc import Callable
from typing import ClassVar

from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.orphans import Orphan

__all__ = ["Seat", "Seats"]

# Seconds after a mule became ready in which its death counts as a failure to start. uWSGI needs one
# of them to notice.
YOUNG = 3.0
# Seconds before the next start, after one failure; twice that after each more, up to the longest.
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


class Seats:
    """The seats of ``count`` mules, each with a place for ``places`` messages on its board."""

    def __init__(self, count: int, places: int) -> None:
        self._places = places
        self._seats = [Seat(places) for _ in range(count)]
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as its processes

    def claim(self) -> Seat:
        """Return the first seat that no living process has; one of its own if there is none."""
        for at, seat in enumerate(self._seats):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
            except OSError:
                continue
            return seat
        return Seat(self._places)


class Seat:
    """The seat of one mule. Written by the process that has it, read by the next."""

    _FORMAT: ClassVar = struct.Struct("=BddII")
    _FREE, _STARTING, _READY = range(3)

    def __init__(self, places: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        #: Mules that died on this seat, and were not told to end.
        self.deaths = 0
        #: Whether the one before has.
        self.has_died = False
        self.board = Board(places)
        self._clock = clock
        self._memory = mmap.mmap(-1, self._FORMAT.size)

    def take(self) -> float:
        """Sit down; return the seconds to wait before anything else."""
        state, _, ready, deaths, failures = self._FORMAT.unpack(self._memory[:])
        now = self._clock()
        self.has_died = state != self._FREE
        if self.has_died:
            deaths += 1
            is_failure = state == self._STARTING or now - ready < YOUNG
            failures = failures + 1 if is_failure else 0
        self.deaths = deaths
        self._write(self._STARTING, now, 0.0, failures)
        return min(FIRST_DELAY * 2 ** min(failures - 1, 16), LONGEST_DELAY) if failures else 0.0

    def orphans(self) -> list[Orphan]:
        """Return whom to tell of what the mule before was busy with, once."""
        found = self.board.orphans()
        self.board.wipe()
        return found

    def begin(self) -> None:
        """Be ready."""
        _, started, _, _, failures = self._FORMAT.unpack(self._memory[:])
        self._write(self._READY, started, self._clock(), failures)

    def leave(self) -> None:
        """End as one should: the next one starts at once."""
        self._write(self._FREE, 0.0, 0.0, 0)

    def _write(self, state: int, started: float, ready: float, failures: int) -> None:
        self._memory[:] = self._FORMAT.pack(state, started, ready, self.deaths, failures)
