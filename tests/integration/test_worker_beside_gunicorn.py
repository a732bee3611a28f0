"""A gunicorn that only holds the sockets, and `wsgi-bridge worker` beside it."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, request
from tests.integration.workers import JOBS, WorkerCommand, run_worker

pytestmark = pytest.mark.integration


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerCommand]:
    with run_worker(JOBS, tmp_path, "--processes", "2") as worker:
        yield worker


@pytest.fixture
def server(tmp_path: Path, worker: WorkerCommand) -> Iterator[Server]:
    layer = f"ipc://{tmp_path}/layer"
    # It has no such module, and needs none.
    env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": layer}
    with run_server("not.importable:here", env=env) as server:
        yield server


def test_a_page_is_made_by_a_worker_process(server: Server, worker: WorkerCommand) -> None:
    with urllib.request.urlopen(f"{server.url}/pid", timeout=PATIENCE) as response:
        assert int(response.read().split()[0]) in worker.children()


def test_sockets_stay_open_and_their_frames_in_order_while_processes_are_replaced(
    server: Server, worker: WorkerCommand
) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(server, "/echo")) for _ in range(5)]
        for number in range(3):
            before = worker.children()
            worker.signal(signal.SIGHUP)
            frame = 0
            while before & worker.children():
                exchange(sockets, f"{number}.{frame}")
                frame += 1
            assert exchange(sockets, f"{number}.last") <= worker.children()


def exchange(sockets: list[ClientConnection], text: str) -> set[int]:
    """Send a frame on every socket; return the ids of the processes that answered."""
    for socket in sockets:
        socket.send(text)
    answers = [str(socket.recv(PATIENCE)).split() for socket in sockets]
    assert {answer[0] for answer in answers} == {text}
    return {int(answer[1]) for answer in answers}


def test_a_socket_stays_open_when_processes_of_its_consumer_are_killed(
    server: Server, worker: WorkerCommand
) -> None:
    with open_socket(server, "/echo") as socket:
        for _ in range(5):
            socket.send("x")
            pid = int(str(socket.recv(PATIENCE)).split()[1])
            os.kill(pid, signal.SIGKILL)
            worker.wait_for(lambda pid=pid: pid not in worker.children(), "it to be replaced")


# What waits for a process that is killed. The server itself would wait for the layer's expiry, a
# minute, and for http_timeout and handshake_timeout.

SOON = 15.0  # seconds, on a machine that is busy with everything else


def kill_all(worker: WorkerCommand) -> None:
    """Kill the worker processes, whoever of them has taken it."""
    for pid in worker.children():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["--threads", "--greenlets"])
def lone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkerCommand]:
    with run_worker(JOBS, tmp_path, request.param, "8", "--graceful-timeout", "0.2") as worker:
        yield worker


@pytest.fixture
def lone_server(tmp_path: Path, lone: WorkerCommand) -> Iterator[Server]:
    env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{tmp_path}/layer"}
    with run_server("not.importable:here", env=env) as server:
        yield server


def test_the_next_frame_goes_out_when_the_one_before_was_lost_with_a_process(
    lone_server: Server, lone: WorkerCommand, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    with open_socket(lone_server, "/echo") as socket:
        socket.send(str(door))
        socket.send("next")
        lone.wait_for_begun(door)
        killed = time.monotonic()
        kill_all(lone)
        assert str(socket.recv(PATIENCE)).split()[0] == "next"
        assert time.monotonic() - killed < SOON
        assert "was lost with its worker process" in lone_server.log()


def test_the_next_frame_goes_out_when_the_one_before_is_abandoned_by_a_replaced_process(
    lone_server: Server, lone: WorkerCommand, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    with open_socket(lone_server, "/echo") as socket:
        socket.send(str(door))
        socket.send("next")
        lone.wait_for_begun(door)
        before = lone.children()
        lone.signal(signal.SIGHUP)
        text, pid = str(socket.recv(PATIENCE)).split()
        assert text == "next"
        assert int(pid) not in before


def test_a_request_is_a_500_when_the_process_that_had_taken_it_is_killed(
    lone_server: Server, lone: WorkerCommand, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    with ThreadPoolExecutor() as clients:
        asked = [clients.submit(ask, lone_server, request(f"/wait?file={door}")) for _ in range(5)]
        lone.wait_for_begun(door, 5)
        kill_all(lone)
        assert [each.result(SOON).status for each in asked] == [500] * 5


def test_a_handshake_is_a_500_when_the_process_that_had_taken_it_is_killed(
    lone_server: Server, lone: WorkerCommand, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    with ThreadPoolExecutor() as clients:
        opening = clients.submit(open_socket, lone_server, f"/held?file={door}")
        lone.wait_for_begun(door)
        kill_all(lone)
        with pytest.raises(InvalidStatus) as refused:
            opening.result(SOON)
    assert refused.value.response.status_code == 500
    assert refused.value.response.body == b"500 Internal Server Error\n"
