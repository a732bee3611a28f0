"""The spooler's decorators: work that is kept until it has been done.

A job is a scheduled message that comes again every `frequency` seconds until it is taken back,
which is done when its function has returned SPOOL_OK. So it survives every process on its way, like
a file in a spooler's directory: who dies with a job, or says SPOOL_RETRY, leaves it to next time.
Who runs it has a lease on it, so that it never runs twice at a time; what is done is remembered
until no copy of its message can be under way.
"""

from __future__ import annotations

import functools
import logging
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from uwsgi_asgi.decorators.host import maybe_uwsgi
from uwsgi_asgi.decorators.leases import Lease
from uwsgi_asgi.decorators.tasks import Arguments, Tasks, name_of
from wsgi_bridge.add_ons import AddOn, install
from wsgi_bridge.consumers import Channel, Message
from wsgi_bridge.routing import route

__all__ = [
    "SPOOL_IGNORE",
    "SPOOL_OK",
    "SPOOL_RETRY",
    "set_spooler_frequency",
    "spool",
    "spoolforever",
    "spoolraw",
]

logger = logging.getLogger(__name__)

#: What a function of @spoolraw returns: done; again later; not mine, which is again later too.
SPOOL_OK, SPOOL_RETRY, SPOOL_IGNORE = -2, -1, 0

CHANNEL = "uwsgi.spool"
# Seconds after which a job is tried again; the default of uWSGI's `spooler-frequency`.
FREQUENCY = 30.0
# Seconds that a job is somebody's at least who does not renew it: a process that stands still for
# as long is as good as dead.
MIN_LEASE = 5.0
# Of the arguments of a call, with pass_arguments, those that are the spooler's.
SPOOLER_KEYS = ("message_dict", "spooler", "priority", "at", "body")

Function = Callable[..., Any]

_frequency: list[float] = []
_functions: Tasks[Spooled]


def set_spooler_frequency(seconds: float) -> None:
    """Try jobs again after so many seconds, as `uwsgi.set_spooler_frequency`.

    30 unless said, or uWSGI's `spooler-frequency`. To be said where jobs are made.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise ValueError(f"frequency is {seconds!r}: expected seconds above 0")
    _frequency[:] = [float(seconds)]


def _spooler_frequency() -> float:
    if _frequency:
        return _frequency[0]
    uwsgi = maybe_uwsgi()
    option = uwsgi.opt.get("spooler-frequency") if uwsgi is not None else None
    return float(option) if option else FREQUENCY


class Spooled:
    """A decorated function: to call it is to have it called, by whoever runs consumers."""

    def __init__(self, function: Function, pass_arguments: bool, result: int | None) -> None:
        functools.update_wrapper(self, function)
        self.f = function
        self.name = name_of(function)
        self.pass_arguments = pass_arguments
        self._result = result
        function.spool = self.__call__  # type: ignore[attr-defined]  # as uwsgidecorators has it
        _functions.add(self.name, self)
        install(_ADD_ON)

    def __call__(self, *args: Any, **kwargs: Any) -> bytes:
        """Keep a job until it is done; return its name.

        A dict, keywords, or both: str and bytes, which the function gets as one dict of str. With
        `pass_arguments`, what the function is to be called with, which must pickle. `at`: seconds
        since the epoch. Raise ValueError, and what `Channel.send_later` raises.
        """
        content: dict[str, Any] = {"function": self.name}
        given: Mapping[Any, Any]
        if self.pass_arguments:
            given = {key: kwargs.pop(key) for key in SPOOLER_KEYS if key in kwargs}
            content["arguments"] = Arguments.encode(args, kwargs)
        else:
            given = {**(args[0] if args else {}), **kwargs}
        names = {"ud_spool_func": self.f.__name__}
        if self._result is not None:
            names["ud_spool_ret"] = str(self._result)
        values = {**names, **_encode(given)}
        job = content["job"] = f"{self.f.__name__}-{secrets.token_urlsafe(12)}"
        content["values"] = values
        when: dict[str, float] = {"at": _at(values)} if "at" in values else {"delay": 0.0}
        # At once, as uWSGI does it: a consumer that spools may wait for what the job does.
        Channel(CHANNEL).send_later(
            content, every=_spooler_frequency(), id=job, immediately=True, **when
        )
        return job.encode()

    spool = __call__  # as before uWSGI 1.9.13

    def run(self, message: Message) -> int:
        """Call the function; return what is to become of the job. Raises what it raises."""
        values = {key: _decode(value) for key, value in message["values"].items()}
        if self.pass_arguments:
            result = Arguments.call(self.f, message["arguments"])
        else:
            result = self.f({**values, "spooler_task_name": message["job"]})
        # None is no code; uWSGI's own raises TypeError there too, and tries again.
        return int(values.get("ud_spool_ret", result))


def _encode(given: Mapping[Any, Any]) -> dict[str, str | bytes]:
    encoded: dict[str, str | bytes] = {}
    for key, value in given.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(key, (str, bytes)) or not isinstance(value, (str, bytes)):
            raise ValueError(
                f"{key!r} is {value!r}: expected str or bytes; with pass_arguments=True a function "
                "takes anything that pickles"
            )
        encoded[_decode(key)] = value
    return encoded


def _decode(value: str | bytes) -> Any:
    """Return text as uwsgidecorators does, and bytes that are none as they are."""
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _at(values: Mapping[str, str | bytes]) -> float:
    try:
        return float(values["at"])
    except ValueError as exc:
        raise ValueError(f"at is {values['at']!r}: expected seconds since the epoch") from exc


def run_job(message: Message) -> None:
    """Run a job, unless it runs or is done. The consumer of CHANNEL."""
    job, layer = message["job"], message.channel_layer
    frequency = _spooler_frequency()
    lease = Lease(layer, f"{CHANNEL}.{job}", max(frequency, MIN_LEASE))
    if not lease.acquire():
        if lease.is_spent():
            Channel(CHANNEL, layer).cancel(job)  # somebody died between the two steps below
        return
    try:
        is_done = _functions.find(message["function"]).run(message) == SPOOL_OK
    except BaseException:
        lease.release()
        raise
    if not is_done:
        lease.release()
        return
    # In this order: of what is taken back first, a copy that is under way would run again.
    lease.spend(layer.expiry + 2 * frequency)
    Channel(CHANNEL, layer).cancel(job)


_functions = Tasks("spool")
_ADD_ON = AddOn(routing=(route(CHANNEL, run_job),))


def _decorate(function: Function | None, pass_arguments: bool, result: int | None) -> Any:
    """Return what stands for a function, or a decorator if there is none yet."""
    if function is None:
        return functools.partial(Spooled, pass_arguments=pass_arguments, result=result)
    return Spooled(function, pass_arguments, result)


def spoolraw(f: Function | None = None, pass_arguments: bool = False) -> Any:
    """Have calls of a function kept until it returns SPOOL_OK."""
    return _decorate(f, pass_arguments, None)


def spool(f: Function | None = None, pass_arguments: bool = False) -> Any:
    """Have calls of a function kept until it returns, whatever that is."""
    return _decorate(f, pass_arguments, SPOOL_OK)


def spoolforever(f: Function | None = None, pass_arguments: bool = False) -> Any:
    """Have each call of a function repeated forever, every `frequency` seconds."""
    return _decorate(f, pass_arguments, SPOOL_RETRY)
