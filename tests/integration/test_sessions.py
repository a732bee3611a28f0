"""State of a socket, and several of its frames at once, across processes."""

from __future__ import annotations

import itertools
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.workers import WorkerCommand, run_worker

pytestmark = pytest.mark.integration

SITE = "tests.apps.sessions:application"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerCommand]:
    with run_worker(SITE, tmp_path, "--processes", "2") as worker:
        yield worker


@pytest.fixture
def server(tmp_path: Path, worker: WorkerCommand) -> Iterator[Server]:
    env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{tmp_path}/layer"}
    with run_server("not.importable:here", env=env) as server:
        yield server


def count_on(sockets: list[ClientConnection], is_over: Callable[[], bool]) -> list[set[int]]:
    """Send frames until it is over, and five more; return who handled those of each socket.

    Each answer has all that was sent on its socket before, in order.
    """
    handled: list[set[int]] = [set() for _ in sockets]
    sent: list[str] = []
    more = 5
    while more:
        more -= is_over()
        sent.append(f"frame {len(sent)}")
        for socket in sockets:
            socket.send(sent[-1])
        for socket, pids in zip(sockets, handled, strict=True):
            answer = json.loads(socket.recv(PATIENCE))
            assert answer["texts"] == sent
            pids.add(answer["pid"])
    return handled


def once_replaced(replace: Callable[[], object], is_done: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function that replaces the processes after the first frame, and says when it is."""
    calls = itertools.count()

    def is_over() -> bool:
        if next(calls) == 1:
            replace()
        return is_done()

    return is_over


def test_processes_that_come_and_go_share_the_state_of_a_socket(
    server: Server, worker: WorkerCommand
) -> None:
    old = worker.children()
    with ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(server, "/count")) for _ in range(4)]
        replace = partial(worker.signal, signal.SIGHUP)
        is_over = once_replaced(replace, lambda: not old & worker.children())
        handled = count_on(sockets, is_over)
        assert all(pids & old and pids - old for pids in handled)
    worker.wait_for_log("ended after ", len(sockets))


def test_consumers_of_a_split_gunicorn_share_the_state_of_a_socket() -> None:
    with run_server(SITE, worker="gunicorn_asgi.SplitWorker", args=["-w", "3"]) as server:

        def consumers() -> set[int]:
            named = re.findall(r"Running consumers \(pid: (\d+)\)", server.log())
            return {int(pid) for pid in named} & set(server.worker_pids())

        old = server.wait_for(lambda: len(consumers()) == 2 and consumers(), "the workers")
        with open_socket(server, "/count") as socket:
            replace = partial(server.kill, signal.SIGHUP)
            is_over = once_replaced(replace, lambda: not old & set(server.worker_pids()))
            [handled] = count_on([socket], is_over)
            assert handled & old
            assert handled - old
        server.wait_for_log("ended after ")


def test_as_many_frames_of_a_socket_are_handled_at_once_as_its_route_allows(
    server: Server, worker: WorkerCommand, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    with open_socket(server, "/wide") as socket:
        for _ in range(9):
            socket.send(str(door))
        worker.wait_for_begun(door, 4)
        pending = worker.layer.channel_statistics("websocket.receive")["messages_pending"]
        assert (pending, Path(f"{door}.begun").stat().st_size) == (0, 4)
        door.touch()
        assert [socket.recv(PATIENCE) for _ in range(9)] == ["done"] * 9
    worker.wait_for_log("waited in 9 frames")
