"""gunicorn's ``timeout``: who blocks the hub is killed for it; who has much to do is not."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import pytest

from tests.integration.lives import Download, Events, Socket, Upload, open_all
from tests.integration.servers import PATIENCE, run_server
from tests.integration.wire import ask, open_wire, request

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
TIMEOUT = 3.0
ARGS = ["--timeout", str(int(TIMEOUT)), "--keep-alive", "60", "--graceful-timeout", "5"]


def test_a_worker_whose_hub_is_blocked_is_replaced() -> None:
    with run_server(SITE, args=ARGS, may_log_errors=True, may_lose_workers=True) as server:
        first = server.worker_pid()
        with open_wire(server, timeout=60) as wire:
            wire.send(request("/compute?seconds=60"))
            # The first signal ends the request; a second kills, soon after.
            assert wire.read_rest().startswith((b"HTTP/1.1 500 ", b""))
        server.wait_for_log("WORKER TIMEOUT")
        server.wait_for(lambda: server.worker_pids() not in ([], [first]), "another worker")
        assert ask(server, request()).status == 200
        server.wait_for(lambda: first not in server.worker_pids(), "the end of the first")


def test_a_worker_with_more_to_do_than_fits_in_the_timeout_is_left_alone() -> None:
    count, seconds = 150, 0.04  # twice the timeout, all asked for at once
    with run_server(SITE, args=ARGS) as server, contextlib.ExitStack() as stack:
        first = server.worker_pid()
        wires = [stack.enter_context(open_wire(server, timeout=120)) for _ in range(count)]
        started = time.monotonic()
        for wire in wires:
            wire.send(request(f"/compute?seconds={seconds}"))
        assert [wire.read_response().content for wire in wires] == [b"computed"] * count
        assert time.monotonic() - started > 1.5 * TIMEOUT
        assert server.worker_pid() == first


@pytest.mark.parametrize("threads", ["1", "20"])
def test_a_worker_that_stops_with_much_to_do_beats_to_its_end(tmp_path: Path, threads: str) -> None:
    """Everything is open, and what is at work takes longer than the timeout."""
    gate, count, seconds = tmp_path / "gate", 80, 0.05
    args = ["--timeout", "2", "--graceful-timeout", "60", "--threads", threads]
    env = {"GATE_FILE": str(gate), "ASGI_STREAM_GRACE": "0.2"}
    with (
        run_server("tests.apps.life:application", args=args, env=env) as server,
        open_all(server, Download, Upload, Events, Socket, count=5) as clients,
        contextlib.ExitStack() as stack,
    ):
        pid = server.worker_pid()
        wires = [stack.enter_context(open_wire(server, timeout=60)) for _ in range(count)]
        for wire in wires:
            wire.send(request(f"/compute?seconds={seconds}"))
        server.kill(signal.SIGTERM)
        assert [wire.read_response().content for wire in wires] == [b"computed"] * count
        clients.check("stopped", gate)
        server.process.wait(PATIENCE)
        assert f"Worker exiting (pid: {pid})" in server.log()
