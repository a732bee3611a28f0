"""Wakeup: have a function run soon on the hub, asked for from any thread, however often."""

from __future__ import annotations

from collections.abc import Callable

from gevent import get_hub
from gevent.monkey import get_original

# The identity of the native thread: the patched one names greenlets.
_get_ident: Callable[[], int] = get_original("threading", "get_ident")


class Wakeup:
    """A callable that has ``function`` run once in the hub, soon.

    It never blocks and may be called from any thread. Many calls before the function ran are one.
    The function runs in the hub greenlet, so it must not block either.
    """

    __slots__ = ("_function", "_is_due", "_loop", "_thread")

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._loop = get_hub().loop
        self._thread = _get_ident()
        self._is_due = False

    def __call__(self) -> None:
        """Have the function run soon."""
        if self._is_due:
            return
        self._is_due = True
        if _get_ident() == self._thread:
            self._loop.run_callback(self._run)
        else:
            self._loop.run_callback_threadsafe(self._run)

    def _run(self) -> None:
        # Cleared first: what is asked for while the function runs must not be missed.
        self._is_due = False
        self._function()
