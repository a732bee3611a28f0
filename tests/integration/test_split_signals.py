"""SplitWorker and the signals and settings that change how many workers there are, and which."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.servers import PATIENCE, ROOT, wait_for
from tests.integration.sockets import open_socket
from tests.integration.test_split import Split, open_many, run_split, write_site

pytestmark = pytest.mark.integration

LISTENING = re.compile(r"Listening at: http://127.0.0.1:(\d+)")
# Of which gunicorn can make another one: `python -m gunicorn` would then find modules of its own
# in place of Python's.
GUNICORN = str(Path(sys.executable).with_name("gunicorn"))


# How many


@pytest.mark.parametrize(("workers", "servers"), [(4, 1), (4, 2)])
def test_the_last_consumer_cannot_be_taken_away(tmp_path: Path, workers: int, servers: int) -> None:
    env = {"ASGI_SERVERS": str(servers)}
    with run_split(tmp_path, workers=workers, env=env) as split, open_many(split, 3) as sockets:
        before, _ = split.roles()
        for left in range(workers - 1, servers, -1):
            split.server.kill(signal.SIGTTOU)
            split.wait_for_workers(left)
        split.server.kill(signal.SIGTTOU)
        split.server.wait_for_log(f"{servers + 1} workers stay")
        split.server.kill(signal.SIGTTIN)
        split.wait_for_workers(servers + 2)
        assert split.roles()[0] == before
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"first"}


def test_a_hook_of_the_site_hears_of_changes_and_not_of_those_refused(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("def nworkers_changed(server, new, old): print('workers', old, new)")
    with run_split(tmp_path, "--config", str(config), workers=3) as split:
        split.server.kill(signal.SIGTTOU)
        split.wait_for_workers(2)
        split.server.kill(signal.SIGTTOU)
        split.server.wait_for_log("2 workers stay")
        assert "workers 3 2\n" in split.server.log()
        assert "workers 2 1\n" not in split.server.log()


@pytest.mark.slow
def test_a_reload_that_asks_for_one_worker_gets_two(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("workers = 3")
    arguments = ["--config", str(config)]
    with (
        run_split(tmp_path, *arguments, is_told=False, workers=3, may_log_errors=True) as split,
        open_many(split, 3) as sockets,
    ):
        servers, old = split.roles()
        config.write_text("workers = 1")
        split.write("second")
        split.server.kill(signal.SIGHUP)
        split.server.wait_for_log("needs 2 workers at least: one more is made")
        split.server.wait_for(lambda: not set(old) & set(split.roles()[1]), "the old to go")
        split.wait_for_workers(2)
        assert split.roles()[0] == servers
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"second"}


# Another master


@pytest.mark.slow
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_second_master_takes_over_from_the_first(tmp_path: Path, is_shared: bool) -> None:
    """USR2, a look at the new one, TERM to the old one: gunicorn's way to replace itself."""
    env = {"CHANNEL_LAYER": f"ipc://{tmp_path}/layer"} if is_shared else {}
    with (
        run_split(tmp_path, workers=2, env=env, program=[GUNICORN]) as split,
        open_many(split, 3) as sockets,
    ):
        old_workers = split.server.worker_pids()
        split.write("second")
        split.server.kill(signal.SIGUSR2)
        master = split.server.wait_for(lambda: find_second(split, old_workers), "a second master")
        with stopped_at_the_end(master):
            split.server.wait_for(lambda: len(running_of(split, master)) == 2, "its workers")
            versions = {split.say(socket, "hello")[0] for socket in sockets}
            # A layer of their own each, or one in which any consumer takes any message.
            assert versions <= ({"first", "second"} if is_shared else {"first"})
            split.server.kill(signal.SIGTERM)
            for socket in sockets:
                with contextlib.suppress(ConnectionClosed):
                    socket.recv(PATIENCE)
                assert socket.close_code == 1012
            split.server.process.wait(PATIENCE)
            assert split.version() == "second"
            with open_socket(split.server, "/echo") as socket:
                assert split.say(socket, "hello")[0] == "second"


def find_second(split: Split, old_workers: list[int]) -> psutil.Process | None:
    """Return the master that the first one has made."""
    for child in psutil.Process(split.server.pid).children():
        if child.pid not in old_workers and child.children():
            return child
    return None


