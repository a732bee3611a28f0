"""Mules: functions that run beside the site, when they are called, sent to, or all the time.

There are no numbered processes here. What is called or sent to runs in any process that runs
consumers; what runs all the time runs in one of them, in a thread, and when that process dies, in
the next one that notices.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from uwsgi_asgi.decorators.events import TASK_MULE_FAILED
from uwsgi_asgi.decorators.leases import Lease
from uwsgi_asgi.decorators.tasks import Arguments, Tasks, name_of
from wsgi_bridge.add_ons import AddOn, install
from wsgi_bridge.consumers import Channel, Message
from wsgi_bridge.delays import Periodic
from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.routing import route

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["add_brain", "farm", "farm_msg", "mule", "mule_msg", "mulefunc", "muleloop", "mulemsg"]

logger = logging.getLogger(__name__)

CHANNEL = "uwsgi.mule"
# Seconds between two looks whether a brain runs; uWSGI's master revives a mule after one.
LOOK_EVERY = 1.0
# Seconds after which a brain is another process's, if the one that had it is dead.
LEASE = 5.0

Function = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Function)

_functions: Tasks[Function] = Tasks("mulefunc")
_brains: Tasks[Brain] = Tasks("mule")
_receivers: dict[str, Function] = {}
_recurring: list[Periodic] = []


def run_for_mule(message: Message) -> None:
    """Call a function, give it a message, or have a brain run. The consumer of CHANNEL."""
    if "function" in message:
        Arguments.call(_functions.find(message["function"]), message["arguments"])
    elif "to" in message:
        _find_receiver(message["to"])(message["body"])
    else:
        try:
            brain = _brains.find(message["brain"])
        except LookupError:
            Channel(CHANNEL, message.channel_layer).cancel(message["brain"])
            logger.info("%s is no longer in the code: cancelled", message["brain"])
            return
        brain.start(message.channel_layer)


# What is called


def mulefunc(f: Any) -> Any:
    """Have calls of a function done elsewhere: `@mulefunc`, or `@mulefunc(1)`, which is the same.

    At most once, as in a mule. A call returns None at once; its arguments must pickle.
    """
    if not callable(f):
        return mulefunc
    name = name_of(f)
    _functions.add(name, f)
    install(_ADD_ON)

    @functools.wraps(f)
    def call(*args: Any, **kwargs: Any) -> None:
        content = {"function": name, "arguments": Arguments.encode(args, kwargs)}
        Channel(CHANNEL).send(content, immediately=True)

    return call


# What is sent to


def mule_msg(message: str | bytes, mule: int | str = 0) -> None:
    """Send bytes to the function of a mule, or of a farm: `uwsgi.mule_msg`. 0 is any mule."""
    to = f"farm {mule}" if isinstance(mule, str) else f"mule {mule}"
    body = message.encode() if isinstance(message, str) else bytes(message)
    Channel(CHANNEL).send({"to": to, "body": body}, immediately=True)


def farm_msg(farm: str, message: str | bytes) -> None:
    """Send bytes to the function of a farm: `uwsgi.farm_msg`."""
    mule_msg(message, farm)


def _find_receiver(to: str) -> Function:
    if to == "mule 0":
        to = next((each for each in _receivers if each.startswith("mule ")), to)
    if to not in _receivers:
        raise LookupError(f"no function receives the messages to {to} here: expected its module "
                          "to be imported by the processes that run consumers")  # fmt: skip
    return _receivers[to]


def mulemsg(num: int) -> Callable[[Decorated], Decorated]:
    """Call a function with each message to a mule."""
    return _receive(f"mule {num}")


def farm(name: str | None = None) -> Callable[[Decorated], Decorated]:
    """Call a function with each message to a farm."""
    return _receive(f"farm {name}")


def _receive(to: str) -> Callable[[Decorated], Decorated]:
    def decorate(f: Decorated) -> Decorated:
        # As in uWSGI, where the first of a mule never comes back from its loop.
        _receivers.setdefault(to, f)
        install(_ADD_ON)
        return f

    return decorate


# What runs all the time


def mule(num: int) -> Callable[[Decorated], Decorated]:
    """Run a function in one process, once as long as that process lives.

    If it raises, or its process dies, again, there or in another process.
    """
    return lambda f: add_brain(f"mule {num}", f)


def muleloop(num: int) -> Callable[[Decorated], Decorated]:
    """Run a function in one process over and over."""
    return lambda f: add_brain(f"mule {num}", f, loops=True)


def add_brain(place: str, f: Decorated, *, loops: bool = False) -> Decorated:
    """Have a function run in one process of all that run consumers; return it."""
    name = name_of(f)
    _brains.add(name, Brain(f"{place} {name}", f, loops))
    periodic = Periodic.make(LOOK_EVERY, CHANNEL, {"brain": name}, name)
    if periodic not in _recurring:
        _recurring.append(periodic)
    install(_ADD_ON)
    return f


class Brain:
    """A function that one process has at a time, and runs in a thread."""

    def __init__(self, key: str, function: Function, loops: bool) -> None:
        self._key = key
        self._function = function
        self._loops = loops
        self._pid = 0
        self._lock = threading.Lock()

    def start(self, layer: BaseLayer) -> None:
        """Begin, unless it runs here or elsewhere. From any thread; does not wait for it."""
        lease = Lease(layer, self._key, LEASE)
        with self._lock:
            if self._pid == os.getpid() or not lease.acquire():
                return
            self._pid = os.getpid()
        logger.info("%s begins", self._key)
        threading.Thread(target=self._run, args=(lease,), name=self._key, daemon=True).start()

    def _run(self, lease: Lease) -> None:
        is_over = False
        try:
            self._function()
            while self._loops:
                self._function()
            is_over = True  # the lease stays: once for each life of a process
        except Exception as exc:
            # The top of a supervised thread: it begins again.
            TASK_MULE_FAILED.log(logger, "%(task)s failed", cause=exc, exc_info=exc, task=self._key)
        finally:
            if not is_over:
                self._pid = 0
                with contextlib.suppress(ChannelLayerError):  # then it lapses
                    lease.release()


_ADD_ON = AddOn(routing=(route(CHANNEL, run_for_mule),), recurring=_recurring)
