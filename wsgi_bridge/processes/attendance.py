"""Whether a process that holds sockets is there, for those who run consumers beside it.

What is asked is answered by the kernel, at once and rightly, however a process has ended.
"""

from __future__ import annotations

import fcntl
import os
import tempfile

__all__ = ["Presence"]


class Presence:
    """A file without a name, inherited by all workers, by which they know of each other.

    Servers hold shared locks on two of its bytes. Such a lock ends with its process, however that
    ends, and who gets the exclusive one knows that there is no server. The file's content is the
    generation, written by the master.
    """

    _SERVES, _LIVES = 0, 1

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as its processes

    @property
    def generation(self) -> int:
        """How often the configuration was read, when the latest worker was made."""
        return int(os.pread(self._file.fileno(), 20, 0) or 0)

    @generation.setter
    def generation(self, number: int) -> None:
        os.pwrite(self._file.fileno(), b"%d" % number, 0)

    def enter(self) -> bool:
        """Be seen as a server; whether that is so now. To be tried again: others look meanwhile."""
        return self._lock(fcntl.LOCK_SH, self._SERVES) and self._lock(fcntl.LOCK_SH, self._LIVES)

    def retire(self) -> None:
        """Be seen as a server that finishes what it has, and takes no more."""
        self._unlock(self._SERVES)

    def is_retired(self) -> bool:
        """Whether every server finishes what it has, or has gone."""
        return self._is_free(self._SERVES)

    def is_left(self) -> bool:
        """Whether every server has gone."""
        return self._is_free(self._LIVES)

    def claim_desertion(self) -> bool:
        """Whether there is no server, and nobody else has claimed so; ends with the process."""
        return self._lock(fcntl.LOCK_EX, self._LIVES)

    def _is_free(self, at: int) -> bool:
        is_free = self._lock(fcntl.LOCK_EX, at)
        if is_free:
            self._unlock(at)
        return is_free

    def _lock(self, kind: int, at: int) -> bool:
        try:
            fcntl.lockf(self._file, kind | fcntl.LOCK_NB, 1, at)
        except OSError:
            return False
        return True

    def _unlock(self, at: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, at)