def running_of(split: Split, master: psutil.Process) -> list[int]:
    """Return the workers of a master that have a role by now."""
    log = split.server.log()
    words = ("Holding sockets", "Running consumers")
    pids = [child.pid for child in master.children()]
    return [pid for pid in pids if any(f"{word} (pid: {pid})" in log for word in words)]


@contextlib.contextmanager
def stopped_at_the_end(master: psutil.Process) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            master.send_signal(signal.SIGTERM)
            master.wait(PATIENCE)


# WINCH


def test_winch_means_nothing_on_a_terminal(tmp_path: Path) -> None:
    with run_split(tmp_path, workers=2) as split, open_many(split, 2) as sockets:
        before = split.server.worker_pids()
        split.server.kill(signal.SIGWINCH)
        split.server.wait_for_log("Handling signal: winch")
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"first"}
        assert split.server.worker_pids() == before


@pytest.mark.slow
def test_winch_ends_the_workers_of_a_daemon_and_a_reload_brings_new_ones(tmp_path: Path) -> None:
    with run_daemon(tmp_path) as (master, port):
        before = wait_for(lambda: ready_workers(tmp_path, master), "two workers")
        with connect(f"ws://127.0.0.1:{port}/echo", compression=None) as socket:
            socket.send("hello")
            assert str(socket.recv(PATIENCE)).startswith("hello first")
            master.send_signal(signal.SIGWINCH)
            with contextlib.suppress(ConnectionClosed):
                socket.recv(PATIENCE)
            assert socket.close_code == 1012
        wait_for(lambda: not live_children(master), "the end of all workers")
        write_site(tmp_path, "second")
        master.send_signal(signal.SIGHUP)
        after = wait_for(lambda: ready_workers(tmp_path, master), "two new workers")
        assert not set(before) & set(after)
        with connect(f"ws://127.0.0.1:{port}/echo", compression=None) as socket:
            socket.send("hello")
            assert str(socket.recv(PATIENCE)).startswith("hello second")


@contextlib.contextmanager
def run_daemon(folder: Path) -> Iterator[tuple[psutil.Process, int]]:
    """Run a split gunicorn that is no child of ours, with a server and a consumer process."""
    write_site(folder, "first")
    pid_file, log = folder / "pid", folder / "log"
    command = [sys.executable, "-m", "gunicorn", "-k", "gunicorn_asgi.SplitWorker", "-w", "2"]
    command += ["--daemon", "--no-control-socket", "-b", "127.0.0.1:0", "--pid", str(pid_file)]
    command += ["--error-logfile", str(log), "--capture-output", "--chdir", str(folder)]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(
        [*command, "--pythonpath", str(ROOT), "deployed:application"], cwd=ROOT, env=env, check=True
    )
    wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "the daemon")
    master = psutil.Process(int(pid_file.read_text()))
    try:
        listening = wait_for(lambda: LISTENING.search(log.read_text()), "it to listen")
        yield master, int(listening[1])
    finally:
        children = master.children()
        master.send_signal(signal.SIGTERM)
        gone, alive = psutil.wait_procs([master, *children], PATIENCE)
        for process in alive:
            process.kill()
        print(log.read_text())
    assert not alive, f"ended: {gone}"


def live_children(master: psutil.Process) -> list[int]:
    return [each.pid for each in master.children() if each.status() != psutil.STATUS_ZOMBIE]


def ready_workers(folder: Path, master: psutil.Process) -> list[int] | None:
    """Return both workers of a daemon when they have roles."""
    log = (folder / "log").read_text()
    found = [
        pid
        for pid in live_children(master)
        if f"Holding sockets (pid: {pid})" in log or f"Running consumers (pid: {pid})" in log
    ]
    return found if len(found) == 2 else None


# A change of files


def test_a_change_of_files_replaces_the_consumers_only(tmp_path: Path) -> None:
    arguments = ["--reload", "--reload-engine", "poll"]
    extra = ["--reload-extra-file", str(tmp_path / "page.html")]
    (tmp_path / "page.html").write_text("a template")
    with (
        run_split(tmp_path, *arguments, *extra, workers=3) as split,
        open_many(split, 3) as sockets,
    ):
        servers, _ = split.roles()
        split.write("second")
        (tmp_path / "page.html").write_text("another template")
        for socket in sockets:
            split.server.wait_for(
                lambda: split.say(socket, "hello")[0] == "second",  # noqa: B023
                "the new code",
                patience=3 * PATIENCE,
            )
        assert split.wait_for_workers(3)[0] == servers
