"""Every signal to a gunicorn that has everything open, and what each client sees of it.

Sockets, streams that never end, a download and an upload in flight, idle and pipelined requests
(lives.py), held by workers with greenlets, with threads, and by a split.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.lives import Events, Idle, Socket, Upload, open_all
from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.wire import ask, open_wire, request

pytestmark = pytest.mark.integration

APP = "tests.apps.life:application"
HOOKS = """
def post_worker_init(worker): print(f"ready: {worker.pid}", flush=True)
def worker_exit(server, worker):
    import time
    print(f"worker_exit of {worker.pid} at {time.monotonic()}", flush=True)
"""
GRACEFUL = 10.0
# Of which gunicorn can make another one; see test_split_signals.
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))


class Arrangement:
    """A worker class, and how many of it."""

    def __init__(self, name: str, worker: str, *args: str, serving: int, workers: int) -> None:
        self.name = name
        self.worker = f"gunicorn_asgi.{worker}"
        self.args = args
        self.serving = serving  # workers that hold sockets
        self.workers = workers

    def __repr__(self) -> str:
        return self.name


GREENLETS = Arrangement("greenlets", "Worker", "-w", "2", serving=2, workers=2)
ALONE = Arrangement("alone", "Worker", serving=1, workers=1)
THREADS = Arrangement("threads", "Worker", "--threads", "20", serving=1, workers=1)
SPLIT = Arrangement("split", "SplitWorker", "-w", "2", "--threads", "20", serving=1, workers=2)
ALL = [GREENLETS, THREADS, SPLIT]
every_arrangement = pytest.mark.parametrize("arrangement", ALL, ids=repr)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


class Site:
    """A running server of one arrangement."""

    def __init__(self, server: Server, arrangement: Arrangement, gate: Path) -> None:
        self.server = server
        self.arrangement = arrangement
        self.gate = gate
        self.workers = self.wait_for_workers()

    def ready(self) -> list[int]:
        """Return the workers that have loaded what they serve with."""
        log = self.server.log()
        return [pid for pid in self.server.worker_pids() if f"ready: {pid}\n" in log]

    def wait_for_workers(self, count: int = 0, without: list[int] | None = None) -> list[int]:
        """Wait until there are so many workers, all ready, and none of those named."""

        def found() -> Any:
            pids = self.server.worker_pids()
            is_right = len(pids) == (count or self.arrangement.workers)
            return is_right and not set(pids) & set(without or ()) and pids == self.ready() and pids

        pids: list[int] = self.server.wait_for(found, "the workers")
        return pids

    def wait_for_deaf(self, pids: list[int]) -> None:
        """Wait until these workers accept no more: they have begun to stop."""
        for pid in pids:
            self.server.wait_for(lambda: not is_listening(pid), f"{pid} to stop")  # noqa: B023

    def check_ended(self, pids: list[int]) -> float:
        """Wait for the end of these workers; see that none was cut short; return when."""
        wait_for_gone(pids, self.server)
        log = self.server.log()
        ends = {pid: re.search(rf"worker_exit of {pid} at (\S+)\n", log) for pid in pids}
        for pid in pids:
            assert f"Worker exiting (pid: {pid})" in log
        return max(float(end[1]) for end in ends.values() if end is not None or pytest.fail(log))

    def check_serves(self) -> None:
        """See that new clients of every kind are served."""
        with open_all(self.server, Socket, Events, Upload) as clients:
            clients.check("kept")
        assert ask(self.server, request()).status == 200

    def check_freed(self) -> None:
        """See that nobody listens any more."""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", self.server.port))


def is_listening(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        sockets = psutil.Process(pid).net_connections(kind="tcp")
        return any(sock.status == psutil.CONN_LISTEN for sock in sockets)
    return False


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_for_gone(pids: list[int], server: Server) -> None:
    server.wait_for(lambda: not any(map(is_alive, pids)), f"the end of {pids}")


@contextlib.contextmanager
def run_site(
    arrangement: Arrangement,
    gate: Path,
    *args: str,
    graceful: float = GRACEFUL,
    env: dict[str, str] | None = None,
    **options: Any,
) -> Iterator[Site]:
    config = gate.parent / "conf.py"
    config.write_text(HOOKS)
    times = {"ASGI_STREAM_GRACE": "0.2", "ASGI_CLOSE_WINDOW": "0.2", "ASGI_CLOSE_TIMEOUT": "0.5"}
    with run_server(
        APP,
        worker=arrangement.worker,
        args=["--config", str(config), "--graceful-timeout", str(int(graceful)), "--keep-alive",
              "30", *arrangement.args, *args],
        env={"GATE_FILE": str(gate), **times, **(env or {})},
        **options,
    ) as server:  # fmt: skip
        yield Site(server, arrangement, gate)


def names_ticks(arrangement: Arrangement) -> dict[str, bool]:
    """Allow the log to name what ends with its process: a thread that waits cannot be ended."""
    return {"may_log_errors": "--threads" in arrangement.args}


# The server ends


@every_arrangement
def test_term_lets_everything_finish(arrangement: Arrangement, gate: Path) -> None:
    with (
        run_site(arrangement, gate, **names_ticks(arrangement)) as site,
        open_all(site.server) as clients,
    ):
        started = time.monotonic()
        site.server.kill(signal.SIGTERM)
        site.wait_for_deaf(site.workers)
        clients.check("stopped", gate)
        site.server.process.wait(PATIENCE)
        assert time.monotonic() - started < 0.7 * GRACEFUL  # not all that there is
        site.check_ended(site.workers)
        site.check_freed()


def test_term_serves_who_waits_in_the_kernel(gate: Path) -> None:
    """The hub is blocked while they come, more than it takes at once, and is told to stop."""
    with run_site(ALONE, gate) as site, contextlib.ExitStack() as stack:
        blocker = stack.enter_context(open_wire(site.server))
        blocker.send(request("/block-hub"))
        site.server.wait_for_log("site: blocks the hub")
        wires = [stack.enter_context(open_wire(site.server)) for _ in range(150)]
        for wire in wires:
            wire.send(request())
        site.server.kill(signal.SIGTERM)
        site.server.wait_for_log("Handling signal: term")
        gate.touch()
        assert [wire.read_response().status for wire in wires] == [200] * len(wires)


@every_arrangement
def test_term_is_done_in_time_with_clients_that_never_finish(
    arrangement: Arrangement, gate: Path
) -> None:
    options = {"graceful": 5.0, "may_log_errors": True}
    with run_site(arrangement, gate, **options) as site, open_all(site.server) as clients:
        started = time.monotonic()
        site.server.kill(signal.SIGTERM)
        site.server.process.wait(PATIENCE)
        assert site.check_ended(site.workers) - started < 0.9 * 5
        site.check_freed()
        clients.check("dropped")


@every_arrangement
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quit_waits_for_nobody_and_truncates_nothing_silently(
    arrangement: Arrangement, gate: Path, number: int
) -> None:
    with (
        run_site(arrangement, gate, may_log_errors=True) as site,
        open_all(site.server) as clients,
    ):
        started = time.monotonic()
        site.server.kill(number)
        clients.check("hurried")
        site.server.process.wait(PATIENCE)
        assert time.monotonic() - started < GRACEFUL / 2
        site.check_ended(site.workers)
        site.check_freed()


@every_arrangement
def test_workers_whose_master_was_killed_stop_as_they_were_told(
    arrangement: Arrangement, gate: Path
) -> None:
    with (
        run_site(arrangement, gate, may_lose_master=True) as site,
        open_all(site.server) as clients,
    ):
        site.server.kill(signal.SIGKILL)
        site.server.process.wait(PATIENCE)
        site.wait_for_deaf(site.workers)
        clients.check("stopped", gate)
        site.check_ended(site.workers)
        site.check_freed()


# The server goes on


@pytest.mark.parametrize("arrangement", [GREENLETS, THREADS], ids=repr)
def test_workers_come_and_go(arrangement: Arrangement, gate: Path) -> None:
    """TTIN, TTOU, HUP, and one that is killed: with clients of every kind each time."""
    options = {"may_lose_workers": True, "may_log_errors": True}
    with run_site(arrangement, gate, **options) as site:
        with open_all(site.server) as clients:
            site.server.kill(signal.SIGTTIN)
            more = site.wait_for_workers(arrangement.workers + 1)
            clients.check("kept")
            leaving = clients.held_by(more[0])
            staying = clients.without(leaving)
            site.server.kill(signal.SIGTTOU)
            site.wait_for_deaf(more[:1])
            leaving.check("stopped", gate)
            staying.check("kept")
            site.check_ended(more[:1])
            before = site.wait_for_workers()
        gate.unlink()
        with open_all(site.server, count=2) as clients:
            site.server.kill(signal.SIGHUP)
            site.wait_for_deaf(before)
            site.check_serves()
            clients.check("stopped", gate)
            site.check_ended(before)
            after = site.wait_for_workers(without=before)
            site.check_serves()
        gate.unlink()
        with open_all(site.server) as clients:
            lost = clients.held_by(after[0])
            kept = clients.without(lost)
            os.kill(after[0], signal.SIGKILL)
            lost.check("killed")
            kept.check("kept")
            site.wait_for_workers(without=after[:1])
            site.check_serves()
            gate.touch()


def test_a_split_keeps_its_connections_while_consumers_come_and_go(gate: Path) -> None:
    options = {"may_lose_workers": True, "may_log_errors": True}
    with run_site(SPLIT, gate, **options) as site:
        with open_all(site.server, Socket, Idle, count=3) as clients:
            site.server.kill(signal.SIGTTIN)
            site.wait_for_workers(SPLIT.workers + 1)
            clients.check("kept")
            site.server.kill(signal.SIGTTOU)
            workers = site.wait_for_workers()
            clients.check("kept")
        with open_all(site.server) as clients:
            holder = clients.members[0].holder
            old = [pid for pid in workers if pid != holder]
            site.server.kill(signal.SIGHUP)
            site.server.wait_for_log("Running consumers", count=3)
            site.check_serves()
            clients.check("moved", gate)
            site.check_ended(old)
            assert holder in site.wait_for_workers(without=old)
        gate.unlink()
        with open_all(site.server) as clients:
            os.kill(holder, signal.SIGKILL)
            clients.check("killed")
            site.wait_for_workers(without=[holder])
            site.check_serves()
            gate.touch()


@pytest.mark.parametrize("arrangement", [ALONE, THREADS], ids=repr)
def test_max_requests_is_a_stop_during_which_others_are_served(
    arrangement: Arrangement, gate: Path
) -> None:
    options = names_ticks(arrangement)
    with (
        run_site(arrangement, gate, "--max-requests", "7", **options) as site,
        open_all(site.server) as clients,
    ):
        assert ask(site.server, request("/pid")).text == str(site.workers[0])
        site.server.wait_for_log("Autorestarting worker after 7 requests")
        assert ask(site.server, request("/pid")).text == str(site.workers[0])
        clients.check("stopped", gate)
        site.check_ended(site.workers)
        site.wait_for_workers(without=site.workers)
        site.check_serves()


def test_a_worker_that_is_blocked_is_replaced_and_its_sockets_are_told(gate: Path) -> None:
    options = {"may_lose_workers": True, "may_log_errors": True}
    with (
        run_site(ALONE, gate, "--timeout", "2", **options) as site,
        open_all(site.server) as clients,
    ):
        with site.server.connect() as sock:
            sock.sendall(request("/compute?seconds=60"))
            clients.check("hurried")
        wait_for_gone(site.workers, site.server)
        site.wait_for_workers(without=site.workers)
        site.check_serves()


@pytest.mark.parametrize("arrangement", [GREENLETS, THREADS], ids=repr)
def test_two_generations_serve_until_one_is_stopped(arrangement: Arrangement, gate: Path) -> None:
    """USR2, and first the new one is found wanting, then another takes over."""
    with (
        run_site(arrangement, gate, program=[GUNICORN], **names_ticks(arrangement)) as site,
        open_all(site.server) as clients,
    ):
        with second_master(site) as master:
            master.terminate()
            master.wait(PATIENCE)
        clients.check("kept")
        with second_master(site) as master:
            clients.check("kept")
            site.server.kill(signal.SIGTERM)
            site.wait_for_deaf(site.workers)
            site.check_serves()
            clients.check("stopped", gate)
            site.server.process.wait(PATIENCE)
            site.check_ended(site.workers)
            site.check_serves()


@contextlib.contextmanager
def second_master(site: Site) -> Iterator[psutil.Process]:
    """Have the master start another; see that that one's workers are ready."""
    site.server.kill(signal.SIGUSR2)

    def found() -> psutil.Process | None:
        for child in psutil.Process(site.server.pid).children():
            pids = [each.pid for each in child.children()]
            log = site.server.log()
            ready = [pid for pid in pids if f"ready: {pid}\n" in log]
            if len(ready) == site.arrangement.workers and child.pid not in site.workers:
                return child
        return None

    master = site.server.wait_for(found, "a second master")
    try:
        yield master
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            master.terminate()
            master.wait(PATIENCE)
