"""Several worker processes of one gunicorn, joined by a channel layer that they share."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server, wait_for
from tests.integration.sockets import open_socket
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]

ROOMS = "tests.apps.rooms:application"
WORKERS = 2


@contextlib.contextmanager
def run_rooms(layer: str, **options: object) -> Iterator[Server]:
    env = {"CHANNEL_LAYER": layer}
    with run_server(ROOMS, args=["-w", str(WORKERS)], env=env, **options) as server:
        server.wait_for(lambda: len(server.worker_pids()) == WORKERS, "all workers")
        yield server


@pytest.fixture(params=["default", "ipc", "redis"])
def rooms(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        layer = f"ipc://{tmp_path}/layer" if request.param == "ipc" else ""
        if request.param == "redis":
            need_redis()
            layer = stack.enter_context(RedisServer()).url
        yield stack.enter_context(run_rooms(layer))


def holder_of(server: Server, socket: ClientConnection) -> int:
    """Return the process that holds the other end; any of them may have run the consumer."""
    port = socket.socket.getsockname()[1]
    for pid in server.worker_pids():
        connections = psutil.Process(pid).net_connections(kind="tcp")
        if any(each.raddr and each.raddr.port == port for each in connections):
            return pid
    raise AssertionError(f"no process holds the socket from port {port}")


def enter(
    stack: contextlib.ExitStack, server: Server, *, on_each: int
) -> dict[int, list[ClientConnection]]:
    """Return open sockets by the process that holds them, some on every process."""
    sockets: dict[int, list[ClientConnection]] = {}

    def has_enough() -> bool:
        socket = stack.enter_context(open_socket(server, "/room"))
        socket.recv(PATIENCE)
        sockets.setdefault(holder_of(server, socket), []).append(socket)
        return len(sockets) == WORKERS and min(map(len, sockets.values())) >= on_each

    wait_for(has_enough, f"{on_each} sockets on each of {WORKERS} processes", log=server.log)
    return sockets


def test_a_group_reaches_the_sockets_of_every_process_once_and_in_order(rooms: Server) -> None:
    with contextlib.ExitStack() as stack:
        sockets = enter(stack, rooms, on_each=3)
        everyone = [socket for some in sockets.values() for socket in some]
        speaker = everyone[0]
        for number in range(20):
            speaker.send(str(number))
        for socket in everyone:
            assert [socket.recv(PATIENCE) for _ in range(20)] == [str(n) for n in range(20)]


def test_a_view_in_any_process_pushes_to_all(rooms: Server) -> None:
    with contextlib.ExitStack() as stack:
        sockets = enter(stack, rooms, on_each=1)
        with urllib.request.urlopen(rooms.url + "/say?hello", timeout=PATIENCE) as response:
            assert response.status == 200
        for some in sockets.values():
            for socket in some:
                assert socket.recv(PATIENCE) == "hello"


def test_the_sockets_of_a_killed_process_are_lost_and_no_others(tmp_path: object) -> None:
    with (
        run_rooms(f"ipc://{tmp_path}/layer", may_log_errors=True) as server,
        contextlib.ExitStack() as stack,
    ):
        sockets = enter(stack, server, on_each=2)
        victim, survivor = server.worker_pids()
        os.kill(victim, signal.SIGKILL)
        server.wait_for(lambda: victim not in server.worker_pids(), "the process to be reaped")
        server.wait_for(lambda: len(server.worker_pids()) == WORKERS, "its successor")
        left = list(sockets[survivor])
        left.append(stack.enter_context(open_socket(server, "/room")))
        left[-1].recv(PATIENCE)
        left[-1].send("still here")
        assert {socket.recv(PATIENCE) for socket in left} == {"still here"}
        # What this test did, and not the server, is in the log now.
        text = server._log_path.read_text().replace("SIGKILL", "a signal of the test's")
        server._log_path.write_text(text)


def test_sockets_stay_open_while_redis_is_away() -> None:
    need_redis()
    with (
        RedisServer() as redis,
        run_rooms(redis.url, may_log_errors=True) as server,
        contextlib.ExitStack() as stack,
    ):
        sockets = enter(stack, server, on_each=1)
        everyone = [socket for some in sockets.values() for socket in some]
        redis.restart()

        def hears(socket: ClientConnection) -> bool:
            """Push; whether it came. The first ones may find nobody announced again yet."""
            with contextlib.suppress(OSError, TimeoutError):
                urllib.request.urlopen(server.url + "/say?back", timeout=PATIENCE).close()
                return socket.recv(0.2) == "back"
            return False

        for socket in everyone:
            server.wait_for(lambda: hears(socket), "a push to come", patience=3 * PATIENCE)  # noqa: B023
