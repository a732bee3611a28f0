"""The audit of redeploys: sockets stay open while the code that handles their frames is replaced.

Two arrangements: `worker` starts a `wsgi-bridge worker` with new code beside the old one, and stops
that; `split` reloads a `gunicorn_asgi.SplitWorker`.
"""

from __future__ import annotations

import contextlib
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from tests.audit.backend import Backend
from tests.audit.logs import read_lines
from tests.audit.plan import Plan
from tests.audit.queues import until
from tests.audit.socket_account import (
    SocketAccount,
    SocketHistory,
    read_socket_history,
    settle_sockets,
)
from tests.audit.socket_clients import Clients
from tests.audit.sockets import (
    PATIENCE,
    SETTINGS,
    THREADS,
    layer_url,
    make_environ,
    run_pure_server,
    url_of,
)
from tests.integration.servers import Server, run_server
from tests.integration.workers import run_worker

__all__ = ["ARRANGEMENTS", "audit_redeploys"]

SITE = """
from tests.audit.socket_site import make_application
application = make_application("{version}")
"""
TARGET = "deployed:application"

#: Whoever imports the next version must not find the bytecode of the one before.
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


def audit_redeploys(plan: Plan, backend: Backend) -> SocketAccount:
    """Run the audit that `plan` describes, and return its account."""
    history = SocketHistory(plan.expiry, THREADS)
    with (
        ARRANGEMENTS[plan.arrangement](plan).running() as arrangement,
        Clients(
            url_of(arrangement.server),
            plan.sockets,
            plan.rate,
            plan.expiry + PATIENCE,
            plan.seed,
        ) as clients,
    ):
        history.sockets = clients.sockets
        clients.start()
        for number in range(1, plan.times + 1):
            arrangement.deploy(str(number))
            history.deployments += 1
            time.sleep(plan.seconds / plan.times)
        clients.settle()
    read_socket_history(plan.folder, history)
    account = settle_sockets(history)
    if account.missing_at_a_kill or account.frames != account.answered:
        account.disagreements.append("nothing was killed, and yet frames are missing")
    if account.versions_at_work < history.deployments:
        account.disagreements.append("some deployments have handled no frame")
    return account


class Arrangement(ABC):
    """A server, and consumers that can be replaced."""

    server: Server

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.folder = Path(plan.folder)

    @abstractmethod
    def running(self) -> contextlib.AbstractContextManager[Arrangement]:
        """Run it, at version 0, during the block."""

    @abstractmethod
    def deploy(self, version: str) -> None:
        """Replace the consumers; return when the new ones are at work and the old ones gone."""

    def write(self, version: str) -> None:
        """Write the site's module."""
        part = self.folder / "part"
        part.write_text(SITE.format(version=version))
        part.rename(self.folder / "deployed.py")

    def wait_for_work(self, version: str) -> None:
        """Wait until a frame was handled by a version."""
        until(lambda: self._is_at_work(version), f"version {version} is at work")

    def _is_at_work(self, version: str) -> bool:
        logs = read_lines(self.plan.folder, "handled")
        return any(lines and name.startswith(f"{version}-") for name, lines in logs)


class Workers(Arrangement):
    """A pure server, and one `wsgi-bridge worker` after the other."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Arrangement]:
        self.environ = {**make_environ(self.plan), **NO_BYTECODE}
        with run_pure_server(self.plan) as self.server, contextlib.ExitStack() as self._present:
            self._present.enter_context(self._run("0"))
            yield self

    def _run(self, version: str) -> contextlib.AbstractContextManager[object]:
        self.write(version)
        folder = self.folder / f"worker-{version}"
        folder.mkdir()
        options = ("--processes", str(self.plan.workers), "--threads", str(THREADS))
        url = layer_url(self.plan)
        return run_worker(TARGET, folder, *options, layer=url, env=self.environ, cwd=self.folder)

    def deploy(self, version: str) -> None:
        before = self._present.pop_all()
        with before:  # which stops it, and sees to it that it has ended well
            self._present.enter_context(self._run(version))
            self.wait_for_work(version)


class Split(Arrangement):
    """A gunicorn whose workers hold sockets or run consumers."""

    @contextlib.contextmanager
    def running(self) -> Iterator[Arrangement]:
        self.write("0")
        plan = self.plan
        arguments = ["-w", str(plan.workers + 1), "--threads", str(THREADS), "-c", SETTINGS]
        with run_server(
            TARGET,
            worker="gunicorn_asgi.SplitWorker",
            chdir=self.folder,
            args=[*arguments, "--worker-connections", str(2 * plan.sockets)],
            env={**make_environ(plan), **NO_BYTECODE, "ASGI_SERVERS": "1"},
        ) as self.server:
            until(lambda: len(self._consumers()) == plan.workers, "the consumers run")
            yield self

    def deploy(self, version: str) -> None:
        before = self._consumers()
        self.write(version)
        self.server.kill(signal.SIGHUP)
        self.wait_for_work(version)
        until(
            lambda: not before & (now := self._consumers()) and len(now) == self.plan.workers,
            "the consumers before are gone",
        )

    def _consumers(self) -> set[int]:
        log = self.server.log()
        return {
            pid for pid in self.server.worker_pids() if f"Running consumers (pid: {pid})" in log
        }


ARRANGEMENTS: dict[str, type[Arrangement]] = {"worker": Workers, "split": Split}
