"""What a worker process is busy with, in memory that outlives it: for the log, when it was killed.

Each message that is being handled has a place there, a line of text. It costs the process two
copies of a hundred bytes a message, and nothing that could block.
"""

from __future__ import annotations

import mmap
from collections import deque

__all__ = ["Board"]

# Bytes of a line; what is longer is cut off.
_WIDTH = 160
# Names that are shown at most.
_SHOWN = 3


class Board:
    """Made by the parent, before the fork, with a line for each message that may be under way."""

    def __init__(self, lines: int) -> None:
        self._memory = mmap.mmap(-1, lines * _WIDTH)
        self._free = deque(range(0, lines * _WIDTH, _WIDTH))

    def begin(self, text: str) -> int:
        """Put up a line; returns where, for `end`."""
        at = self._free.pop()
        data = text.encode("utf-8", "replace")[: _WIDTH - 1] + b"\0"
        self._memory[at : at + len(data)] = data
        return at

    def end(self, at: int) -> None:
        """Wipe a line out."""
        self._memory[at] = 0
        self._free.append(at)

    def lines(self) -> list[str]:
        """Return the lines that are up."""
        whole = self._memory[:]
        found = []
        for at in range(0, len(whole), _WIDTH):
            text = whole[at : at + _WIDTH].partition(b"\0")[0]
            if text:
                found.append(text.decode("utf-8", "replace"))
        return found

    def __str__(self) -> str:
        lines = self.lines()
        more = len(lines) - _SHOWN
        return "; ".join(lines[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()
