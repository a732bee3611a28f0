"""The gunicorn worker class: gunicorn's contract on one side, server and worker loop on the other.

It owns the life cycle: signals, heartbeat, limits, the drain. Protocols are elsewhere. The module
is imported in gunicorn's master, unpatched; what needs gevent is imported after the fork.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from gunicorn.workers.base import Worker as BaseWorker

from gunicorn_asgi.certificates import certificates
from gunicorn_asgi.error_log import open_error_log
from gunicorn_asgi.events import WORKER_UNFINISHED
from gunicorn_asgi.gauges import Gauges
from gunicorn_asgi.gunicorn_settings import check_settings, warn_of_settings
from gunicorn_asgi.layer import open_worker_layer
from gunicorn_asgi.loading import load_site
from gunicorn_asgi.misplaced import warn_of_misplaced
from gunicorn_asgi.pure_server import (
    check_environment,
    check_layer,
    make_pure_server,
    read_environment,
)
from gunicorn_asgi.shares import make_share
from wsgi_bridge.server.descriptors import limit_connections

if TYPE_CHECKING:
    from gunicorn_asgi.consumers import Consumers
    from gunicorn_asgi.own_pages import Page, Pages
    from gunicorn_asgi.server import HttpServer
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.figures import FiguresReporter
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.server.server import ProtocolServer
    from wsgi_bridge.server.stream_ends import StreamEnds
    from wsgi_bridge.streams import Unaware
    from wsgi_bridge.worker import Worker as ConsumerLoop

# Seconds between two heartbeats; gunicorn's own workers beat as often.
HEARTBEAT = 1.0
# Seconds between two looks at what is left while the worker drains.
DRAIN_STEP = 0.02
# The arbiter kills at graceful_timeout, to the second. So the drain ends before: at this part of
# it, less a second for what is left to do.
DRAIN_PART = 0.9
DRAIN_RESERVE = 1.0
# With max_requests gunicorn starts a successor only when this worker has gone. So it goes on to
# accept until no request has been at work for so many seconds, and then has those that are left so
# many to end: what is asked meanwhile waits for no longer than that, and the successor's start.
LONG_REQUEST = 1.0
# Seconds that a worker has which is to stop at once (QUIT), for its last words.
URGENT_SECONDS = 0.5
# Seconds that it has to say what it counted, at the very end: a write, unless the layer is gone.
FIGURES_SECONDS = 1.0


class Worker(BaseWorker):
    """``gunicorn -k gunicorn_asgi.Worker``: sockets on the hub, consumers in greenlets or threads.

    With ``--threads N`` the hub has the main thread, consumers have N native ones, and nothing is
    patched. Without it consumers are greenlets, and everything is.
    """

    server: ProtocolServer
    http: HttpServer
    consumers: Consumers
    _streams: StreamEnds
    _unaware: Unaware
    figures: FiguresReporter
    _first_count = sys.maxsize  # of the workers that gunicorn begins with
    _checked: Any = None  # the configuration whose settings were looked at; of the master
    _loop: ConsumerLoop | None = None  # what its consumers' messages are taken by
    _is_urgent = False  # whether to stop at once (QUIT), not gracefully
    _has_successor = False  # whether another worker will be made in place of this one

    def __init__(self, *args: Any) -> None:
        """Be made, in the master: which knows its workers, can read keys, and sees a reload."""
        super().__init__(*args)
        self._check_again()
        self.share = make_share(self)
        self.tls = certificates.find(self.cfg, self.log)

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what this worker cannot do; called by gunicorn in its master, once."""
        check_settings(cfg, log, "gunicorn_asgi.Worker")
        check_environment()
        warn_of_misplaced(cfg, log)
        certificates.check(cfg)
        cls._first_count = cfg.workers
        cls._checked = cfg

    def _check_again(self) -> None:
        """Look at the settings that a reload brought, once; `check_config` is not called then."""
        kind = type(self)
        if kind._checked is not None and kind._checked is not self.cfg:
            kind._checked = self.cfg
            warn_of_settings(self.cfg, self.log, "gunicorn_asgi.Worker")

    @property
    def has_threads(self) -> bool:
        """Whether consumers run in native threads."""
        return bool(self.cfg.threads > 1)

    # Life

    def init_process(self) -> None:
        """Patch unless there are threads, then go on as gunicorn does: signals, site, ``run``."""
        # Until `init_signals` the arbiter's handlers are in place, which would swallow a signal: a
        # server that is stopped as it starts would wait for its worker until graceful_timeout.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        from gevent import hub, monkey

        if not self.has_threads:
            monkey.patch_all()
        hub.reinit()
        super().init_process()

    def init_signals(self) -> None:
        """Handle signals in greenlets: a Python handler would run in the hub, and may not wait."""
        import gevent

        super().init_signals()
        handlers = {
            signal.SIGTERM: self._on_term,
            signal.SIGQUIT: self._on_quit,
            signal.SIGINT: self._on_quit,
            signal.SIGUSR1: self._on_usr1,
        }
        self._signal_watchers = [
            gevent.signal_handler(number, handler) for number, handler in handlers.items()
        ]

    def notify(self) -> None:
        """Tell the arbiter that the hub turns; leave when the arbiter has gone."""
        super().notify()
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self.alive = False
        if not self.alive:  # gunicorn's reloader says no more than that, from a thread of its own
            self._stopped.set()

    def run(self) -> None:
        """Serve until told to stop; then drain."""
        from gevent.event import Event

        self._stopped = Event()
        self._start()
        # What is loaded by now stays: the collector need not walk through the site for every
        # request.
        gc.collect()
        gc.freeze()
        heart = self.server.loop.timer(0, HEARTBEAT)
        heart.start(self.notify)
        if not self.alive:  # a signal came while the site was loaded
            self._stopped.set()
        self._stopped.wait()
        deadline = time.monotonic() + drain_seconds(self.cfg, self._is_urgent)
        self._end_streams(max(0.0, deadline - time.monotonic()))
        if self.alive:  # max_requests
            self._serve_until_quiet(deadline)
        self._drain(deadline)
        heart.stop()
        self._finish()

    def _start(self) -> None:
        from gunicorn_asgi.access_log import open_access_log
        from gunicorn_asgi.figures import make_reporter
        from gunicorn_asgi.policy import read_policy
        from gunicorn_asgi.server import HttpServer
        from wsgi_bridge.server.server import ProtocolServer

        bridge = self._bridge()
        layer = open_worker_layer(
            bridge,
            self.cfg,
            master=self.ppid,
            is_first=self.age == 1,
            local_first=bridge.settings.consumers == "local",
            log=self.log,
        )
        self.server = ProtocolServer(
            layer,
            bridge.settings,
            software="gunicorn",
            access_log=open_access_log(self.log, self.cfg),
            gathers=bridge.settings.consumers == "none",
        )
        self.consumers = self._make_consumers(bridge, layer)
        self.figures = make_reporter(
            self,
            layer,
            every=bridge.settings.figures_interval,
            server=self.server,
            loop=self._loop,
            running=lambda: self.consumers.running,
        )
        self.http = HttpServer(
            self.server,
            read_policy(self.cfg),
            max_connections=limit_connections(self.cfg.worker_connections, self.log),
            keepalive=self.cfg.keepalive,
            max_requests=self.max_requests,
            on_exhausted=self._on_exhausted,
            tls=self.tls,
        )
        self.gauges = Gauges(self.log, self.cfg, self.share, self.server.counters)
        if self.gauges.are_asked_for:
            self.server.watch_slowly(self.gauges.send)
        bridge.attach(self._statistics)
        if self.has_threads:  # else the layer finds the hub itself
            layer.hear_with(self.server.watch)
        self.server.start()
        self.consumers.start()
        self.figures.start()
        self.http.serve_pages(self._make_pages(self.server))
        # With ``reuse_port`` what waits for one worker cannot be had by another.
        self.http.listen(self.sockets, None if self.cfg.reuse_port else self.share)

    def load_wsgi(self) -> None:
        """Load the site; unless it is one of the first, a worker that cannot ends nobody else."""
        load_site(self._load_site, self.log, may_halt=self.age <= self._first_count)
        open_error_log(self.log)  # now that the site has configured logging, if it does

    def _load_site(self) -> None:
        """Load the site, unless the environment says that its consumers are elsewhere."""
        if read_environment().consumers == "none":
            self.wsgi = cast("Any", make_pure_server())
        else:
            super().load_wsgi()
        check_layer(self._bridge())

    def _bridge(self) -> Bridge:
        from wsgi_bridge.bridge import Bridge

        return self.wsgi if isinstance(self.wsgi, Bridge) else Bridge(self.wsgi)

    def _make_consumers(self, bridge: Bridge, layer: BaseLayer) -> Consumers:
        from gunicorn_asgi.consumers import Greenlets, Nobody, Threads
        from gunicorn_asgi.hooks import add_hooks
        from wsgi_bridge.server.wakeup import Wakeup
        from wsgi_bridge.worker import Worker as ConsumerLoop

        if bridge.settings.consumers == "none":
            return Nobody()
        loop = self._loop = ConsumerLoop(
            bridge,
            layer,
            Wakeup,  # threads have no use for it
            software=f"gunicorn/{gunicorn_version()}",
            multiprocess=self.cfg.workers > 1,
            environ=make_environ(self.cfg),
            app=add_hooks(bridge.app, self.cfg, self),
            socket_of=self._socket_of,
        )
        if self.has_threads:
            return Threads(loop, layer, self.cfg.threads)
        return Greenlets(loop, bridge.settings.pool_size or self.cfg.worker_connections)

    def _make_pages(self, server: ProtocolServer) -> Pages:
        """Return what is answered without a consumer."""
        from gunicorn_asgi.health import answer_live, make_ready_page

        settings = server.settings
        found: dict[bytes, Page] = {}
        if settings.live_path:
            found[settings.live_path.encode()] = answer_live
        if settings.ready_path:
            ready = make_ready_page(server, self.figures.has_layer)
            found[settings.ready_path.encode()] = ready
        if settings.metrics_path:
            from gunicorn_asgi.metrics import MetricsPage

            routes = self._loop.all_statistics if self._loop is not None else None
            found[settings.metrics_path.encode()] = MetricsPage(server, self.figures, routes)
        return found

    def _socket_of(self, reply_channel: str) -> Any:
        """Give an app the chance to take a held handshake's socket (the hijack convention)."""
        from wsgi_bridge.server.hijack import LazySocket
        from wsgi_bridge.server.websocket import WebSocketOwner

        owner = self.server.connections.get(reply_channel)
        if not isinstance(owner, WebSocketOwner):
            return None
        return LazySocket(owner, self.server.call if self.has_threads else None)

    def _statistics(self) -> dict[str, int]:
        return {**dataclasses.asdict(self.server.counters), "consumers": self.consumers.running}

    # Signals

    def _on_term(self) -> None:
        """Stop gracefully. The arbiter sends this every second to a surplus worker: idempotent."""
        self.alive = False
        self._stop_soon()

    def _on_quit(self) -> None:
        """Stop at once: sockets still get their 1012."""
        self.alive = False
        self._is_urgent = True
        self.cfg.worker_int(self)
        self._stop_soon()

    def handle_abort(self, sig: int, frame: Any) -> None:
        """The arbiter heard nothing of the hub: end what holds it up, and stop at once.

        Runs in whatever holds it up, and raises SystemExit there. That is answered with 500 as any
        error of the site's, and would leave a worker that goes on with who knows what half done.
        """
        self.alive = False
        self._is_urgent = True
        stopped = getattr(self, "_stopped", None)
        if stopped is not None:
            stopped.set()
        super().handle_abort(sig, frame)

    def _on_usr1(self) -> None:
        self.log.reopen_files()

    def _on_exhausted(self) -> None:
        self.log.info("Autorestarting worker after %s requests.", self.max_requests)
        self._stop_soon()

    def _stop_soon(self) -> None:
        stopped = getattr(self, "_stopped", None)
        if stopped is not None:
            stopped.set()
        elif self._is_urgent:
            sys.exit(0)  # while the site is still being loaded

    # The drain

    def _serve_until_quiet(self, deadline: float) -> None:
        """Go on while something takes long, a stream say: no successor serves the others yet.

        Its time is that of a stop, so that an endless stream is cut when it would be then; a second
        of it is kept for what is short. A signal ends this.
        """
        import gevent

        while self.alive and time.monotonic() < deadline - LONG_REQUEST:
            if self.http.is_quiet(LONG_REQUEST) and self._is_soon_quiet():
                break
            gevent.sleep(DRAIN_STEP)
        self._has_successor = self.alive
        self.alive = False

    def _is_soon_quiet(self) -> bool:
        """Leave who comes to the kernel for a while; whether no request is left, else accept."""
        import gevent

        self.http.stop_listening()
        end = time.monotonic() + LONG_REQUEST
        while self.alive and time.monotonic() < end:
            if self.http.is_quiet(0):
                return True
            gevent.sleep(DRAIN_STEP)
        self.http.listen(self.sockets)
        return False

    def _end_streams(self, seconds: float) -> None:
        """Have endless streams end, in part of the ``seconds`` that there are."""
        from wsgi_bridge.server.stream_ends import StreamEnds
        from wsgi_bridge.streams import Unaware

        settings = self.server.settings
        grace = 0.0 if self._is_urgent else min(settings.stream_grace, seconds / 2)
        self._streams = StreamEnds(self.server, grace, self._close_window(seconds - grace))
        connections = self.server.connections
        self._unaware = Unaware(lambda stream: stream.reply_channel not in connections)

    def _drain(self, deadline: float) -> None:
        """Finish: no new connections, idle ones closed, 1012 to sockets, responses written out.

        Consumers go on meanwhile, and the disconnects of the closed sockets are handled too.
        """
        import gevent

        seconds = max(0.0, deadline - time.monotonic())
        self.http.stop(has_successor=self._has_successor)
        for listener in self.sockets:
            listener.close()  # else the kernel goes on to accept, for nobody
        self.server.stop(window=self._close_window(seconds))
        while time.monotonic() < deadline and not self._is_drained():
            if self._is_urgent:
                self._streams.hurry()
                if self.server.stop_window:  # QUIT came after TERM
                    self.server.stop()
                deadline = min(deadline, time.monotonic() + URGENT_SECONDS)
            gevent.sleep(DRAIN_STEP)

    def _close_window(self, seconds: float) -> float:
        """Return over how long to close sockets: clients need some of the time for their answer."""
        if self._is_urgent:
            return 0.0
        return min(self.server.settings.close_window, seconds / 2)

    def _is_drained(self) -> bool:
        from wsgi_bridge.layers.local_first import LocalFirstLayer

        unaware = self.consumers.give_up(self._unaware.threads())
        if self.server.counters.connections or self.consumers.running > unaware:
            return False
        from wsgi_bridge.exceptions import ChannelLayerUnavailable

        # Only what a consumer of this process would take: nobody comes for the rest any more. What
        # waits in a layer that is shared is for whoever is left.
        layer = self.server.layer
        own = layer.local if isinstance(layer, LocalFirstLayer) else layer
        try:
            figures = map(own.channel_statistics, self.consumers.channels)
            return not any(channel["messages_pending"] for channel in figures)
        except ChannelLayerUnavailable:
            return True

    def _finish(self) -> None:
        connections = self.server.counters.connections
        left = self.consumers.finish()
        if left or connections:
            WORKER_UNFINISHED.log(
                self.log,
                "Stopping with %(connections)d connections and %(consumers)d consumers unfinished",
                cause="graceful_timeout",
                connections=connections,
                consumers=left,
            )
        self.server.close()
        self.gauges.send_last()
        self.figures.stop(FIGURES_SECONDS)


def make_environ(cfg: Any) -> dict[str, object]:
    """Return what gunicorn's settings add to the environ of every request."""
    from gunicorn.http.wsgi import WSGIErrorsWrapper

    return {"wsgi.errors": WSGIErrorsWrapper(cfg)} if cfg.errorlog != "-" else {}


def drain_seconds(cfg: Any, is_urgent: bool) -> float:
    """Return how long a worker that stops may take to finish what it has begun."""
    if is_urgent:
        return URGENT_SECONDS
    return max(URGENT_SECONDS, float(cfg.graceful_timeout) * DRAIN_PART - DRAIN_RESERVE)


def gunicorn_version() -> str:
    """Return the version, for SERVER_SOFTWARE."""
    import gunicorn

    return str(gunicorn.__version__)
