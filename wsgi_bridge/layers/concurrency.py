"""Threads, greenlets and forks: what a layer needs to be right under all three.

Does not import gevent: whether it has patched anything is seen in `sys.modules`.
"""

from __future__ import annotations

import _thread
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Lock", "can_wait", "is_cooperative", "native", "native_lock", "reset_after_fork"]

_resets: set[weakref.WeakMethod[Callable[[], object]]] = set()


class Lock(Protocol):
    """A re-entrant lock."""

    def acquire(self) -> bool:
        """Lock it; wait if another thread has it."""

    def release(self) -> None:
        """Unlock it."""

    def __enter__(self) -> bool: ...

    def __exit__(self, *exception: object) -> None: ...


def native(name: str) -> Callable[..., Any]:
    """Return a function of `_thread`, the original one where gevent has patched it."""
    monkey = sys.modules.get("gevent.monkey")
    function: Callable[..., Any] = getattr(_thread, name)
    return monkey.get_original("_thread", name) if monkey else function


def native_lock() -> Lock:
    """Return a lock of the interpreter, not the greenlet one that gevent put in its place.

    For sections of microseconds that never switch. Re-entrant, because the garbage collector may
    run in any allocation, and with it a finalizer that calls the layer.
    """
    lock: Lock = native("RLock")()
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


def reset_after_fork(reset: Callable[[], object]) -> None:
    """Have a bound method called in every forked child, as long as its object lives."""
    _resets.add(weakref.WeakMethod(reset, _resets.discard))


def _reset_all() -> None:
    for reference in list(_resets):
        reset = reference()
        if reset is not None:
            reset()


# What is registered with the interpreter stays there for ever, so that it is done once.
os.register_at_fork(after_in_child=_reset_all)
