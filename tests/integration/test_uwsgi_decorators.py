"""uwsgidecorators' functions in a real uWSGI: called in its workers, run in our mules."""

from __future__ import annotations

import ast
import os
import signal
import time
from pathlib import Path

import pytest

from tests.docs.test_uwsgi_decorators import DECORATORS, INSIDES
from tests.integration.decorated import APP, Ledger, call, ledger
from tests.integration.uwsgi_servers import find_uwsgi, run_uwsgi

pytestmark = pytest.mark.integration
__all__ = ["ledger"]


def test_the_page_about_them_knows_the_names_of_this_uwsgi() -> None:
    folder = Path(find_uwsgi()).parents[1]
    found = sorted(folder.glob("**/uwsgidecorators.py"))
    assert found, f"uWSGI in {folder} came without uwsgidecorators"
    tree = ast.parse(found[0].read_text())
    names = {each.name for each in tree.body if isinstance(each, (ast.ClassDef, ast.FunctionDef))}
    targets = [each.targets[0] for each in tree.body if isinstance(each, ast.Assign)]
    names |= {each.id for each in targets if isinstance(each, ast.Name)}
    assert {name for name in names if not name.startswith("_")} == set(DECORATORS) | INSIDES


@pytest.mark.parametrize("lazy", ["false", "true"])
def test_workers_call_and_mules_run(ledger: Ledger, lazy: str) -> None:
    env = {"LEDGER": str(ledger.path)}
    with run_uwsgi(
        APP, ["--consumers", "2"], options={"lazy-apps": lazy}, env=env, mules=3
    ) as server:
        for number in range(20):
            call(server, f"/once?n={number}")
        call(server, "/beside?a=b")
        call(server, "/signal")
        server.wait_for(lambda: len(ledger.lines("once")) >= 20, "all jobs")
        server.wait_for(lambda: ledger.lines("beside"), "the call")
        server.wait_for(lambda: ledger.lines("signal"), "the signal")
        consumers = set(server.mule_pids("consumer"))
        assert set(ledger.pids("once")) | set(ledger.pids("beside")) <= consumers
        # Once in each process that serves or consumes, and never in the master. uWSGI's hook is
        # over before lazy apps are loaded.
        opened = ledger.pids("postfork")
        serving = set(server.worker_pids()) if lazy == "false" else set()
        assert set(opened.values()) == {1}
        assert set(opened) >= consumers | serving
        assert server.pid not in opened
    assert ledger.numbers("once") == list(range(20))
    assert len(ledger.lines("signal")) == 1


def test_a_timer_fires_once_a_period_over_two_mules(ledger: Ledger) -> None:
    begun = time.monotonic()
    env = {"LEDGER": str(ledger.path), "TIMER": "0.3"}
    with run_uwsgi(APP, ["--consumers", "2"], env=env, mules=3) as server:
        server.wait_for(lambda: len(ledger.lines("tick")) >= 6, "six ticks", patience=40.0)
        ticks = len(ledger.lines("tick"))
        assert ticks <= (time.monotonic() - begun) / 0.3


def test_a_job_whose_mule_is_killed_is_run_again(ledger: Ledger, tmp_path: Path) -> None:
    env = {"LEDGER": str(ledger.path)}
    with run_uwsgi(
        APP, ["--consumers", "2"], env=env, mules=3, may_log_errors=True, may_lose_workers=True
    ) as server:
        call(server, f"/until?n=1&file={tmp_path}/door")
        server.wait_for(lambda: ledger.lines("begun"), "the job to begin")
        [pid] = ledger.pids("begun")
        os.kill(pid, signal.SIGKILL)
        server.wait_for(lambda: len(ledger.lines("begun")) == 2, "a second time", patience=30.0)
        (tmp_path / "door").touch()
        server.wait_for(lambda: ledger.lines("ended"), "its end")
    assert len(ledger.lines("ended")) == 1
