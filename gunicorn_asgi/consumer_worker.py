"""The worker of a split gunicorn that runs consumers: native threads, nothing patched, no sockets.

It takes messages from the layer that its sibling servers put them on. The main thread looks after
gunicorn's contract: signals, heartbeat, ``max_requests``, the drain.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gunicorn.workers.base import Worker as BaseWorker

from gunicorn_asgi.error_log import open_error_log
from gunicorn_asgi.events import WORKER_NO_SERVERS
from gunicorn_asgi.layer import open_worker_layer
from gunicorn_asgi.loading import load_site
from gunicorn_asgi.worker import (
    FIGURES_SECONDS,
    HEARTBEAT,
    drain_seconds,
    gunicorn_version,
    make_environ,
)
from wsgi_bridge.events import tell_suppressed
from wsgi_bridge.events.processes import LAYER_NOT_USED, WORKER_CONSUMER_UNFINISHED
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.processes.board import Board
from wsgi_bridge.streams import Unaware, tell_endless

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.processes.attendance import Presence
    from wsgi_bridge.processes.orphans import Orphan, Teller
    from wsgi_bridge.settings import Settings
    from wsgi_bridge.threads import ThreadWorker

# Seconds between two looks at signals while the worker drains.
DRAIN_STEP = 0.05
# Seconds that servers have to notice a stop that is theirs too.
RETIRE_TIMEOUT = 1.0
# Heartbeats without any server after which this worker makes room for one.
DESERTED_AFTER = 5


class ConsumerWorker(BaseWorker):
    """Consumers in ``--threads`` native threads."""

    presence: Presence
    #: What was lost with others, whose waiting this worker is to end.
    orphans: Sequence[Orphan] = ()
    generation = 0
    #: Whether a site that cannot be loaded ends gunicorn, as it does at the start.
    may_halt = True
    _is_urgent = False  # whether to stop at once (QUIT), not gracefully
    _deserted = 0
    _stopped_at = 0.0
    _settings: Settings
    _teller: Teller
    _threads: ThreadWorker

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        #: What it is busy with, for the master to see.
        self.board = Board(self.cfg.threads)

    # Life

    def init_process(self) -> None:
        """Let go of the listening sockets, then go on as gunicorn does."""
        # Until `init_signals` the arbiter's handlers are in place, which would swallow a signal.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        for listener in self.sockets:
            listener.close()  # else the kernel accepts for this process: nobody would answer
        self.sockets = []
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the site; after a reload, one that cannot be loaded does not end the servers."""
        load_site(super().load_wsgi, self.log, may_halt=self.may_halt)
        open_error_log(self.log)

    def run(self) -> None:
        """Run consumers until told to stop; then finish those that have begun."""
        from gunicorn_asgi.figures import make_reporter
        from gunicorn_asgi.hooks import add_hooks
        from wsgi_bridge.bridge import Bridge
        from wsgi_bridge.processes.noted_worker import NotedWorker
        from wsgi_bridge.threads import ThreadWorker

        bridge = self.wsgi if isinstance(self.wsgi, Bridge) else Bridge(self.wsgi)
        self._settings = bridge.settings
        self._warn_of_layer(bridge)
        layer = open_worker_layer(bridge, self.cfg, master=self.ppid, is_first=False,
                                  local_first=False, is_split=True, log=self.log)  # fmt: skip
        loop = NotedWorker(
            bridge,
            layer,
            lambda pump: pump,  # threads take messages themselves
            self.board,
            software=f"gunicorn/{gunicorn_version()}",
            multithread=self.cfg.threads > 1,
            multiprocess=True,
            environ=make_environ(self.cfg),
            app=add_hooks(bridge.app, self.cfg, self),
        )
        self._threads = ThreadWorker(loop, layer, threads=self.cfg.threads)
        figures = make_reporter(
            self,
            layer,
            every=bridge.settings.figures_interval,
            loop=loop,
            running=lambda: self._threads.running,
        )
        bridge.attach(lambda: {"consumers": self._threads.running})
        gc.collect()
        gc.freeze()  # what is loaded by now stays
        self._teller = loop.teller
        for orphan in self.orphans:
            self._teller.tell(orphan)
        if self.alive or not self._is_replaced():  # else newer code than this runs already
            figures.start()
            self._consume(layer, loop.channels)
            figures.stop(FIGURES_SECONDS)
        layer.close()

    def _consume(self, layer: BaseLayer, channels: Sequence[str]) -> None:
        self._threads.start()
        self.log.info("Running consumers (pid: %s)", self.pid)
        self._watch()
        self._stopped_at = time.monotonic()
        if not self._is_replaced():
            self._serve_out(layer, channels)
        self._drain()

    def _warn_of_layer(self, bridge: Bridge) -> None:
        if bridge.names_layer:
            LAYER_NOT_USED.log(
                self.log,
                "the layer that the site gives to Bridge is not used: servers, which "
                "do not load the site, would not know it; set CHANNEL_LAYER",
                cause="named by the site",
            )

    def _watch(self) -> None:
        """Beat until there is a reason to stop."""
        while self.alive:
            self.notify()
            tell_suppressed()
            if self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                return
            if self._threads.taken >= self.max_requests:
                self.log.info("Autorestarting worker after %s messages.", self._threads.taken)
                return
            if self._is_deserted():
                WORKER_NO_SERVERS.log(
                    self.log, "No worker holds sockets: making room for one", cause="servers ended"
                )
                return
            self._wait(HEARTBEAT)

    def _is_deserted(self) -> bool:
        """Whether there has been no server for a while, and it is this worker that makes room."""
        self._deserted = self._deserted + 1 if self.presence.is_left() else 0
        return self._deserted >= DESERTED_AFTER and self.presence.claim_desertion()

    def _wait(self, seconds: float) -> None:
        """Wait for a signal: each writes a byte into the pipe."""
        poll = select.poll()
        poll.register(self.PIPE[0], select.POLLIN)
        if poll.poll(seconds * 1000):
            os.read(self.PIPE[0], 4096)

    # Signals: Python calls these in the main thread, between two of its instructions.

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        """Stop gracefully. The arbiter sends this again and again: idempotent."""
        self.alive = False

    def handle_quit(self, sig: int, frame: Any) -> None:  # noqa: ARG002
        """Stop at once."""
        self.alive = False
        self._is_urgent = True
        self.cfg.worker_int(self)

    # The drain

    def _is_replaced(self) -> bool:
        """Whether it is a reload that stops this worker: others take messages by now."""
        return self.alive or self.presence.generation > self.generation

    def _serve_out(self, layer: BaseLayer, channels: Sequence[str]) -> None:
        """Go on while servers that are stopped too have something to be answered."""
        while not self.presence.is_retired():
            if self._seconds_left() <= 0 or time.monotonic() > self._stopped_at + RETIRE_TIMEOUT:
                return  # they go on without this worker, which is one too many (TTOU)
            time.sleep(DRAIN_STEP)
        while self._seconds_left() > 0:
            self.notify()
            # In this order: what a server says last is there when it has gone.
            if self.presence.is_left() and not _has_messages(layer, channels):
                return
            time.sleep(DRAIN_STEP)

    def _seconds_left(self) -> float:
        return self._stopped_at + drain_seconds(self.cfg, self._is_urgent) - time.monotonic()

    def _stream_grace(self) -> float:
        """Return the seconds that endless streams go on."""
        return min(self._settings.stream_grace, drain_seconds(self.cfg, self._is_urgent) / 2)

    def _drain(self) -> None:
        """Take no more; finish what was taken, for as long as gunicorn lets us."""
        self._threads.stop()
        grace, unaware = self._stream_grace(), Unaware(lambda stream: stream.is_told)
        while not self._threads.join(0) and (left := self._seconds_left()) > 0:
            self.notify()
            if time.monotonic() >= self._stopped_at + grace or self._is_urgent:
                tell_endless()
            if self._threads.running <= len(unaware.threads()):
                break
            # In steps, as a thread's end writes into no pipe; QUIT shortens the time meanwhile.
            self._threads.join(min(left, DRAIN_STEP))
        for consumer in self._threads.unfinished():
            WORKER_CONSUMER_UNFINISHED.log(
                self.log,
                "A consumer ends unfinished with its process: %(consumer)s",
                cause="graceful_timeout",
                consumer=consumer,
            )
        # No other worker need be made when this one has gone, to say that nobody answers.
        for orphan in self.board.orphans():
            self._teller.tell(orphan)
        tell_suppressed(at_once=True)


def _has_messages(layer: BaseLayer, channels: Sequence[str]) -> bool:
    try:
        return any(layer.channel_statistics(name)["messages_pending"] for name in channels)
    except ChannelLayerUnavailable:
        return False
