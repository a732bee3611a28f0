"""uwsgidecorators' functions in real processes: once each, whoever is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.decorated import APP, Ledger, call, ledger
from tests.integration.servers import run_server
from tests.integration.workers import WorkerCommand, run_worker

pytestmark = pytest.mark.integration
__all__ = ["ledger"]


@contextlib.contextmanager
def run(ledger: Ledger, *options: str, **env: str) -> Iterator[WorkerCommand]:
    directory = ledger.path.parent
    with run_worker(APP, directory, *options, env={"LEDGER": str(ledger.path), **env}) as worker:
        yield worker


# Jobs


@pytest.mark.parametrize("options", [["--threads", "2"], ["--greenlets", "20"]])
def test_every_job_is_run_once_by_one_of_the_processes(ledger: Ledger, options: list[str]) -> None:
    with run(ledger, "--processes", "2", *options) as worker:
        for number in range(60):
            worker.ask("/once", n=number)
        worker.replies(60)
        worker.wait_for(lambda: len(ledger.lines("once")) >= 60, "all jobs")
        worker.wait_for(lambda: not worker.layer.storage.scheduled().number, "none to be left")
    assert ledger.numbers("once") == list(range(60))


@pytest.mark.parametrize(
    ("args", "worker"),
    [([], "gunicorn_asgi.Worker"), (["-w", "2"], "gunicorn_asgi.SplitWorker")],
)
def test_a_view_under_gunicorn_spools_without_a_line_of_routing(
    ledger: Ledger, args: list[str], worker: str
) -> None:
    env = {"LEDGER": str(ledger.path), "CHANNEL_LAYER": f"ipc://{ledger.path.parent}/layer"}
    with run_server(APP, args=args, worker=worker, env=env) as server:
        for number in range(5):
            call(server, f"/once?n={number}")
        call(server, "/beside?a=b")
        call(server, "/signal")
        server.wait_for(lambda: len(ledger.lines("once")) >= 5, "all jobs")
        server.wait_for(lambda: ledger.lines("beside"), "the call")
        server.wait_for(lambda: ledger.lines("signal"), "the signal")
        assert ledger.lines("beside")[0][:-1] == ["(1,)", "{'a':", "'b'}"]
        assert set(ledger.pids("postfork")) >= set(ledger.pids("once"))
    assert ledger.numbers("once") == list(range(5))


def test_a_job_that_asks_for_it_comes_again_until_it_is_done(ledger: Ledger) -> None:
    with run(ledger, "--processes", "2") as worker:
        worker.ask("/third", n=1)
        worker.wait_for(lambda: len(ledger.lines("third_time")) >= 3, "three tries")
        worker.wait_for(lambda: not worker.layer.storage.scheduled().number, "none to be left")
    assert ledger.numbers("third_time") == [1, 1, 1]


def test_jobs_wait_for_processes_that_run_them(ledger: Ledger) -> None:
    with run(ledger, "--exclude", "uwsgi.*") as worker:
        worker.ask("/once", n=1)
        worker.replies(1)
    with run(ledger) as worker:
        worker.wait_for(lambda: ledger.lines("once"), "the job")
    assert ledger.numbers("once") == [1]


def test_a_job_whose_process_is_killed_is_run_again(ledger: Ledger, tmp_path: Path) -> None:
    with run(ledger, "--processes", "2") as worker:
        worker.ask("/until", n=1, file=tmp_path / "door")
        worker.wait_for(lambda: ledger.lines("begun"), "the job to begin")
        [pid] = ledger.pids("begun")
        os.kill(pid, signal.SIGKILL)
        worker.wait_for(lambda: len(ledger.lines("begun")) == 2, "the job to begin again")
        assert set(ledger.pids("begun")) - {pid}
        (tmp_path / "door").touch()
        worker.wait_for(lambda: ledger.lines("ended"), "its end")
        worker.wait_for(lambda: not worker.layer.storage.scheduled().number, "none to be left")
    assert len(ledger.lines("begun")) == 2


def test_a_long_job_is_not_begun_twice(ledger: Ledger, tmp_path: Path) -> None:
    """It takes longer than its lease, which is renewed, and its message comes every 0.1 s."""
    with run(ledger, "--processes", "2", FREQUENCY="0.1") as worker:
        worker.ask("/until", n=1, file=tmp_path / "door")
        worker.wait_for(lambda: ledger.lines("begun"), "the job to begin")
        [plan] = worker.layer.storage.plans()
        until = worker.layer.clock() + 6  # a second more than a lease
        worker.wait_for(lambda: worker.layer.clock() > until, "its lease to be over")
        assert len(ledger.lines("begun")) == 1
        assert worker.layer.storage.load(f"uwsgi.spool.{plan.key}").value is not None
        (tmp_path / "door").touch()
        worker.wait_for(lambda: ledger.lines("ended"), "its end")
    assert len(ledger.lines("begun")) == 1


# What comes again and again


def test_a_timer_fires_once_a_period_over_three_processes(ledger: Ledger) -> None:
    begun = time.time()
    with run(ledger, "--processes", "3", TIMER="0.3") as worker:
        worker.wait_for(lambda: len(ledger.lines("tick")) >= 8, "eight ticks")
        ticks = len(ledger.lines("tick"))
        [plan] = worker.layer.storage.plans()
    # It was due a period after the first process began, if not later, and last before the plan.
    assert ticks <= (plan.due - begun) / 0.3 - 1


def test_cron_runs_once_a_minute_over_three_processes(ledger: Ledger) -> None:
    """Nobody waits for the minute: what was due is put back, and the plan brought forward."""
    with run(ledger, "--processes", "3", CRON="1") as worker:
        layer, storage = worker.layer, worker.layer.storage
        [plan] = worker.wait_for(storage.plans, "its plan")
        assert plan.due % 60 == 0
        message = {"key": plan.key, "task": "tests.apps.decorated:minute"}
        storage.save(plan.key, {"until": layer.clock() - 120}, ttl=600)
        storage.schedule(plan.channel, message, layer.clock(), key=plan.key)
        for _ in range(9):
            layer.send(plan.channel, message)
        worker.wait_for(lambda: ledger.lines("minute"), "a run")
        worker.ask("/once", n=1)
        worker.wait_for(lambda: ledger.lines("once"), "a job that was made after it")
        [again] = worker.wait_for(storage.plans, "its plan")
    assert (again.due % 60, again.due >= plan.due) == (0, True)
    minutes = Counter(float(line[0]) // 60 for line in ledger.lines("minute"))
    assert set(minutes.values()) == {1}


def test_a_loop_is_in_one_process_and_moves_when_that_is_killed(ledger: Ledger) -> None:
    with run(ledger, "--processes", "3", LOOP="1") as worker:
        worker.wait_for(lambda: len(ledger.lines("loop")) > 10, "the loop")
        [pid] = ledger.pids("loop")
        os.kill(pid, signal.SIGKILL)
        worker.wait_for(lambda: len(ledger.pids("loop")) == 2, "another process to loop")


# Beside


def test_a_lock_is_one_over_all_processes(ledger: Ledger, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    with run(ledger, "--processes", "3", "--threads", "4") as worker:
        for _ in range(8):
            worker.ask("/count", file=number)
        worker.wait_for(lambda: len(ledger.lines("counted")) == 8, "all to be done")
    assert number.read_text() == "40"
