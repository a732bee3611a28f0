"""How many connections the limit on open files has room for.

A worker that took the last descriptor for a client could open no log, no database and no upload of
the site's, for any client. So the number of connections is kept below the limit, and who comes
then waits in the kernel's backlog. There is no descriptor in reserve to accept and refuse with: a
refusal would help nobody.
"""

from __future__ import annotations

import os
import resource
from typing import Any

from wsgi_bridge.events.server import SERVER_FEW_DESCRIPTORS

# Descriptors left to the site: files, connections to databases. nginx leaves none, and says so.
RESERVE = 32


def limit_connections(wanted: int, log: Any, setting: str = "worker_connections") -> int:
    """Return how many connections there may be: ``wanted``, or fewer. Says so if fewer.

    For a process that has opened what it needs itself. ``setting``: where ``wanted`` comes from.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = max(1, limit - count_open() - RESERVE)
    if limit == resource.RLIM_INFINITY or wanted <= room:
        return wanted
    text = (
        "At most %(connections)d connections, not %(wanted)d (%(setting)s): a process may have "
        "%(limit)d files open"
    )
    fields = {"connections": room, "wanted": wanted, "setting": setting, "limit": limit}
    if wanted >= limit:
        SERVER_FEW_DESCRIPTORS.log(log, text, cause="RLIMIT_NOFILE", **fields)
    else:
        log.info(text, fields)
    return room


def count_open() -> int:
    """Return how many descriptors this process has; a guess where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return RESERVE
