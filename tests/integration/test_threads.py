"""Consumers in native threads, ``--threads N``: the hub beside them waits for none."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, open_wire, request

pytestmark = pytest.mark.integration

BLOCKING = "tests.apps.blocking:application"
THREADS = 2


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def server(gate: Path) -> Iterator[Server]:
    args = ["--threads", str(THREADS)]
    with run_server(BLOCKING, args=args, env={"GATE_FILE": str(gate)}) as running:
        yield running


def test_nothing_is_patched(server: Server) -> None:
    name, kind = ask(server, request("/thread")).content.decode().split()
    assert name.startswith("consumer-")
    assert kind == "native"


@pytest.mark.parametrize("page", ["/sleep", "/poll", "/compute"])
def test_a_view_that_blocks_delays_no_socket_and_no_other_request(
    server: Server, gate: Path, page: str
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(1) as client:
        sockets = [stack.enter_context(open_socket(server, "/echo")) for _ in range(20)]
        blocked = client.submit(ask, server, request(page))
        server.wait_for_log("site: blocked")
        for socket in sockets:
            assert socket.ping().wait(PATIENCE)
            socket.send("still here")
            assert socket.recv(PATIENCE) == "still here"
        for _ in range(20):
            assert ask(server, request("/")).content == b"a page"
        assert not blocked.done()
        gate.touch()
        assert blocked.result(PATIENCE).content == b"released"


def test_sockets_are_held_while_every_thread_is_blocked(server: Server, gate: Path) -> None:
    with open_socket(server, "/echo") as socket, ThreadPoolExecutor(THREADS) as clients:
        blocked = [clients.submit(ask, server, request("/sleep")) for _ in range(THREADS)]
        server.wait_for_log("site: blocked", count=THREADS)
        socket.send("later")
        assert socket.ping().wait(PATIENCE), "the server answers pings itself"
        with open_wire(server) as wire:
            wire.send(request("/"))
            gate.touch()
            assert wire.read_response().content == b"a page"
        assert socket.recv(PATIENCE) == "later"
        assert {each.result(PATIENCE).content for each in blocked} == {b"released"}


def test_a_stop_waits_for_a_blocked_view(server: Server, gate: Path) -> None:
    with ThreadPoolExecutor(1) as client:
        blocked = client.submit(ask, server, request("/sleep"))
        server.wait_for_log("site: blocked")
        server.kill(signal.SIGTERM)
        server.wait_for_log("Handling signal: term")
        gate.touch()
        assert blocked.result(PATIENCE).content == b"released"
    assert server.stop() < 5


def test_a_view_that_never_ends_is_named_when_its_process_does(tmp_path: Path) -> None:
    args = ["--threads", "2", "--graceful-timeout", "2"]
    env = {"GATE_FILE": str(tmp_path / "never")}
    with run_server(BLOCKING, args=args, env=env, may_log_errors=True) as server:
        with open_wire(server) as wire:
            wire.send(request("/sleep"))
            server.wait_for_log("site: blocked")
            assert server.stop() < 5
        assert "a consumer ends with its process: http.request for /sleep, " in server.log()
