"""gunicorn's ``timeout``: who blocks the hub is killed for it; who has much to do is not."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.integration.servers import run_server
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
