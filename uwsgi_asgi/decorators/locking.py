"""@lock: one process at a time, of all that share the layer."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from uwsgi_asgi.decorators.leases import Lease
from wsgi_bridge.outbox import layer_in_use

__all__ = ["lock"]

P = ParamSpec("P")
R = TypeVar("R")

# There is one lock, as there is one in uWSGI.
KEY = "uwsgi.lock"
# Seconds after which it is free whose process has died.
LEASE = 10.0
# Seconds between two attempts at it, the first and the last.
FIRST_PAUSE, LAST_PAUSE = 0.001, 0.05

# The threads of this process that have it: who calls one such function in another passes.
_holders: set[int] = set()


def lock(f: Callable[P, R]) -> Callable[P, R]:
    """Run a function while no other function with a lock runs, in any process. Blocks."""

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        ident = threading.get_ident()
        if ident in _holders:
            return f(*args, **kwargs)
        lease = _wait_for_it()
        _holders.add(ident)
        try:
            return f(*args, **kwargs)
        finally:
            _holders.discard(ident)
            lease.release()

    return call


def _wait_for_it() -> Lease:
    lease = Lease(layer_in_use(), KEY, LEASE)
    pause = FIRST_PAUSE
    while not lease.acquire():
        time.sleep(pause)
        pause = min(2 * pause, LAST_PAUSE)
    return lease
