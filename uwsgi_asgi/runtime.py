"""What the processes of one uWSGI have in common, made in its master before any fork.

`start` is called by `uwsgi_asgi.master`, which the fragment has the master import. Everything here
is inherited by workers and mules, those that are started anew included. What is not: uWSGI executes
itself for a reload, and begins again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uwsgi_asgi.checks import find_refusals
from uwsgi_asgi.handoff import hand_off_of_bridge
from uwsgi_asgi.layer import name_layer
from uwsgi_asgi.listening import open_listener
from uwsgi_asgi.options import QUEUE_VARIABLE, Options, load_options
from uwsgi_asgi.queue import ConnectionQueue
from uwsgi_asgi.seats import Seats
from wsgi_bridge.bridge import attach_hand_off
from wsgi_bridge.processes.attendance import Presence

__all__ = ["NotStarted", "Runtime", "current", "prepare"]

_runtime: list[Runtime] = []


class NotStarted(RuntimeError):
    """A part that needs the rest was run without it; `str()` says what to do."""


@dataclass(frozen=True)
class Runtime:
    """``seats`` are those of consumers; ``presence`` says whether a terminator is there."""

    options: Options
    queue: ConnectionQueue
    seats: Seats
    presence: Presence
    listeners: tuple[socket.socket, ...] = ()


def prepare(opt: Mapping[str, Any], master: int) -> list[str]:
    """Make what the processes share; return why it cannot work instead, in sentences.

    ``opt`` is uWSGI's configuration, ``master`` its process id. Once in each master.
    """
    refusals = find_refusals(opt)
    try:
        options = load_options()
    except ValueError as exc:
        return [*refusals, str(exc)]
    if problem := name_layer(master):
        refusals.append(problem)
    if refusals:
        return refusals
    try:
        listeners = _listen(options)
    except (OSError, ValueError) as exc:
        return [f"--listen {options.listen}: {exc}"]
    queue = ConnectionQueue.make()
    os.environ[QUEUE_VARIABLE] = str(queue)
    seats = Seats(options.consumers, options.threads)
    _runtime[:] = [Runtime(options, queue, seats, Presence(), listeners)]
    attach_hand_off(hand_off_of_bridge)
    return []


def _listen(options: Options) -> tuple[socket.socket, ...]:
    """Open the terminators' own socket, if there is to be one."""
    if not options.listen:
        return ()
    return (open_listener(options.listen, int(options.listen_mode, 8)),)


def current() -> Runtime:
    """Return what `prepare` made. Raises NotStarted where the master has not imported it."""
    if not _runtime:
        raise NotStarted(
            "uWSGI's master has not imported uwsgi_asgi.master: include what "
            "`python -m uwsgi_asgi.config` prints"
        )
    return _runtime[0]
