"""Which channel layer the processes of one uWSGI share: the one that is named, or one of their own.

Like that of a gunicorn's workers, it is named after the master, which outlives a reload.
"""

from __future__ import annotations

import contextlib
import os

from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.layers import has_layer

__all__ = ["NO_LAYER", "name_layer"]

NO_LAYER = (
    "there is no channel layer: install lmdb, for one on this machine, or name one by --layer or "
    f"{LAYER_VARIABLE}, such as redis://localhost"
)
MEMORY_LAYER = (
    "a memory:// layer lives in one process, and workers and mules could not reach each other: "
    "leave it out, or name one such as ipc://mysite or redis://localhost"
)


def name_layer(master: int) -> str | None:
    """See that CHANNEL_LAYER names a layer, in the master; return what is wrong, if it cannot.

    The layers of uWSGIs that have gone are removed: nobody else would.
    """
    url = os.environ.get(LAYER_VARIABLE)
    if url:
        return MEMORY_LAYER if url.startswith("memory:") else None
    if not has_layer("ipc"):
        return NO_LAYER
    from wsgi_bridge.layers.ipc.directory import remove_abandoned

    name = f"uwsgi-{master}-{_started(master)}"
    remove_abandoned("uwsgi-*", own=name)
    os.environ[LAYER_VARIABLE] = f"ipc://{name}"
    return None


def _started(pid: int) -> str:
    """Return when a process started: containers that share a directory have the same ids."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
        # proc(5): field 22, in ticks since boot; the second one may hold blanks and brackets.
        return stat.read().rpartition(")")[2].split()[19]
    return "0"
