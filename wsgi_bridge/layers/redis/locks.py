"""Locks and waits that are right under threads and under greenlets. Does not import gevent."""

from __future__ import annotations

import _thread
import sys
from contextlib import AbstractContextManager

__all__ = ["can_wait", "is_cooperative", "native_lock"]


def native_lock() -> AbstractContextManager[bool]:
    """Return a re-entrant lock of the interpreter, not the greenlet one that gevent put there.

    For sections of microseconds that never switch. Re-entrant, because the garbage collector may
    run a finalizer that calls the layer from within one.
    """
    monkey = sys.modules.get("gevent.monkey")
    make = monkey.get_original("_thread", "RLock") if monkey else _thread.RLock
    lock: AbstractContextManager[bool] = make()
    return lock


def can_wait() -> bool:
    """Whether the caller may block: not in the hub of gevent, where all sockets would stop."""
    hub = sys.modules.get("gevent.hub")
    if hub is None:
        return True
    return not isinstance(hub.getcurrent(), hub.Hub)


def is_cooperative() -> bool:
    """Whether `time.sleep(0)` runs the other greenlets of this thread."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("time"))
