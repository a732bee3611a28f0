"""What a supervisor and a worker process tell each other: lines, on a socket pair.

The child says what it is about. The parent says what a sibling has left; and it hangs up, which
means stop. So a child stops just the same when its parent was killed.
"""

from __future__ import annotations

import contextlib
import socket
from enum import Enum

__all__ = ["Event", "Link"]

_SIZE = 65536


class Event(Enum):
    """What is said, each with a line of text; all but the last by a child."""

    #: It takes messages.
    READY = "ready"
    #: It cannot: the text says why. It ends, unless files are watched.
    FAILED = "failed"
    #: The same, because of the command line.
    MISUSED = "misused"
    #: It should be replaced, and goes on until then.
    EXHAUSTED = "exhausted"
    #: Files of the site have changed.
    CHANGED = "changed"
    #: A process has died, and somebody waits for what it was busy with: an Orphan.
    LOST = "lost"


class Link:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._begun = b""
        self.is_open = True

    @classmethod
    def pair(cls) -> tuple[Link, Link]:
        """Return both ends: the parent's, which never waits, and the child's."""
        parent, child = socket.socketpair()
        parent.setblocking(False)
        return cls(parent), cls(child)

    def fileno(self) -> int:
        """Return the descriptor, to wait on."""
        return self._socket.fileno()

    def tell(self, event: Event, text: str = "") -> None:
        """Say something; to nobody, if the other end has gone."""
        with contextlib.suppress(OSError):
            self._socket.sendall(f"{event.value} {' '.join(text.split())}\n".encode())

    def hear(self) -> list[tuple[Event, str]]:
        """Return what the other end has said, when there is something to read."""
        try:
            data = self._socket.recv(_SIZE)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.is_open = bool(data)
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [self._parse(line.decode("utf-8", "replace")) for line in lines]

    def _parse(self, line: str) -> tuple[Event, str]:
        word, _, text = line.partition(" ")
        return Event(word), text

    def hang_up(self) -> None:
        """Close this end; idempotent."""
        self.is_open = False
        self._socket.close()
