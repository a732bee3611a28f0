"""Decorators that a channel layer has nothing to do with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from typing import Any, TypeVar

from uwsgi_asgi.decorators.events import TASK_NO_EFFECT
from uwsgi_asgi.decorators.host import maybe_uwsgi
from uwsgi_asgi.decorators.tasks import name_of

__all__ = ["erlang", "rpc", "thread"]

logger = logging.getLogger(__name__)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def thread(f: Decorated) -> Callable[..., Decorated]:
    """Run each call of a function in a thread that dies with the process; a call returns it."""

    def call(*args: Any) -> Decorated:
        Thread(target=f, args=args, daemon=True).start()
        return f

    return call


def rpc(name: str) -> Callable[[Decorated], Decorated]:
    """Have a function called by uWSGI's RPC. Outside of uWSGI nobody can: that is logged."""

    def decorate(f: Decorated) -> Decorated:
        uwsgi = _uwsgi_for("rpc", f)
        if uwsgi is not None:
            uwsgi.register_rpc(name, f)
        return f

    return decorate


def erlang(name: str) -> Callable[[Decorated], Decorated]:
    """Make a function an Erlang process. Outside of uWSGI nobody can reach it: that is logged."""

    def decorate(f: Decorated) -> Decorated:
        uwsgi = _uwsgi_for("erlang", f)
        if uwsgi is not None:
            uwsgi.erlang_register_process(name, f)
        return f

    return decorate


def _uwsgi_for(decorator: str, f: Callable[..., Any]) -> Any:
    uwsgi = maybe_uwsgi()
    if uwsgi is None:
        TASK_NO_EFFECT.log(
            logger,
            "@%(decorator)s of %(task)s has no effect outside of uWSGI",
            cause="no uWSGI",
            decorator=decorator,
            task=name_of(f),
        )
    return uwsgi
