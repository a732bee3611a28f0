"""A consumer that blocks, exits, raises, allocates or floods: the others go on, the log names it.

The same in every arrangement: greenlets and threads in the server's process, the consumers of a
split gunicorn, `wsgi-bridge worker` beside a server without consumers.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, request
from tests.integration.workers import WorkerCommand, run_worker

pytestmark = pytest.mark.integration

SITE = "tests.apps.troublesome:application"
# Less than what `allocate` asks for, and enough for the address space that each thread reserves.
SPARE = {"SPARE_MEMORY": str(900 * 1024**2)}
TROUBLED = {"may_log_errors": True, "may_lose_workers": True}
OTHERS = 6


class Place:
    """A running server, with its consumers wherever they are."""

    def __init__(self, server: Server, worker: WorkerCommand | None = None) -> None:
        self.server = server
        self._worker = worker

    def wait_for_log(self, text: str) -> None:
        self.server.wait_for(lambda: text in self.log(), f"{text!r} in the log")

    def log(self) -> str:
        return self.server.log() + (self._worker.log() if self._worker else "")

    def stop_consumers(self) -> None:
        """Stop the program that runs them."""
        if self._worker is None:
            self.server.stop()
        else:
            self._worker.signal(signal.SIGTERM)
            self._worker.wait_for_end()


@contextlib.contextmanager
def run_greenlets(_: Path) -> Iterator[Place]:
    args = ["-w", "2", "--graceful-timeout", "2"]
    with run_server(SITE, args=args, env=SPARE, **TROUBLED) as server:
        yield Place(server)


@contextlib.contextmanager
def run_threads(_: Path) -> Iterator[Place]:
    args = ["-w", "2", "--threads", "3", "--graceful-timeout", "2"]
    with run_server(SITE, args=args, env=SPARE, **TROUBLED) as server:
        yield Place(server)


@contextlib.contextmanager
def run_split(_: Path) -> Iterator[Place]:
    args = ["-w", "3", "--threads", "3", "--graceful-timeout", "2"]
    worker = "gunicorn_asgi.SplitWorker"
    with run_server(SITE, args=args, env=SPARE, worker=worker, **TROUBLED) as server:
        yield Place(server)


@contextlib.contextmanager
def run_beside(folder: Path) -> Iterator[Place]:
    options = ("--processes", "2", "--threads", "3", "--graceful-timeout", "1")
    env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{folder}/layer"}
    with (
        run_server("not.importable:here", env=env, **TROUBLED) as server,
        run_worker(SITE, folder, *options, env=SPARE) as worker,
    ):
        yield Place(server, worker)


IN_PROCESS = {"greenlets": run_greenlets, "threads": run_threads}
ELSEWHERE = {"split": run_split, "worker": run_beside}
ALL = {**IN_PROCESS, **ELSEWHERE}


@pytest.fixture(scope="module", params=ALL)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    with ALL[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


def say(socket: ClientConnection, text: str) -> str:
    """Send a frame; return who answered it."""
    socket.send(text)
    echo, pid = str(socket.recv(PATIENCE)).split()
    assert echo == text
    return pid


@contextlib.contextmanager
def others(server: Server) -> Iterator[list[ClientConnection]]:
    """Open sockets that are answered before the block, and after it."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(server, "/echo")) for _ in range(OTHERS)]
        for socket in sockets:
            say(socket, "before")
        yield sockets
        for socket in sockets:
            say(socket, "after")
        assert ask(server, request("/")).content == b"a page"


# What a consumer does, and what the log says of it beside its name.
FAILURES = {
    "sys_exit": "SystemExit: 7",
    "fail": "ValueError: on purpose",
    "allocate": "MemoryError",
}


@pytest.mark.parametrize("trouble", FAILURES)
def test_a_consumer_that_fails_is_named_and_its_own_socket_closed(
    place: Place, trouble: str
) -> None:
    with others(place.server), open_socket(place.server, f"/{trouble}") as socket:
        socket.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    place.wait_for_log(f"-> tests.apps.troublesome.{trouble}\n")
    assert FAILURES[trouble] in place.log()


def test_a_consumer_that_sends_a_hundred_thousand_messages_is_named(
    place: Place,
) -> None:
    with others(place.server) as sockets, open_socket(place.server, "/flood") as socket:
        socket.send("x")
        for other in sockets:
            say(other, "meanwhile")
        assert socket.recv(3 * PATIENCE) == "flooded"
    place.wait_for_log("tests.apps.troublesome.flood: a message to sink was lost: Channel")


@pytest.mark.parametrize("name", ALL)
def test_a_consumer_that_blocks_for_ever_is_named_when_its_process_ends(
    name: str, tmp_path: Path
) -> None:
    with ALL[name](tmp_path) as place:
        with open_socket(place.server, "/block") as blocked:
            blocked.send("x")
            place.wait_for_log("begun: block")
            with others(place.server):
                assert blocked.ping().wait(PATIENCE)
        place.stop_consumers()
        assert "tests.apps.troublesome.block" in place.log()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_consumer_that_exits_is_named_and_no_socket_closed(name: str, tmp_path: Path) -> None:
    with ELSEWHERE[name](tmp_path) as place, others(place.server):
        for number in range(1, 3):
            with open_socket(place.server, "/leave") as socket:
                socket.send("x")
                place.server.wait_for(
                    lambda: len(endings(place)) == number,  # noqa: B023
                    "the log to name it",
                )
                assert socket.ping().wait(PATIENCE)


def endings(place: Place) -> list[str]:
    """Return the lines that name the consumer which has ended its process."""
    lines = place.log().splitlines()
    return [line for line in lines if "while busy with" in line and "troublesome.leave" in line]


@pytest.mark.parametrize("name", IN_PROCESS)
def test_a_consumer_that_ends_the_process_of_its_server_ends_its_sockets_only(
    name: str, tmp_path: Path
) -> None:
    with IN_PROCESS[name](tmp_path) as place, ExitStack() as stack:
        server = place.server
        sockets = [stack.enter_context(open_socket(server, "/echo")) for _ in range(OTHERS)]
        with open_socket(server, "/leave") as socket:
            socket.send("x")
            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE)
        server.wait_for_log("exited with code 7")
        for socket in sockets:
            with contextlib.suppress(ConnectionClosed):
                say(socket, "after")
        server.wait_for(lambda: len(server.worker_pids()) == 2, "a successor")
        with open_socket(server, "/echo") as socket:
            say(socket, "new")
