"""A gunicorn that only holds the sockets, and `wsgi-bridge worker` beside it."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
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


def test_a_socket_stays_open_when_the_process_of_its_consumer_is_killed(
    server: Server, worker: WorkerCommand
) -> None:
    with open_socket(server, "/echo") as socket:
        for _ in range(5):
            socket.send("x")
            pid = int(str(socket.recv(PATIENCE)).split()[1])
            os.kill(pid, signal.SIGKILL)
            worker.wait_for(lambda pid=pid: pid not in worker.children(), "it to be replaced")
