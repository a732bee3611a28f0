"""Events of a running server, as lines of JSON, in the configuration that the page shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import HELLO, run_server
from tests.integration.wire import open_wire
from tests.integration.workers import JOBS, run_worker
from wsgi_bridge.events.event import LINES

pytestmark = pytest.mark.integration

CONFIGURATION = Path(__file__).with_name("json_logs.py")
BAD = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"
STORM = 50


def records(log: str) -> list[dict[str, Any]]:
    """Return the records of a log whose lines are JSON, all that gunicorn itself says too."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def refusals(log: str) -> list[dict[str, Any]]:
    return [each for each in records(log) if each.get("event") == "http.invalid_request"]


def test_a_storm_of_bad_requests_is_a_few_events_with_their_number() -> None:
    with run_server(HELLO, args=["--config", str(CONFIGURATION)]) as server:
        for _ in range(STORM):
            with open_wire(server) as wire:
                wire.sock.sendall(BAD)
                assert wire.read_response().status == 400
        assert len(refusals(server.log())) == LINES
        server.stop()  # which ends the burst as well
        log = server.log()
    told = refusals(log)
    assert [each.get("suppressed", 0) for each in told] == [0] * LINES + [STORM - LINES - 1]
    for each in told:
        assert (each["level"], each["ip"]) == ("WARNING", "127.0.0.1")
        assert "Content-Length" in each["cause"]
    assert {each["logger"] for each in records(log)} >= {"gunicorn.error"}
    assert all(line.startswith("{") for line in log.splitlines()), log


def test_a_process_that_dies_is_an_event_of_its_parent(tmp_path: Path) -> None:
    with run_worker(JOBS, tmp_path, "--log-json") as worker:
        worker.process_of()
        worker.ask("/exit")
        worker.wait_for_log('"worker.died"')
        [died] = [each for each in records(worker.log()) if each.get("event") == "worker.died"]
        worker.replies(1)
    assert (died["level"], died["deaths"]) == ("ERROR", 1)
    assert died["cause"] == "exited with status 7"
    assert died["busy"] == "http.request /exit"
