"""What is said of the clients of a worker that was killed, by those that are left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

pytestmark = pytest.mark.integration


class Site:
    """A server of two workers, and what its consumers noted."""

    def __init__(self, server: Server, notes: Path) -> None:
        self.server = server
        self._notes = notes

    def notes(self) -> list[str]:
        return sorted(self._notes.read_text().splitlines()) if self._notes.exists() else []

    def kill(self, pid: int) -> None:
        """Kill a worker, and wait for its successor."""
        os.kill(pid, signal.SIGKILL)
        self.server.wait_for(lambda: pid not in self.server.worker_pids(), "its end")
        self.server.wait_for(lambda: len(self.server.worker_pids()) == 2, "its successor")


@pytest.fixture(params=["default", "redis"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    notes = tmp_path / "notes"
    env = {"WILLS_FILE": str(notes)}
    with contextlib.ExitStack() as stack:
        if request.param == "redis":
            need_redis()
            env["CHANNEL_LAYER"] = stack.enter_context(RedisServer()).url
        args = ["-w", "2"]
        server = stack.enter_context(
            run_server("tests.apps.wills:application", args=args, env=env, may_log_errors=True)
        )
        server.wait_for(lambda: len(server.worker_pids()) == 2, "all workers")
        yield Site(server, notes)
        # What the test did, and not the server, is in the log now.
        text = server._log_path.read_text().replace("SIGKILL", "a signal of the test's")
        server._log_path.write_text(text)


def holder_of(server: Server, port: int) -> int:
    """Return the worker that holds the other end of a connection from `port`, 0 for none yet."""
    for pid in server.worker_pids():
        connections = psutil.Process(pid).net_connections(kind="tcp")
        if any(each.raddr and each.raddr.port == port for each in connections):
            return pid
    return 0


def enter(stack: contextlib.ExitStack, site: Site) -> dict[int, list[tuple[str, ClientConnection]]]:
    """Return (path, open socket) by the worker that holds it, three on each at least."""
    sockets: dict[int, list[tuple[str, ClientConnection]]] = {}
    number = 0
    while len(sockets) < 2 or min(map(len, sockets.values())) < 3:
        number += 1
        path = f"/socket{number}"
        socket = stack.enter_context(open_socket(site.server, path))
        socket.recv(PATIENCE)
        pid = holder_of(site.server, socket.socket.getsockname()[1])
        sockets.setdefault(pid, []).append((path, socket))
    return sockets


def test_every_open_socket_of_a_killed_worker_is_said_to_be_gone_once(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        sockets = enter(stack, site)
        victim, survivor = sockets
        _, closed = sockets[victim].pop()
        closed.close()
        site.server.wait_for(lambda: len(site.notes()) == 1, "a close to be noted")
        assert site.notes()[0].endswith(" 1000")
        site.kill(victim)
        expected = sorted(f"websocket.disconnect {path} 1006" for path, _ in sockets[victim])
        site.server.wait_for(lambda: len(site.notes()) > len(expected), "all to be noted")
        time.sleep(1.5)  # another sweep of all
        assert [note for note in site.notes() if note.endswith("1006")] == expected
        for path, socket in sockets[survivor]:
            socket.close()
            line = f"websocket.disconnect {path} 1000"
            site.server.wait_for(lambda line=line: line in site.notes(), "a close to be noted")


def test_sockets_that_were_closed_leave_no_will(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        sockets = enter(stack, site)
        everyone = [each for some in sockets.values() for each in some]
        for _, socket in everyone:
            socket.close()
        site.server.wait_for(lambda: len(site.notes()) == len(everyone), "all to be noted")
        before = site.notes()
        for pid in sockets:
            site.kill(pid)
        time.sleep(3)
        assert site.notes() == before


def test_the_client_of_a_request_is_said_to_be_gone(site: Site) -> None:
    with site.server.connect() as sock, site.server.connect() as other:
        sock.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        port = sock.getsockname()[1]
        site.server.wait_for(lambda: holder_of(site.server, port), "the connection")
        time.sleep(2.0)  # requests that are soon answered leave no will
        other.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.recv(1000).startswith(b"HTTP/1.1 200")
        site.kill(holder_of(site.server, port))
        site.server.wait_for(site.notes, "it to be noted")
        time.sleep(1.5)
        assert site.notes() == ["http.disconnect /slow None"]
