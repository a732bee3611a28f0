"""Which channel layer a worker of gunicorn opens, and with how much room.

The workers of one gunicorn share a layer: the one that the site or CHANNEL_LAYER names, else one of
their own that is named after their master.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from gunicorn_asgi.events import LAYER_NOT_SHARED

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.layers.base import BaseLayer


def open_worker_layer(
    bridge: Bridge,
    cfg: Any,
    *,
    master: int,
    is_first: bool,
    local_first: bool,
    log: Any,
    is_split: bool = False,
) -> BaseLayer:
    """Open the layer, with room for what one process's own connections can have in flight.

    What the layer's URL says goes before this.
    ``master``: gunicorn's process id; ``is_first``: whether this is its first worker;
    ``local_first``: whether this process consumes what its own sockets produce; ``is_split``:
    whether some of its siblings do not know the site.
    """
    from wsgi_bridge.bridge import DEFAULT_LAYER
    from wsgi_bridge.layers.memory import MemoryLayer
    from wsgi_bridge.server.capacity import server_capacity

    channels = server_capacity(cfg.worker_connections)
    has_siblings = cfg.workers > 1
    default = find_sibling_url(master, is_first) if has_siblings else DEFAULT_LAYER
    layer = bridge.open_layer(
        default=default or DEFAULT_LAYER,
        local_first=local_first,
        asks_site=not is_split,
        channel_capacity=channels,
    )
    if has_siblings and isinstance(layer, MemoryLayer) and is_first:  # once is enough
        LAYER_NOT_SHARED.log(
            log,
            "with %(workers)s workers and the memory:// layer, groups reach only "
            "the sockets of their own worker: name a layer that joins them, such "
            "as CHANNEL_LAYER=ipc://mysite",
            cause="memory://",
            workers=cfg.workers,
        )
    return layer


def find_sibling_url(master: int, is_first: bool) -> str:
    """Return the URL of the layer that the workers of one gunicorn share; "" if there is no ipc.

    It is named after the master, which outlives a reload: its process id, and the time at which it
    started, since containers that share a directory have the same ids. Two gunicorns never meet.
    The first worker removes the layers of gunicorns that have gone: nobody else would, as each has
    its own.
    """
    from wsgi_bridge.layers import has_layer

    if not has_layer("ipc"):
        return ""
    name = _name_of(master)
    if is_first:
        from wsgi_bridge.layers.ipc.directory import remove_abandoned

        remove_abandoned("gunicorn-*", own=name, is_kept=_has_master)
    return f"ipc://{name}"


def _name_of(master: int) -> str:
    """Return the name of the layer of a gunicorn with a master of that process id."""
    started = ""
    with contextlib.suppress(OSError), open(f"/proc/{master}/stat") as stat:
        # proc(5): field 22, in ticks since boot; the second one may hold blanks and brackets.
        started = stat.read().rpartition(")")[2].split()[19]
    return f"gunicorn-{master}-{started or 0}"


def _has_master(name: str) -> bool:
    """Whether the gunicorn of that name goes on, though none of its workers is there now.

    In a reload, or when all of them were killed, there is none for a while.
    """
    master = name.split("-")[1]
    return master.isdigit() and _name_of(int(master)) == name
