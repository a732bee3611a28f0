"""The code that is deployed: a small file of Python, which the button writes anew.

A process loads the latest release when it starts, and runs that until it ends: so the answers of
new code come from new processes. `deploy` does what somebody does who deploys by hand: it puts the
next release in place and tells gunicorn's master to reload (SIGHUP).

Only `make demo` offers that. It names the master, and a directory of its own, in the environment
(gunicorn.conf.py); no other process is ever sent a signal. Elsewhere there is release 1.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MASTER = "DEMO_MASTER"  # the process id of the gunicorn that may be told to reload
DIRECTORY = "DEMO_RELEASES"
PATIENCE = 10.0  # seconds until a deployment that has not been seen to end is taken for one
GREETINGS = ("Ahoy", "Fair winds", "Well met", "Steady as she goes", "Land ho", "Welcome aboard")
SOURCE = '''\
"""Release {number} of this site, written by the button."""

NUMBER = {number}


def greet(name):
    return f"{greeting}, {{name}}."
'''


class Release(NamedTuple):
    number: int
    greet: Callable[[str], str]


class UnderWay(Exception):
    """The release that was deployed last does not run yet."""


def find_file() -> Path | None:
    """Return where the latest release is, or will be; None where none can be deployed."""
    directory = os.environ.get(DIRECTORY)
    return Path(directory, "release.py") if directory else None


def load() -> Release:
    """Return the release that is deployed now."""
    path = find_file()
    if path is None or not path.exists():
        return Release(1, (GREETINGS[0] + ", {}.").format)
    # Not imported: the byte code of a file stands for one of the same size in the same second.
    code = runpy.run_path(str(path))
    return Release(code["NUMBER"], code["greet"])


CURRENT = load()


def is_offered() -> bool:
    """Whether this process was started by the gunicorn that may be told to reload."""
    return os.environ.get(MASTER) == str(os.getppid()) and find_file() is not None


def is_outdated() -> bool:
    """Whether a later release is deployed: what goes on and on in this one may find an end."""
    return load().number != CURRENT.number


def deploy() -> int:
    """Put the next release in place and have gunicorn run it; return its number.

    Returns before it runs. Raises UnderWay, and RuntimeError where it is not offered.
    """
    path = find_file()
    if path is None or not is_offered():
        raise RuntimeError("only the gunicorn of `make demo` can be told to reload")
    with _locked(path.parent):
        latest = load().number
        if latest != CURRENT.number and time.time() - path.stat().st_mtime < PATIENCE:
            raise UnderWay(f"release {latest} is being deployed")
        _write(path, latest + 1)
        os.kill(os.getppid(), signal.SIGHUP)
    return latest + 1


def _write(path: Path, number: int) -> None:
    draft = path.with_suffix(".draft")
    greeting = GREETINGS[(number - 1) % len(GREETINGS)]
    draft.write_text(SOURCE.format(number=number, greeting=greeting))
    draft.replace(path)  # in one step: a process that starts now reads a whole one


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other threads and processes out."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
