"""@harakiri: a function that may take no longer than so many seconds.

uWSGI kills the process, and one that runs consumers would take down whatever else it does. So that
is done only where uWSGI does it for one request, in its workers; elsewhere the function is
interrupted.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from uwsgi_asgi.decorators.host import maybe_uwsgi
from wsgi_bridge.deadlines import Deadlines
from wsgi_bridge.exceptions import ConsumerTimeout

__all__ = ["harakiri"]

P = ParamSpec("P")
R = TypeVar("R")

_deadlines = Deadlines()


def harakiri(seconds: float) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """End a function that runs for longer than `seconds`.

    In a worker of uWSGI by killing the worker. Elsewhere by ConsumerTimeout: in a greenlet when it
    waits, in a thread at its next step in Python.
    """

    def decorate(f: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(f)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            uwsgi = maybe_uwsgi()
            if uwsgi is None or not uwsgi.worker_id():
                return _interrupt(seconds, functools.partial(f, *args, **kwargs))
            uwsgi.set_user_harakiri(int(seconds))
            try:
                return f(*args, **kwargs)
            finally:
                uwsgi.set_user_harakiri(0)

        return call

    return decorate


def _interrupt(seconds: float, f: Callable[[], R]) -> R:
    timeout = ConsumerTimeout(f"not done in {seconds} s")
    if _is_patched():
        import gevent

        with gevent.Timeout(seconds, timeout):
            return f()
    late: list[int] = []

    def interrupt(ident: int) -> None:
        late.append(ident)
        _raise_in(ident, ConsumerTimeout)

    try:
        with _deadlines.within(seconds, interrupt):
            result = f()
    except ConsumerTimeout as exc:
        if late:
            raise timeout from exc
        raise  # somebody else's
    if late:  # at the last moment: it has not been raised yet
        _raise_in(late[0], None)
        raise timeout
    return result


def _is_patched() -> bool:
    """Whether threads are greenlets here."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def _raise_in(ident: int, kind: Any) -> None:
    """Have a thread raise an exception at its next step in Python; None takes that back."""
    exception = ctypes.py_object(kind) if kind is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)
