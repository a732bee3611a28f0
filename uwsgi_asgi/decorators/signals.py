"""Signals, and what sends them: timers, cron, changes of files.

A signal is a message on one channel, so one process runs its function, whichever is free. What
comes again and again is on the layer's timetable under a key, once for all processes. A message of
a function that the code no longer has is taken off the timetable by who gets it.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from uwsgi_asgi.cron import Crontab
from uwsgi_asgi.decorators.host import maybe_uwsgi, warn_of_target
from uwsgi_asgi.decorators.tasks import import_task, name_of
from wsgi_bridge.add_ons import AddOn, Recurring, install
from wsgi_bridge.consumers import Channel, Message
from wsgi_bridge.delays import Later, Periodic, When
from wsgi_bridge.routing import route

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["cron", "filemon", "rbtimer", "send_signal", "signal", "timer"]

logger = logging.getLogger(__name__)

CHANNEL = "uwsgi.signal"
# Seconds after which a run of cron that nobody was there for is left out. A deploy, a restart.
MAX_LATE = 300.0
# Seconds that a machine's clock may be ahead of ours: what it took for due then is due.
MAX_AHEAD = 10.0
# Seconds between two looks at a file.
LOOK_EVERY = 1.0
# Seconds that it is remembered how a file was, which each look says again.
REMEMBERED = 3600.0

Handler = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Handler)


class Plan(Recurring, Protocol):
    """What comes again and again: how it is put on the timetable, and what it does when due."""

    def run(self, layer: BaseLayer) -> None:
        """Call the function, if this is the process to do it."""


_handlers: dict[int, Handler] = {}
_plans: dict[str, Plan] = {}
_recurring: list[Plan] = []


def send_signal(signum: int) -> None:
    """Have the function of a signal called, by whoever runs consumers: `uwsgi.signal`."""
    Channel(CHANNEL).send({"signum": signum}, immediately=True)


def signal(num: int, *, target: str = "") -> Callable[[Decorated], Decorated]:
    """Call a function, with the number, when a signal is sent.

    By `send_signal`; under uWSGI by `uwsgi.signal` too.
    """

    def decorate(f: Decorated) -> Decorated:
        warn_of_target("signal", name_of(f), target)
        _number_for(num, f)
        _forward_from_uwsgi(num)
        return f

    return decorate


def _forward_from_uwsgi(num: int) -> None:
    """Have a signal of uWSGI sent on, if this is a process that may say so."""
    uwsgi = maybe_uwsgi()
    if uwsgi is None or uwsgi.mule_id():
        return
    # Workers may say it again; for the master that would be an error.
    if uwsgi.worker_id() or not uwsgi.signal_registered(num):
        uwsgi.register_signal(num, "", send_signal)


def _number_for(signum: int | None, f: Handler) -> int:
    """Return the number of a signal that nobody gave a function to, and give it this one."""
    number = next(each for each in count() if each not in _handlers) if signum is None else signum
    _handlers[number] = f
    install(_ADD_ON)
    return number


def _add(key: str, plan: Plan) -> None:
    """Have a plan kept; one that was decorated twice, as when its module is reloaded, once."""
    if key in _plans:
        _recurring.remove(_plans[key])
    _plans[key] = plan
    _recurring.append(plan)


def run_signal(message: Message) -> None:
    """Call the function of a signal, or do as a plan says. The consumer of CHANNEL."""
    if "key" not in message:
        number = message["signum"]
        if number not in _handlers:
            raise LookupError(f"no function is decorated for the signal {number} here")
        _handlers[number](number)
        return
    key = message["key"]
    if key not in _plans:
        import_task(message["task"])
    if key in _plans:
        _plans[key].run(message.channel_layer)
    elif Channel(CHANNEL, message.channel_layer).cancel(key):
        logger.info("%s is no longer in the code: cancelled", key)


_ADD_ON = AddOn(routing=(route(CHANNEL, run_signal),), recurring=_recurring)


# Timers


@dataclass(frozen=True)
class _Timer:
    periodic: Periodic
    call: Callable[[], object]
    channel: str = CHANNEL

    def schedule(self, layer: BaseLayer) -> None:
        self.periodic.schedule(layer)

    def run(self, layer: BaseLayer) -> None:  # noqa: ARG002 - a Plan's
        self.call()


def timer(
    secs: float, *, signum: int | None = None, target: str = ""
) -> Callable[[Decorated], Decorated]:
    """Call a function, with the number of its signal, every so many seconds."""

    def decorate(f: Decorated) -> Decorated:
        name = name_of(f)
        warn_of_target("timer", name, target)
        key = f"timer {name} {secs}"
        periodic = Periodic.make(secs, CHANNEL, {"key": key, "task": name}, key)
        number = _number_for(signum, f)
        _add(key, _Timer(periodic, lambda: f(number)))
        return f

    return decorate


#: uWSGI keeps these in a tree for there being many; here all of them are on one timetable.
rbtimer = timer


# Cron


@dataclass(frozen=True)
class _Cron:
    key: str
    task: str
    crontab: Crontab
    call: Callable[[], object]
    channel: str = CHANNEL

    def schedule(self, layer: BaseLayer) -> None:
        self._schedule_after(layer, layer.clock())

    def _schedule_after(self, layer: BaseLayer, moment: float) -> None:
        due = self.crontab.next(moment)
        assert due is not None  # as `check` has found
        content = {"key": self.key, "task": self.task}
        # What is planned keeps its time, or a process that starts would put off what is due now.
        when = When(due, keeps_time=True)
        Later.to_channel(layer, CHANNEL, content, when, self.key).schedule()

    def run(self, layer: BaseLayer) -> None:
        """Call the function once for all that was due since the last time, and plan the next.

        Its message may come twice, or at a time that another machine's clock has. So it is the
        storage that says until when all has been run: whoever moves that on runs.
        """
        now = layer.clock()
        value, version = layer.storage.load(self.key)
        until = max(value["until"] if value is not None else 0.0, now - MAX_LATE)
        due = self.crontab.next(until)
        assert due is not None
        is_due = due <= now + MAX_AHEAD
        done = max(now, due) if is_due else until
        is_ours = is_due and layer.storage.save(
            self.key, {"until": done}, ttl=2 * MAX_LATE, expected_version=version
        )
        self._schedule_after(layer, max(now, done))
        if is_ours:
            self.call()


def cron(
    minute: int,
    hour: int,
    day: int,
    month: int,
    dayweek: int,
    *,
    signum: int | None = None,
    target: str = "",
) -> Callable[[Decorated], Decorated]:
    """Call a function, with the number of its signal, at times: see `uwsgi_asgi.cron.Crontab`.

    Raise ValueError or TypeError for times that never come.
    """
    crontab = Crontab(minute, hour, day, month, dayweek).check()

    def decorate(f: Decorated) -> Decorated:
        name = name_of(f)
        warn_of_target("cron", name, target)
        key = f"cron {name} {' '.join(map(str, crontab))}"
        number = _number_for(signum, f)
        _add(key, _Cron(key, name, crontab, lambda: f(number)))
        return f

    return decorate


# Files


@dataclass(frozen=True)
class _FileMonitor:
    periodic: Periodic
    key: str
    path: str
    call: Callable[[], object]
    channel: str = CHANNEL

    def schedule(self, layer: BaseLayer) -> None:
        self.periodic.schedule(layer)

    def run(self, layer: BaseLayer) -> None:
        """Call the function if the file is not as it was at the last look."""
        now = {"was": _look_at(self.path)}
        value, version = layer.storage.load(self.key)
        is_ours = layer.storage.save(self.key, now, ttl=REMEMBERED, expected_version=version)
        if is_ours and value is not None and value != now:
            self.call()


def _look_at(path: str) -> str:
    """Return what shows that a file has changed, or a directory, or a file in it."""
    try:
        seen = [("", os.stat(path))]
        if os.path.isdir(path):
            with os.scandir(path) as entries:
                seen += ((each.name, each.stat(follow_symlinks=False)) for each in entries)
    except OSError:
        return ""  # not there, or gone while it was looked at
    figures = sorted(
        (name, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        for name, found in seen
    )
    return hashlib.sha256(repr(figures).encode()).hexdigest()


def filemon(
    fsobj: str, *, signum: int | None = None, target: str = ""
) -> Callable[[Decorated], Decorated]:
    """Call a function, with the number of its signal, when a file or a directory has changed."""

    def decorate(f: Decorated) -> Decorated:
        name = name_of(f)
        warn_of_target("filemon", name, target)
        path = os.path.abspath(os.fspath(fsobj))
        key = f"filemon {name} {path}"
        periodic = Periodic.make(LOOK_EVERY, CHANNEL, {"key": key, "task": name}, key)
        number = _number_for(signum, f)
        _add(key, _FileMonitor(periodic, key, path, lambda: f(number)))
        return f

    return decorate
