"""SplitWorker: some workers of a gunicorn hold the sockets, the others run the consumers.

    gunicorn -k gunicorn_asgi.SplitWorker -w 5 mysite.wsgi

A server never imports the site. So a reload (HUP) replaces the consumers by ones with the new code,
and every connection stays. What they say to each other goes through a channel layer that all of
them share. Imported in gunicorn's master, as worker.py is.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from gunicorn.workers.base import Worker as BaseWorker

from gunicorn_asgi.certificates import certificates
from gunicorn_asgi.consumer_worker import ConsumerWorker
from gunicorn_asgi.error_log import open_error_log
from gunicorn_asgi.events import WORKER_SERVERS_INVALID, WORKER_TOO_FEW
from gunicorn_asgi.least import LeastWorkers
from gunicorn_asgi.pure_server import check_url, make_pure_server, read_environment
from gunicorn_asgi.remains import Remains
from gunicorn_asgi.roles import SERVER, STAND_IN, Roles, find_server_count
from gunicorn_asgi.worker import Worker

if TYPE_CHECKING:
    from wsgi_bridge.processes.attendance import Presence

# One for sockets and one for consumers.
MIN_WORKERS = 2

_roles = Roles()
_remains = Remains()


class SplitWorker:
    """``gunicorn -k gunicorn_asgi.SplitWorker``: makes a server, or a worker that runs consumers.

    Which one is decided in the master, where gunicorn makes its workers.
    """

    def __new__(cls, age: int, ppid: int, sockets: Any, app: Any, timeout: float, cfg: Any,
                log: Any) -> Any:  # fmt: skip
        """Return the next worker, of whatever kind is missing."""
        is_alone = cfg.workers < MIN_WORKERS
        if is_alone:
            cfg.set("workers", MIN_WORKERS)  # of a reload, as `check_config` has seen the first
        count = _count_servers(cfg, log)
        LeastWorkers.install(cfg, count, log)
        role = _roles.choose(age, count)
        arguments: Any = (age, ppid, sockets, app, timeout, cfg, log)
        if role == STAND_IN:
            stand_in = StandIn(*arguments)
            stand_in.is_alone = is_alone
            return stand_in
        if role == SERVER:
            server = ServerWorker(*arguments)
            server.presence = _roles.presence
            server.generation = _roles.generation
            _roles.add_server(server)
            return server
        consumer = ConsumerWorker(*arguments)
        consumer.presence = _roles.presence
        consumer.generation = _roles.generation
        consumer.orphans = _remains.collect(log)
        _remains.watch(consumer, consumer.board)
        # Without a site to begin with there is nothing to serve; later there is.
        consumer.may_halt = _roles.generation == 1 and age <= cfg.workers
        return consumer

    @classmethod
    def setup(cls) -> None:
        """Take note of a reload; called by gunicorn in its master when it reads its settings."""
        _roles.begin_generation()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Refuse what cannot be split; called by gunicorn in its master, once."""
        if cfg.workers < MIN_WORKERS:
            raise RuntimeError(
                "gunicorn_asgi.SplitWorker needs a worker for sockets and one for consumers: "
                "say -w 2 or more, or use gunicorn_asgi.Worker"
            )
        if cfg.preload_app:
            raise RuntimeError(
                "preload_app has the site loaded once and in every worker, so that a reload would "
                "not bring new code: leave it out with gunicorn_asgi.SplitWorker"
            )
        Worker.check_config(cfg, log)
        settings = read_environment()
        if "ASGI_CONSUMERS" in os.environ:
            raise RuntimeError(
                "gunicorn_asgi.SplitWorker has consumers of its own: leave ASGI_CONSUMERS out, "
                "or use gunicorn_asgi.Worker"
            )
        if settings.servers >= cfg.workers:
            raise RuntimeError(
                f"ASGI_SERVERS={settings.servers} of {cfg.workers} workers leaves none for the "
                "consumers: lower it, or raise the number of workers"
            )
        if urlsplit(os.environ.get("CHANNEL_LAYER", "")).scheme == "memory":
            raise RuntimeError(
                "the workers of gunicorn_asgi.SplitWorker cannot reach each other over memory://: "
                "leave CHANNEL_LAYER out, or set it to one such as ipc://mysite"
            )


class ServerWorker(Worker):
    """A worker that holds sockets. Its site is elsewhere, and so nothing in it grows or leaks."""

    has_threads = False
    presence: Presence
    generation: int  # of the configuration whose certificates it has
    _is_seen = False

    def init_process(self) -> None:
        """Be seen, then start as the undivided worker does."""
        self.max_requests = sys.maxsize  # what that is for is in the site
        self.cfg.set("reload", False)  # and so is what changes
        self._is_seen = self.presence.enter()
        super().init_process()

    def load_wsgi(self) -> None:
        """Load nothing."""
        self.wsgi = cast("Any", make_pure_server())
        check_url(self._bridge())
        open_error_log(self.log)

    def _start(self) -> None:
        super()._start()
        self.log.info("Holding sockets (pid: %s)", self.pid)

    def notify(self) -> None:
        """Tell the arbiter that the hub turns, and the siblings that there is a server.

        A reload leaves this process; its certificates it takes from the same files anew.
        """
        super().notify()
        self._is_seen = self._is_seen or (self.alive and self.presence.enter())
        if self.tls is not None and self.presence.generation != self.generation:
            self.generation = self.presence.generation
            self.http.tls = certificates.renew(self.cfg, self.log)

    def _drain(self, deadline: float) -> None:
        self.presence.retire()
        super()._drain(deadline)


def _count_servers(cfg: Any, log: Any) -> int:
    """Return how many workers are to hold sockets."""
    try:
        asked = read_environment().servers
    except ValueError as exc:
        # Of a reload, as `check_config` has seen the first: raised here it would end the master.
        WORKER_SERVERS_INVALID.log(log, "The default of ASGI_SERVERS is used: %(cause)s", cause=exc)
        asked = 0
    return find_server_count(cfg.workers, asked)


class StandIn(BaseWorker):
    """One worker too many, in a reload: it ends so that a server need not."""

    #: Whether the reload asked for no other: then nobody would run consumers.
    is_alone = False

    def init_process(self) -> None:
        """End at once."""
        if self.is_alone:
            WORKER_TOO_FEW.log(
                self.log,
                "gunicorn_asgi.SplitWorker needs %(workers)s workers at least: one more is made",
                cause="workers",
                workers=MIN_WORKERS,
            )
            os.kill(self.ppid, signal.SIGTTIN)
        sys.exit(0)
