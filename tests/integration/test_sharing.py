"""Workers that accept from one socket: connections are spread, and wait for none that is gone."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gunicorn_asgi.shares import SLACK
from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, open_wire, request

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
MANY = 64


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Two workers that know of each other, and a page that says which of them serves it."""
    gate = tmp_path / "gate"
    gate.touch()
    args = ["--workers", "2", "--keep-alive", "30", "--timeout", "60"]
    with run_server(SITE, args=args, env={"GATE_FILE": str(gate)}, may_lose_workers=True,
                    may_log_errors=True) as running:  # fmt: skip
        running.wait_for(lambda: len(running.worker_pids()) == 2, "two workers")
        running.wait_for(lambda: has_spread(running), "both workers to know of each other")
        yield running


def ask_who(wire: Wire) -> bytes:
    return wire.ask(request("/wait-for-file")).content


def spread(server: Server, stack: contextlib.ExitStack, count: int) -> Counter[bytes]:
    """Open connections one after the other, for as long as the stack; return whose they are."""
    return Counter(ask_who(stack.enter_context(open_wire(server))) for _ in range(count))


def has_spread(server: Server) -> bool:
    with contextlib.ExitStack() as stack:
        return len(spread(server, stack, 12)) == 2


def test_each_of_two_workers_has_its_share(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        counts = spread(server, stack, MANY)

        def is_even() -> bool:
            # A machine that lets a worker wait for long may have it miss some; it gets the next.
            counts.update(spread(server, stack, 1))
            return len(counts) == 2 and max(counts.values()) - min(counts.values()) <= 2 * SLACK

        server.wait_for(is_even, "an even spread")


def test_connections_that_come_at_once_are_all_served(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(open_wire(server)) for _ in range(MANY)]
        counts = Counter(map(ask_who, wires))
        assert sum(counts.values()) == MANY


def test_nobody_waits_for_a_worker_that_does_not_come(server: Server) -> None:
    stopped = server.worker_pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            counts = spread(server, stack, MANY)
            assert counts == {b"pid %d" % server.worker_pids()[1]: MANY}
    finally:
        os.kill(stopped, signal.SIGCONT)


def test_nobody_waits_for_a_worker_that_is_dead_and_its_successor_gets_a_share(
    server: Server,
) -> None:
    first, second = server.worker_pids()
    with contextlib.ExitStack() as stack:
        spread(server, stack, MANY)
        os.kill(first, signal.SIGKILL)
        assert spread(server, stack, 1)
        server.wait_for(lambda: server.worker_pids() not in ([second], [first, second]), "another")
        successor = b"pid %d" % server.worker_pids()[-1]
        # It has none: the next ones are its own, once it is there.
        server.wait_for(
            lambda: spread(server, stack, 4) == {successor: 4}, "connections for the new worker"
        )
