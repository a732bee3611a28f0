"""`wsgi-bridge worker` with real processes: what it survives, and that nothing is lost."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from pathlib import Path

import psutil
import pytest

from tests.integration.workers import JOBS, PATIENCE, WorkerCommand, run_worker

pytestmark = pytest.mark.integration

SITE = """
import os

def application(environ, start_response):
    start_response("200 OK", [])
    return [b"{version}"]
"""


def write_site(directory: Path, version: str, suffix: str = "") -> None:
    """Write the site's module, so that no byte-compiled file of it is taken for up to date."""
    path = directory / "replaced.py"
    path.with_suffix(".new").write_text(SITE.format(version=version) + suffix)
    path.with_suffix(".new").replace(path)


NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}


# Running


def test_requests_are_answered_by_a_child(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        assert {worker.process_of()} == worker.children()


def test_a_plain_wsgi_callable_is_a_target_too(tmp_path: Path) -> None:
    with run_worker("tests.apps.jobs:plain", tmp_path) as worker:
        assert worker.process_of() in worker.children()


def test_the_parent_imports_nothing_of_the_site(tmp_path: Path) -> None:
    noted = tmp_path / "pids"
    with run_worker(JOBS, tmp_path, "--processes", "2", env={"IMPORTED_BY": str(noted)}) as worker:
        assert {int(pid) for pid in noted.read_text().split()} == worker.children()


def test_threads_handle_messages_beside_each_other(tmp_path: Path) -> None:
    door = tmp_path / "door"
    with run_worker(JOBS, tmp_path, "--threads", "4") as worker:
        for _ in range(3):
            worker.ask("/wait", file=door)
        assert worker.process_of() in worker.children()
        door.touch()
        assert len(worker.replies(3)) == 3


def test_greenlets_handle_many_messages_beside_each_other(tmp_path: Path) -> None:
    door = tmp_path / "door"
    with run_worker(JOBS, tmp_path, "--greenlets", "50") as worker:
        for _ in range(49):
            worker.ask("/wait", file=door)
        assert worker.process_of() in worker.children()
        door.touch()
        assert len(worker.replies(49)) == 49


@pytest.mark.parametrize("options", [("--only", "jobs"), ("--exclude", "http.*")])
def test_channels_can_be_left_to_others(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = tmp_path / "done"
    done.touch()
    with run_worker(JOBS, tmp_path, *options) as worker:
        worker.ask("/pid")
        worker.layer.send("jobs", {"file": str(done)})
        worker.wait_for(
            lambda: not worker.layer.channel_statistics("jobs")["messages_pending"], "the job"
        )
        assert worker.layer.channel_statistics("http.request")["messages_pending"] == 1


# Consumers that trouble their process


@pytest.mark.parametrize("path", ["/exit", "/sys-exit", "/raise"])
@pytest.mark.parametrize("kind", ["--threads", "--greenlets"])
def test_a_consumer_that_exits_or_raises_stops_nobody_else(
    tmp_path: Path, path: str, kind: str
) -> None:
    with run_worker(JOBS, tmp_path, kind, "2") as worker:
        for number in range(1, 4):
            worker.ask(path)
            [answer] = worker.replies(1).values()
            assert answer["status"] == 500
            if path == "/exit":
                worker.wait_for_log(f"deaths so far: {number}")
            assert worker.process_of() in worker.children()


def test_a_process_that_exits_is_counted_and_the_log_names_what_it_was_busy_with(
    tmp_path: Path,
) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        worker.process_of()
        worker.ask("/exit")
        worker.wait_for_log("exited with status 7")
        worker.replies(1)
        [line] = [each for each in worker.log().splitlines() if "status 7" in each]
        assert "while busy with http.request /exit; deaths so far: 1" in line
        assert worker.process_of() in worker.children()


def test_a_process_that_is_killed_is_replaced_and_what_it_was_busy_with_is_named(
    tmp_path: Path,
) -> None:
    with run_worker(JOBS, tmp_path, "--only", "jobs") as worker:
        [pid] = worker.children()
        worker.layer.send("jobs", {"file": str(tmp_path / "never"), "path": "/x"})
        worker.wait_for_begun(tmp_path / "never")
        os.kill(pid, signal.SIGKILL)
        worker.wait_for_log("was killed by SIGKILL")
        assert "busy with jobs -> tests.apps.jobs.on_job /x; deaths so far: 1" in worker.log()
        worker.wait_for_log("is ready", 2)


def test_a_site_that_dies_again_and_again_is_restarted_more_and_more_slowly(
    tmp_path: Path,
) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        for number in range(1, 4):
            worker.process_of()
            worker.ask("/exit")
            worker.replies(1)
            worker.wait_for_log(f"deaths so far: {number}")
        assert worker.process_of() in worker.children()


@pytest.mark.slow
def test_a_burst_of_a_hundred_thousand_messages_stops_nobody_else(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path, "--threads", "2") as worker:
        worker.layer.send("bursts", {})
        for _ in range(20):
            assert worker.process_of() in worker.children()


# Stopping


def test_what_was_taken_is_finished_and_no_more_is_taken(tmp_path: Path) -> None:
    door = tmp_path / "door"
    with run_worker(JOBS, tmp_path, "--threads", "2") as worker:
        asked = {worker.ask("/wait", file=door) for _ in range(2)}
        later = {worker.ask("/wait", file=door) for _ in range(3)}
        worker.wait_for_begun(door, 2)
        worker.signal(signal.SIGTERM)
        worker.wait_for_log("stopping")
        door.touch()
        assert worker.wait_for_end() == 0
        assert set(worker.replies(2)) == asked
        assert worker.layer.channel_statistics("http.request")["messages_pending"] == len(later)


@pytest.mark.parametrize("kind", ["--threads", "--greenlets"])
def test_what_does_not_finish_in_time_is_abandoned_and_named(tmp_path: Path, kind: str) -> None:
    with run_worker(JOBS, tmp_path, kind, "2", "--graceful-timeout", "0.2") as worker:
        worker.ask("/wait", file=tmp_path / "never")
        worker.wait_for_begun(tmp_path / "never")
        worker.signal(signal.SIGTERM)
        assert worker.wait_for_end() == 0
        assert "abandoned: http.request for /wait" in worker.log()


@pytest.mark.parametrize("kind", ["--threads", "--greenlets"])
def test_a_stop_ends_streams_of_events(tmp_path: Path, kind: str) -> None:
    options = (kind, "2", "--graceful-timeout", "60")
    with run_worker(JOBS, tmp_path, *options, env={"ASGI_STREAM_GRACE": "0.2"}) as worker:
        reply = worker.ask("/events")
        assert worker.replies(1)[reply]["content"] == b": hello\n\n"
        worker.signal(signal.SIGTERM)
        assert worker.replies(1) == {reply: {"closed": True}}
        assert worker.wait_for_end() == 0
        assert "abandoned" not in worker.log()


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        worker.ask("/wait", file=tmp_path / "never")
        worker.wait_for_begun(tmp_path / "never")
        worker.signal(signal.SIGINT)
        worker.wait_for_log("stopping")
        worker.signal(signal.SIGINT)
        assert worker.wait_for_end() == 0
        assert "was killed by SIGKILL" in worker.log()


def test_children_finish_when_their_parent_is_killed(tmp_path: Path) -> None:
    door = tmp_path / "door"
    with run_worker(JOBS, tmp_path, "--processes", "2") as worker:
        children = [psutil.Process(pid) for pid in worker.children()]
        for _ in range(2):
            worker.ask("/wait", file=door)
        worker.wait_for_begun(door, 2)
        worker.signal(signal.SIGKILL)
        worker.wait_for_end()
        door.touch()
        assert len(worker.replies(2)) == 2
        assert psutil.wait_procs(children, PATIENCE)[1] == []


# Replacing


class Load(threading.Thread):
    """Asks all the time, a few at once, and counts who has answered."""

    def __init__(self, worker: WorkerCommand) -> None:
        super().__init__()
        self.worker = worker
        self.asked: set[str] = set()
        self.answered: dict[str, bytes] = {}
        self.is_over = False
        self.start()

    def run(self) -> None:
        while not self.is_over:
            self.asked.update(self.worker.ask("/pid") for _ in range(5))
            for channel, message in self.worker.replies(5).items():
                self.answered[channel] = message["content"]

    def versions(self) -> set[bytes]:
        return set(list(self.answered.values())[-20:])

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_over = True
        self.join()
        assert set(self.answered) == self.asked


def test_processes_are_replaced_by_ones_with_new_code_and_nothing_is_lost(tmp_path: Path) -> None:
    write_site(tmp_path, "version 0")
    options = ("--processes", "2", "--threads", "2", "--chdir", str(tmp_path))
    with run_worker("replaced", tmp_path, *options, env=NO_BYTECODE) as worker:
        with Load(worker) as load:
            for number in range(1, 5):
                before = worker.children()
                write_site(tmp_path, f"version {number}")
                worker.signal(signal.SIGHUP)
                worker.wait_for(
                    lambda now=number: load.versions() == {b"version %d" % now},
                    f"version {number}",
                )
                worker.wait_for(
                    lambda before=before: not before & worker.children(), "the old ones to end"
                )
        assert len(worker.children()) == 2
        assert "killed" not in worker.log()


def test_code_that_cannot_be_imported_replaces_nothing(tmp_path: Path) -> None:
    write_site(tmp_path, "good")
    with run_worker("replaced", tmp_path, cwd=tmp_path, env=NO_BYTECODE) as worker:
        write_site(tmp_path, "bad", "raise ValueError('in the middle of a deploy')")
        worker.signal(signal.SIGHUP)
        worker.wait_for_log("could not be imported: ValueError: in the middle of a deploy")
        assert worker.fetch("/") == "good"
        write_site(tmp_path, "better")
        worker.signal(signal.SIGHUP)
        worker.wait_for(lambda: worker.fetch("/") == "better", "the mended code")


def test_there_can_be_more_processes_and_fewer(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        worker.signal(signal.SIGTTIN)
        worker.wait_for_log("is ready", 2)
        assert len(worker.children()) == 2
        for _ in range(3):
            worker.signal(signal.SIGTTOU)
        worker.wait_for(lambda: len(worker.children()) == 1, "one to be left")
        assert worker.process_of() in worker.children()


def test_a_process_is_replaced_after_so_many_messages_and_nothing_is_lost(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path, "--max-messages", "50") as worker:
        [first] = worker.children()
        with Load(worker):
            worker.wait_for(lambda: first not in worker.children(), "it to be replaced")
        log = worker.log()
        assert "messages: it is replaced" in log
        # No gap: the other was there before.
        assert log.index("is ready", log.index("is replaced")) < log.index(f"{first} exited")
        assert "deaths" not in log


def test_a_process_that_is_too_large_is_replaced(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path, "--max-memory", "150M") as worker:
        first = worker.process_of()
        assert worker.process_of("/allocate") == first
        worker.wait_for(lambda: first not in worker.children(), "it to be replaced")
        assert re.search(r"has had \d+ MB of memory: it is replaced", worker.log())
        assert worker.process_of() != first


# In development


def test_files_that_change_are_loaded_again(tmp_path: Path) -> None:
    write_site(tmp_path, "one")
    with run_worker("replaced", tmp_path, "--reload", cwd=tmp_path, env=NO_BYTECODE) as worker:
        assert worker.fetch("/") == "one"
        write_site(tmp_path, "two")
        worker.wait_for(lambda: worker.fetch("/") == "two", "the changed file")
        assert "changed: replaced.py" in worker.log()


def test_a_syntax_error_waits_for_the_next_change(tmp_path: Path) -> None:
    write_site(tmp_path, "one", "\nthis is no python")
    options = ("--reload", "--graceful-timeout", "1")
    with run_worker(
        "replaced", tmp_path, *options, cwd=tmp_path, env=NO_BYTECODE, wait=False
    ) as worker:
        worker.wait_for_log("could not be imported: SyntaxError")
        write_site(tmp_path, "two")
        assert worker.fetch("/") == "two"
        write_site(tmp_path, "three", "import colours")
        worker.wait_for_log("No module named 'colours'")
        (tmp_path / "colours.py").touch()
        # Who has just been told to stop may still take one.
        worker.wait_for(lambda: worker.fetch("/") == "three", "the module that was missing")


# What cannot run


@pytest.mark.parametrize(
    ("target", "options", "status", "text"),
    [
        ("nowhere:application", (), 1, "there is no module 'nowhere' here: run this in the "),
        ("tests.apps.nowhere", (), 1, "there is no module 'tests.apps.nowhere' here"),
        ("tests.apps.jobs:nothing", (), 1, "tests.apps.jobs has no 'nothing'"),
        ("tests.apps.jobs:ACTIONS", (), 1, "tests.apps.jobs:ACTIONS is dict, neither a Bridge"),
        ("my-site", (), 2, "'my-site' is no target: expected module:attribute"),
        (JOBS, ("--only", "x.*"), 2, "--only and --exclude leave no channel; this site has "),
        (JOBS, ("--exclude", "*"), 2, "--only and --exclude leave no channel; this site has "),
        (JOBS, ("--layer", "memory://"), 2, "a memory:// layer lives in one process"),
        (JOBS, ("--layer", "memory://x"), 2, "name one that both share, such as ipc://mysite"),
        (JOBS, ("--layer", "nothing://x"), 1, "unknown channel layer 'nothing'"),
        (JOBS, ("--chdir", "/nowhere"), 2, "--chdir: "),
        (JOBS, ("--pid", "/nowhere/pid"), 1, "No such file or directory"),
        (JOBS, ("--threads", "0"), 2, "argument --threads: expected 1 or more, not 0"),
        (JOBS, ("--max-memory", "much"), 2, "expected bytes, such as 500M or 2G, not much"),
        (JOBS, ("--graceful-timeout", "-1"), 2, "expected seconds, 0 or more, not -1"),
        (JOBS, ("--threads", "2", "--greenlets", "2"), 2, "not allowed with argument"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(
    tmp_path: Path, target: str, options: tuple[str, ...], status: int, text: str
) -> None:
    options = (*options, "--processes", "2", "--log-level", "warning")
    with run_worker(target, tmp_path, *options, wait=False) as worker:
        assert worker.wait_for_end() == status
        [line] = [each for each in worker.log().splitlines() if "wsgi-bridge" in each[:12]]
        assert text in line
        assert "Traceback" not in worker.log()


def test_a_site_that_cannot_be_imported_shows_its_own_traceback(tmp_path: Path) -> None:
    write_site(tmp_path, "bad", "import nothing_like_it")
    with run_worker("replaced", tmp_path, cwd=tmp_path, wait=False) as worker:
        assert worker.wait_for_end() == 1
        assert 'replaced.py", line' in worker.log()
        assert "wsgi-bridge: replaced could not be imported: ModuleNotFoundError" in worker.log()


def test_a_site_that_ends_its_process_at_its_import_is_not_tried_for_ever(tmp_path: Path) -> None:
    write_site(tmp_path, "bad", "os._exit(5)")
    with run_worker("replaced", tmp_path, cwd=tmp_path, wait=False) as worker:
        assert worker.wait_for_end() == 1
        assert "a worker process exited with status 5 as it started" in worker.log()


def test_a_layer_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}"
        with run_worker(JOBS, tmp_path, "--layer", url, wait=False) as worker:
            worker.wait_for_log("waiting for the channel layer: ")
            assert worker.process.poll() is None


# For who runs it


def test_the_pid_file_names_the_parent_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("999999999\n")  # left behind
    with run_worker(JOBS, tmp_path, "--pid", str(path)) as worker:
        assert path.read_text() == f"{worker.pid}\n"
        second = tmp_path / "second"
        second.mkdir()
        with run_worker(JOBS, second, "--pid", str(path), wait=False) as other:
            assert other.wait_for_end() == 1
            assert f"says that process {worker.pid} runs already" in other.log()
        assert path.exists()
    assert not path.exists()


def test_the_stacks_of_the_threads_can_be_seen(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path) as worker:
        worker.ask("/wait", file=tmp_path / "door")
        worker.wait_for_begun(tmp_path / "door")
        worker.signal(signal.SIGUSR1)
        worker.wait_for_log("in wait_for_file")
        (tmp_path / "door").touch()


def test_systemd_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE)
        with run_worker(JOBS, tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as worker:
            assert systemd.recv(100) == b"READY=1"
            worker.signal(signal.SIGTERM)
            assert systemd.recv(100) == b"STOPPING=1"
