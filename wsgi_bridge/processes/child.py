"""A worker process: loads the target, opens its layer, runs its consumers until it is told to stop.

Nothing of the site is imported before this: each new process runs the code that is there when it
starts.
"""

from __future__ import annotations

import gc
import logging
import signal
import time
from typing import Any

from wsgi_bridge.bridge import Bridge
from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.events.processes import WORKER_LAYER_AWAITED
from wsgi_bridge.exceptions import ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.figures import FiguresReporter
from wsgi_bridge.figures.taking import take_all
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.control import Control, Runner
from wsgi_bridge.processes.files import files_of_failure
from wsgi_bridge.processes.link import Event, Link
from wsgi_bridge.processes.noted_worker import NotedWorker
from wsgi_bridge.processes.options import Options
from wsgi_bridge.processes.target import BadTarget, choose_channels, load_target
from wsgi_bridge.server.capacity import server_capacity
from wsgi_bridge.streams import tell_endless
from wsgi_bridge.threads import ThreadWorker
from wsgi_bridge.worker import channels_of

__all__ = ["run_child"]

logger = logging.getLogger(__name__)

# Seconds between two attempts at a layer that is not there, and between two lines that say so.
RETRY_EVERY = 0.5
# Seconds to say what was counted, at the very end: a write, unless the layer is gone.
FIGURES_SECONDS = 1.0
SAY_EVERY = 30.0


def run_child(options: Options, link: Link, board: Board) -> int:
    """Be a worker process until the parent hangs up; return the exit status."""
    if options.greenlets:
        from wsgi_bridge.server.greenlet_worker import patch

        patch()
    control = Control(link, options)
    control.start()
    try:
        layer, worker, runner = _load(options, board)
    except BadTarget as exc:
        return _fail(exc, link, control)
    control.attend(
        runner,
        worker.teller.tell,
        end_streams=_make_wakeup(options)(tell_endless),
        stream_grace=worker.bridge.settings.stream_grace,
    )
    figures = FiguresReporter(
        layer,
        lambda: take_all(layer, worker=worker, running=len(runner.unfinished())),
        role="consumers",
        every=worker.bridge.settings.figures_interval,
    )
    # What is loaded by now stays: the collector need not walk through the site for every message.
    gc.collect()
    gc.freeze()
    runner.start()
    figures.start()
    link.tell(Event.READY)
    runner.join()
    figures.stop(FIGURES_SECONDS)
    layer.close()
    tell_suppressed(at_once=True)
    return 0


def _load(options: Options, board: Board) -> tuple[BaseLayer, NotedWorker, Runner]:
    bridge = load_target(options.target)
    layer = _open_layer(bridge)
    known = channels_of(bridge)
    channels = choose_channels(known, options.only, options.exclude)
    _wait_for(layer)
    if options.greenlets:
        return layer, *_make_greenlets(options, bridge, layer, board, channels)
    worker = NotedWorker(
        bridge, layer, _at_once, board, multithread=options.threads > 1, multiprocess=True
    )
    worker.channels = channels
    return layer, worker, ThreadWorker(worker, layer, threads=options.threads)


def _make_greenlets(
    options: Options, bridge: Bridge, layer: BaseLayer, board: Board, channels: list[str]
) -> tuple[NotedWorker, Runner]:
    from wsgi_bridge.server.greenlet_worker import GreenletWorker

    wakeup = _make_wakeup(options)
    worker = NotedWorker(bridge, layer, wakeup, board, multithread=True, multiprocess=True)
    worker.channels = channels
    return worker, GreenletWorker(worker, greenlets=options.greenlets)


def _make_wakeup(options: Options) -> Any:
    """Return what has a function run where consumers do."""
    if options.greenlets:
        from wsgi_bridge.server.wakeup import Wakeup

        return Wakeup
    return _at_once


def _at_once(function: Any) -> Any:
    """Make no wakeup: threads take their messages themselves."""
    return function


def _open_layer(bridge: Bridge) -> BaseLayer:
    try:
        layer = bridge.open_layer(channel_capacity=server_capacity())
    except (InvalidLayerURL, ImportError) as exc:
        raise BadTarget(str(exc)) from exc
    if isinstance(layer, MemoryLayer):
        raise BadTarget(
            "a memory:// layer lives in one process, and no server could reach this one: name one "
            "that both share, such as ipc://mysite, by Bridge(..., layer=), CHANNEL_LAYER or "
            "--layer",
            is_misuse=True,
        )
    return layer


def _wait_for(layer: BaseLayer) -> None:
    """Wait until the layer is there; say so now and then."""
    probe = layer.new_channel("wsgi-bridge.probe?")
    said: float | None = None
    while True:
        try:
            layer.receive_many([probe])
            break
        except ChannelLayerUnavailable as exc:
            if said is None or time.monotonic() - said >= SAY_EVERY:
                said = time.monotonic()
                WORKER_LAYER_AWAITED.log(
                    logger, "waiting for the channel layer: %(cause)s", cause=exc
                )
        time.sleep(RETRY_EVERY)
    if said is not None:
        logger.info("the channel layer is there")


def _fail(exc: BadTarget, link: Link, control: Control) -> int:
    """Say that there is nothing to run; wait for a change, if files are watched."""
    link.tell(Event.MISUSED if exc.is_misuse else Event.FAILED, str(exc))
    if control.files is None:
        return 1
    control.files.add(files_of_failure(exc))
    while True:  # the control thread ends the process
        signal.pause()
