"""Which files of the site have changed, for --reload."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from types import TracebackType

__all__ = ["Files", "files_of_failure"]


# Nanoseconds by which the clock of file systems may be behind.
_COARSE = 10_000_000


class Files:
    """The files of the modules that are loaded, and others that it is told of.

    To be made before the site is loaded: what changes from then on is noticed, also between the
    moment at which a file is read and the first look at it.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self._clock = clock
        self._since = clock() - _COARSE
        self._seen: dict[str, int] = {}

    def add(self, paths: Iterable[str]) -> None:
        """Watch these too; a directory changes when a file is added."""
        now = self._clock()
        for path in paths:
            if path not in self._seen:
                at = _changed_at(path)
                # What is dated in the future (the clock was wrong) would be new for ever.
                self._seen[path] = 0 if self._since < at <= now else at

    def changed(self) -> list[str]:
        """Return the paths of those that have changed since the last look."""
        self.add(_loaded())
        changed = []
        for path, before in self._seen.items():
            now = _changed_at(path)
            if now != before:
                self._seen[path] = now
                changed.append(path)
        return sorted(changed)


def files_of_failure(exc: BaseException | None) -> set[str]:
    """Return the files that an exception and its causes come from, with their directories.

    A module that fails to be imported is not loaded; one that is not there may be added.
    """
    paths = {os.getcwd()}
    while exc is not None:
        paths.update(_files_of_traceback(exc.__traceback__))
        if isinstance(exc, SyntaxError) and exc.filename:
            paths.add(exc.filename)
        exc = exc.__cause__ or exc.__context__
    own = {path for path in paths if not path.startswith("<") and os.path.exists(path)}
    return own | {os.path.dirname(path) for path in own if os.path.isfile(path)}


def _files_of_traceback(traceback: TracebackType | None) -> Iterable[str]:
    while traceback is not None:
        yield traceback.tb_frame.f_code.co_filename
        traceback = traceback.tb_next


def _loaded() -> list[str]:
    # A copy: other threads import.
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [path for path in files if isinstance(path, str)]


def _changed_at(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime_ns
    return 0
