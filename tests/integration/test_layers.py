"""Several worker processes of one gunicorn, joined by a channel layer that they share."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server, wait_for
from tests.integration.sockets import RawSocket, open_socket
from tests.wsgi_bridge.layers.redis.servers import RedisServer, free_port, need_redis

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


def can_say(server: Server) -> bool:
    """Whether a push works. One of the moment in which Redis comes back may wait too long."""
    with contextlib.suppress(TimeoutError):
        return ask(server, "/say?hello", timeout=1.0)[0] == 200
    return False


def ask(server: Server, path: str, *, timeout: float = PATIENCE) -> tuple[int, str | None]:
    """Return a page's status, and who answered or when one should try again."""
    try:
        with urllib.request.urlopen(server.url + path, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Retry-After"]


def test_a_redis_that_is_not_there_takes_nothing_with_it_but_what_needs_it() -> None:
    need_redis()
    port = free_port()
    with run_rooms(f"redis://127.0.0.1:{port}", may_log_errors=True) as server:
        workers = server.worker_pids()
        for _ in range(10):
            assert ask(server, "/")[0] == 200
            assert ask(server, "/say?hello") == (503, "1")
            with RawSocket(server, "/room") as refused:
                response = refused.read_response()
                assert (response.status, response["retry-after"]) == (503, "1")
        assert "Traceback" not in server.log()
        with RedisServer(port=port):
            server.wait_for(lambda: can_say(server), "it to be noticed", patience=3 * PATIENCE)
            assert server.worker_pids() == workers


def test_a_redis_that_does_not_answer_delays_only_what_needs_it() -> None:
    need_redis()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?timeout=0.2"
        with run_rooms(url, may_log_errors=True) as server:
            for _ in range(5):
                assert ask(server, "/")[0] == 200
                assert ask(server, "/say?hello") == (503, "1")


def is_refused(why: str) -> contextlib.AbstractContextManager[object]:
    """Gunicorn ends with 4, its status for a site that cannot be loaded, and says why."""
    return pytest.raises(AssertionError, match=f"(?s)(exit status|ended with) 4.*{why}")


@pytest.mark.parametrize(
    "url", ["redsi://localhost", "redis://localhost:port", "ipc://", "redis://?x=1"]
)
def test_a_url_that_names_no_layer_ends_the_start(url: str) -> None:
    why, env = "no channel layer .CHANNEL_LAYER", {"CHANNEL_LAYER": url}
    with is_refused(why), run_server(ROOMS, env=env) as server:
        server.process.wait(PATIENCE)


def test_a_sites_url_that_names_no_layer_ends_the_start(tmp_path: Path) -> None:
    site = tmp_path / "wrong.py"
    site.write_text(
        "from wsgi_bridge import Bridge\nsite = Bridge(print, layer='redsi://localhost')\n"
    )
    why = "unknown channel layer 'redsi'"
    with is_refused(why), run_server("wrong:site", chdir=tmp_path) as server:
        server.process.wait(PATIENCE)
