"""The variables that uWSGI's configuration sets, where Python has not seen them.

pyuwsgi reads its configuration when the interpreter runs already: what that sets (`env = …`) is in
the environment of the process, and not in `os.environ`, which was made before.
"""

from __future__ import annotations

import ctypes
import os

__all__ = ["refresh_environment"]


def refresh_environment() -> None:
    """Have `os.environ` say what the environment of the process does."""
    found = {}
    entries = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    at = 0
    while (entry := entries[at]) is not None:
        name, _, value = entry.partition(b"=")
        found[name] = value
        at += 1
    # Only now: whoever sets a variable may move them all.
    for name, value in found.items():
        if name and os.environb.get(name) != value:
            os.environb[name] = value
