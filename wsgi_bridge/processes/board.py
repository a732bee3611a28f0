"""What a worker process is busy with, in memory that outlives it: for the log, and for who waits.

Each message that was taken has a place there until it is done: a line of text, and to whom to say
that it was lost, should the process be killed. It costs the process three copies of a hundred bytes
a message, and nothing that could block.
"""

from __future__ import annotations

import mmap
from collections import deque
from collections.abc import Iterator

from wsgi_bridge.processes.orphans import Orphan

__all__ = ["Board"]

# Characters of a line; what is longer is cut off.
_LINE = 120
# Bytes of a place: a line, whose characters take up to four, the names of two channels, under 100
# bytes each, and a number.
_WIDTH = 4 * _LINE + 240
# Where there is no place.
_NOWHERE = -1
# Names that are shown at most.
_SHOWN = 3


class Board:
    """Made by the parent, before the fork, with a place for each message that may be under way."""

    def __init__(self, places: int) -> None:
        self._memory = mmap.mmap(-1, places * _WIDTH)
        self._free = deque(range(0, places * _WIDTH, _WIDTH))

    def begin(self, text: str, orphan: str = "") -> int:
        """Put a message up, and what `Orphan.write` says of it; returns where, for `end`.

        Or nowhere, if there is no place: a layer has given more than it was asked for.
        """
        if not self._free:
            return _NOWHERE
        at = self._free.pop()
        data = f"{orphan}\0{text[:_LINE]}\0".encode("utf-8", "replace")
        memory, start = self._memory, at + 1
        memory[start : start + len(data)] = data
        memory[at] = 1  # last, so that a kill leaves no half of it
        return at

    def end(self, at: int) -> None:
        """Wipe it out."""
        if at == _NOWHERE:
            return
        self._memory[at] = 0
        self._free.append(at)

    def wipe(self) -> None:
        """Wipe everything out: what another process has put up, which is dead."""
        for at in range(0, len(self._memory), _WIDTH):
            self._memory[at] = 0

    def lines(self) -> list[str]:
        """Return the lines that are up."""
        return [line.decode("utf-8", "replace") for _, line in self._entries()]

    def orphans(self) -> list[Orphan]:
        """Return whom to tell of what is up."""
        return [Orphan.parse(data.decode()) for data, _ in self._entries() if data]

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        whole = self._memory[:]
        for at in range(0, len(whole), _WIDTH):
            if whole[at]:
                orphan, line, _ = whole[at + 1 : at + _WIDTH].split(b"\0", 2)
                yield orphan, line

    def __str__(self) -> str:
        lines = self.lines()
        more = len(lines) - _SHOWN
        return "; ".join(lines[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
