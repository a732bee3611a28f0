"""Threads, greenlets and forks: what a layer needs to be right under all three.

Does not import gevent: whether it has patched anything is seen in `sys.modules`.
"""

from __future__ import annotations

import _thread
import os
import sys
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

__all__ = ["Lock", "can_wait", "is_cooperative", "native", "native_lock", "reset_after_fork"]

_Owner = TypeVar("_Owner")

#: What is reset in a forked child, and how.
_resets: weakref.WeakKeyDictionary[Any, Callable[[Any], object]] = weakref.WeakKeyDictionary()


class Lock(Protocol):
    """A re-entrant lock."""

    def acquire(self) -> bool:
        """Lock it; wait if another thread has it."""

    def release(self) -> None:
        """Unlock it."""

    def _is_owned(self) -> bool:
        """Whether this thread has it."""

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
    """Whether gevent has patched what waits: locks and sleeps switch greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def reset_after_fork(owner: _Owner, reset: Callable[[_Owner], object]) -> None:
    """Have `reset(owner)` called in every forked child, as long as `owner` lives."""
    _resets[owner] = reset


def _reset_all() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


# What is registered with the interpreter stays there for ever, so that it is done once.
os.register_at_fork(after_in_child=_reset_all)
