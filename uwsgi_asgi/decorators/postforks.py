"""@postfork: what a process does for itself before it serves.

Under uWSGI its own hook says when. Elsewhere the functions run in a process that was forked from
one which had imported them, right then (gunicorn's --preload); and in one that has imported them
itself, when it opens the layer: where consumers run, that is before the first message.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from uwsgi_asgi.decorators.events import TASK_POSTFORK_FAILED
from uwsgi_asgi.decorators.host import maybe_uwsgi
from uwsgi_asgi.decorators.mules import add_brain
from uwsgi_asgi.decorators.tasks import name_of
from wsgi_bridge.add_ons import AddOn, install

__all__ = ["postfork", "postfork_chain_hook"]

logger = logging.getLogger(__name__)

Decorated = TypeVar("Decorated", bound=Callable[[], Any])

# The functions, and the process in which each has run.
_chain: dict[Callable[[], Any], int] = {}
_hooked: list[Any] = []


def postfork(f: Any) -> Any:
    """Run a function in each process that serves or runs consumers, before it does.

    `@postfork(N)` is for uWSGI's worker N; elsewhere it runs in one of the processes that run
    consumers, as with `@mule`.
    """
    uwsgi = maybe_uwsgi()
    if not callable(f):
        return functools.partial(_run_in_one, uwsgi, f)
    _chain.setdefault(f, 0)
    install(_ADD_ON)
    if not _hooked:
        _hook(uwsgi)
    return f


def _run_in_one(uwsgi: Any, number: int, f: Decorated) -> Decorated:
    if uwsgi is None:
        return add_brain(f"worker {number}", f)

    @functools.wraps(f)
    def run_in_worker() -> None:
        if uwsgi.worker_id() == number:
            f()

    postfork(run_in_worker)
    return f


def postfork_chain_hook() -> None:
    """Run the functions that have not run in this process yet.

    For a server of your own; see above for those that need no such call.
    """
    pid = os.getpid()
    for function, ran_in in list(_chain.items()):
        if ran_in != pid:
            _chain[function] = pid
            try:
                function()
            except Exception as exc:
                # As in uWSGI: what one could not open is no reason not to serve.
                TASK_POSTFORK_FAILED.log(
                    logger, "%(task)s failed", cause=exc, exc_info=exc, task=name_of(function)
                )


def _hook(uwsgi: Any) -> None:
    """Be called after each fork."""
    _hooked.append(uwsgi)
    if uwsgi is None:
        os.register_at_fork(after_in_child=postfork_chain_hook)
        return
    try:
        # It takes the hook for itself whenever it is first imported: better now than later.
        theirs = importlib.import_module("uwsgidecorators")
        theirs.postfork(postfork_chain_hook)
    except ImportError:
        earlier = getattr(uwsgi, "post_fork_hook", lambda: None)

        def run_both() -> None:
            earlier()
            postfork_chain_hook()

        uwsgi.post_fork_hook = run_both


def _on_open() -> None:
    # Under uWSGI the layer may be opened in the master, which must not run them.
    uwsgi = maybe_uwsgi()
    if uwsgi is None or uwsgi.worker_id() or uwsgi.mule_id():
        postfork_chain_hook()


_ADD_ON = AddOn(on_open=_on_open)
