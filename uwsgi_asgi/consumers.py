"""The consumers of a site in a mule: native threads, nothing patched, no sockets.

The same loop as that of `wsgi-bridge worker`; uWSGI starts it anew when it has ended.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any

from uwsgi_asgi.events import (
    MULE_DIED,
    MULE_DIED_YOUNG,
    MULE_SETTINGS_NOT_USED,
    MULE_SITE_NOT_LOADED,
)
from uwsgi_asgi.runtime import Runtime
from uwsgi_asgi.seats import Seat
from uwsgi_asgi.site import load_site
from wsgi_bridge.bridge import Bridge
from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.events.processes import LAYER_NOT_USED, WORKER_CONSUMER_UNFINISHED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures import FiguresReporter
from wsgi_bridge.figures.taking import take_all
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.processes.attendance import Presence
from wsgi_bridge.processes.noted_worker import NotedWorker
from wsgi_bridge.processes.target import BadTarget
from wsgi_bridge.server.capacity import server_capacity
from wsgi_bridge.settings import Settings, load_settings
from wsgi_bridge.threads import ThreadWorker

__all__ = ["run_consumers"]

logger = logging.getLogger(__name__)

# Seconds between two looks whether a burst of log lines is over.
BURSTS_EVERY = 1.0

# Seconds between two looks at what is left while the mule drains.
DRAIN_STEP = 0.05
# Settings that are for who runs consumers, and not, or not only, for servers.
CONSUMERS_OWN = frozenset(("consumers", "figures_interval", "pool_size", "servers"))
# Seconds beyond graceful_timeout: a terminator that needs all of it cuts what is left, and who is
# cut off is to hear that.
LAST_WORDS = 1.0
# Seconds to say what was counted, at the very end: a write, unless the layer is gone.
FIGURES_SECONDS = 1.0
# Seconds that terminators have to notice a stop that is theirs too.
RETIRE_TIMEOUT = 1.0


class Stop:
    """What uWSGI says by signals: to stop, in a reload (HUP) or for good (INT)."""

    def __init__(self) -> None:
        self._signals, signalled = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _pass)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for it, up to so many seconds; whether it was said."""
        ready, _, _ = select.select([self._signals], [], [], seconds)
        return bool(ready)


def run_consumers(runtime: Runtime, opt: Mapping[str, Any], software: str) -> None:
    """Run consumers until uWSGI says that it is enough; then finish those that have begun.

    ``opt`` is uWSGI's configuration.
    """
    stop = Stop()
    seat = runtime.seats.claim()
    busy = str(seat.board)
    delay = seat.take()
    if delay:
        MULE_DIED_YOUNG.log(
            logger,
            "the mule before died as it started: trying again in %(delay).1f s",
            cause="died as it started",
            delay=delay,
        )
    elif seat.has_died:
        MULE_DIED.log(
            logger,
            "the mule before has died, busy with %(busy)s; deaths so far: %(deaths)d",
            cause="died",
            busy=busy or "nothing",
            deaths=seat.deaths,
        )
    if not stop.wait(delay):
        try:
            bridge = load_site(runtime.options, opt)
        except BadTarget as exc:
            MULE_SITE_NOT_LOADED.log(logger, "%(cause)s", cause=exc)
            return
        _consume(runtime, bridge, seat, stop, software)
    seat.leave()


def _consume(runtime: Runtime, bridge: Bridge, seat: Seat, stop: Stop, software: str) -> None:
    if bridge.names_layer:
        LAYER_NOT_USED.log(
            logger,
            "the layer that the site gives to Bridge is not used: terminators, which do not load "
            "the site, would not know it; say --layer",
            cause="named by the site",
        )
    if unheard := find_unheard(bridge.settings):
        MULE_SETTINGS_NOT_USED.log(
            logger,
            "terminators do not load the site, and do not know what it gives to Bridge: "
            "%(settings)s; say it in the ini, as env = ASGI_…",
            cause="named by the site",
            settings=", ".join(unheard),
        )
    layer = bridge.open_layer(channel_capacity=server_capacity())
    orphans = seat.orphans()
    worker = NotedWorker(
        bridge,
        layer,
        lambda pump: pump,  # threads take messages themselves
        seat.board,
        software=software,
        multithread=runtime.options.threads > 1,
        multiprocess=True,
    )
    threads = ThreadWorker(worker, layer, threads=runtime.options.threads)
    bridge.attach(lambda: {"consumers": threads.running})
    gc.collect()
    gc.freeze()  # what is loaded by now stays
    for orphan in orphans:
        worker.teller.tell(orphan)
    figures = FiguresReporter(
        layer,
        lambda: take_all(layer, worker=worker, running=threads.running),
        role="consumers",
        every=bridge.settings.figures_interval,
    )
    figures.start()
    threads.start()
    seat.begin()
    logger.info("running consumers")
    while not stop.wait(BURSTS_EVERY):
        tell_suppressed()
    deadline = time.monotonic() + runtime.options.graceful_timeout + LAST_WORDS
    _serve_out(runtime.presence, layer, worker.channels, deadline)
    threads.stop()
    if not threads.join(max(0.0, deadline - time.monotonic())):
        for consumer in threads.unfinished():
            WORKER_CONSUMER_UNFINISHED.log(
                logger,
                "a consumer ends unfinished with its process: %(consumer)s",
                cause="graceful_timeout",
                consumer=consumer,
            )
    figures.stop(FIGURES_SECONDS)
    layer.close()
    tell_suppressed(at_once=True)


def find_unheard(settings: Settings) -> list[str]:
    """Return the names of what a site says of its server, and no server hears."""
    heard = load_settings({})
    return [
        name
        for name, value in vars(settings).items()
        if value != getattr(heard, name) and name not in CONSUMERS_OWN
    ]


def _serve_out(
    presence: Presence, layer: BaseLayer, channels: Sequence[str], deadline: float
) -> None:
    """Go on while terminators that stop as well have something to be answered."""
    begun = time.monotonic()
    while not presence.is_retired():
        if time.monotonic() > begun + RETIRE_TIMEOUT:
            return  # they go on without this mule: it is this one that is replaced
        time.sleep(DRAIN_STEP)
    while time.monotonic() < deadline:
        # In this order: what a terminator says last is there when it has gone.
        if presence.is_left() and not _has_messages(layer, channels):
            return
        time.sleep(DRAIN_STEP)


def _has_messages(layer: BaseLayer, channels: Sequence[str]) -> bool:
    try:
        return any(layer.channel_statistics(name)["messages_pending"] for name in channels)
    except ChannelLayerUnavailable:
        return False


def _pass(number: int, frame: object) -> None:
    """Do nothing: the number was written to the pipe."""
