"""Which processes are alive: each locks the byte of its place in a file, and the kernel unlocks it.

The locks are those of `fcntl`: they belong to the process, so that a forked child does not keep its
parent's, and they end with it, however it ends. They would also end if the process opened and
closed the file a second time, which is why there is one Places for each directory in a process.
"""

from __future__ import annotations

import fcntl
import os

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.ipc.directory import PROCESSES_LOCK, Directory

__all__ = ["MAX_PLACES", "Places"]

#: Processes at one time. Each is a bit of work for whoever sends to what all listen on.
MAX_PLACES = 4096


class Places:
    """The places of a directory. Number 0 is nobody's."""

    def __init__(self, directory: Directory) -> None:
        self._path = directory.path / PROCESSES_LOCK
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> int:
        """Lock the first place that is free, and return its number."""
        for place in range(1, MAX_PLACES):
            if self.lock(place):
                return place
        raise ChannelLayerUnavailable(f"{MAX_PLACES} processes use {str(self._path)!r} already")

    def lock(self, place: int) -> bool:
        """Lock a place unless a living process has it. Never to be called for one's own."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True

    def unlock(self, place: int) -> None:
        """Let a place go."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Let everything go; in a forked child, where nothing is held, just close."""
        os.close(self._file)
