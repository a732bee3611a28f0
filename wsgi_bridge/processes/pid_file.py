"""The file that holds the process id of a supervisor."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PidFileTaken", "pid_file"]


class PidFileTaken(Exception):
    """The process that the file names is running; `str()` of it is a sentence."""


@contextlib.contextmanager
def pid_file(path: str) -> Iterator[None]:
    """Keep this process's id in a file during the block; raises PidFileTaken, OSError.

    One that was left behind is replaced. Without a path there is no file.
    """
    if not path:
        yield
        return
    other = _running(path)
    if other:
        raise PidFileTaken(f"{path} says that process {other} runs already: stop it first")
    # The directory may be left meanwhile.
    file, me = Path(path).resolve(), os.getpid()
    temporary = file.with_name(f"{file.name}.{me}")
    temporary.write_text(f"{me}\n")
    temporary.replace(file)  # nobody ever reads half of it
    try:
        yield
    finally:
        if os.getpid() == me and _running(str(file)) == me:  # children leave as well
            file.unlink()


def _running(path: str) -> int:
    """Return the id that a file holds, if there is such a process; 0 if not."""
    try:
        pid = int(Path(path).read_text())
        os.kill(pid, 0)
    except PermissionError:
        return pid  # it is another user's
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return 0
    return pid
