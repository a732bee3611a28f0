"""A worker out of descriptors: who is there is served, who comes waits, and it is said."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from pathlib import Path

import psutil
import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, open_wire, request
from wsgi_bridge.server.descriptors import RESERVE

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
COMPLAINT = "no connection can be accepted"
ROOM = re.compile(r"At most (\d+) connections, not 1000")
LOW_LIMIT = """\
import resource

def post_fork(server, worker):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
"""


def set_limit(pid: int, limit: int) -> None:
    """Have a process open no descriptor of that number and above."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def highest_descriptor(pid: int) -> int:
    return max(map(int, os.listdir(f"/proc/{pid}/fd")))


def is_silent(wire: Wire) -> bool:
    """Whether there is no answer in some milliseconds."""
    wire.sock.settimeout(0.01)
    try:
        wire.sock.recv(1)
    except TimeoutError:
        return True
    finally:
        wire.sock.settimeout(10)
    return False


def test_who_is_there_is_served_and_who_comes_waits() -> None:
    with (
        run_server(SITE, args=["--keep-alive", "60"], may_log_errors=True) as server,
        contextlib.ExitStack() as stack,
    ):
        pid = server.worker_pid()
        before = [stack.enter_context(open_wire(server)) for _ in range(3)]
        assert [wire.ask(request()).status for wire in before] == [200] * 3
        set_limit(pid, highest_descriptor(pid) + 1)
        # Free numbers below are used up first.
        wires = [stack.enter_context(open_wire(server)) for _ in range(20)]
        for wire in wires:
            wire.send(request())
        server.wait_for_log(COMPLAINT)
        serve_for_some_pauses(server, before)
        assert any(is_silent(wire) for wire in wires)
        set_limit(pid, 1024)
        assert [wire.read_response().status for wire in wires] == [200] * 20
        assert server.log().count(COMPLAINT) == 1


def serve_for_some_pauses(server: Server, wires: list[Wire]) -> None:
    """Ask on open connections while the worker tries to accept again and again."""
    process = psutil.Process(server.worker_pid())
    spent = sum(process.cpu_times()[:2])
    for _ in range(3):
        assert wires[0].ask(request("/sleep?seconds=0.5")).status == 200
    assert [wire.ask(request()).status for wire in wires] == [200] * len(wires)
    # A loop that spins for these one and a half seconds takes as long, or half on a busy machine.
    assert sum(process.cpu_times()[:2]) - spent < 0.4


def test_a_worker_leaves_descriptors_to_its_site(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text(LOW_LIMIT)
    args = ["--config", str(config), "--keep-alive", "60"]
    with run_server(SITE, args=args) as server, contextlib.ExitStack() as stack:
        found = server.wait_for(lambda: ROOM.search(server.log()), "the number of connections")
        room = int(found[1])
        wires = [stack.enter_context(open_wire(server)) for _ in range(80)]
        for wire in wires:
            wire.send(request())
        assert [wire.read_response().status for wire in wires[:room]] == [200] * room
        assert all(is_silent(wire) for wire in wires[room:])
        assert len(os.listdir(f"/proc/{server.worker_pid()}/fd")) <= 80 - RESERVE
        for leaving, waiting in zip(wires, wires[room:], strict=False):
            leaving.sock.close()
            assert waiting.read_response().status == 200
        assert COMPLAINT not in server.log()
