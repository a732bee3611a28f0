"""The gauges that gunicorn's statsd settings ask for, as a statsd server gets them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket

pytestmark = pytest.mark.integration

SOCKETS = "tests.apps.sockets:application"


class Statsd:
    """A statsd server: what was sent of each gauge, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.values: dict[str, list[str]] = {}

    def take(self) -> None:
        """Take all that was sent."""
        with contextlib.suppress(BlockingIOError):
            while True:
                name, _, value = self.sock.recv(1000).decode().partition(":")
                self.values.setdefault(name, []).append(value)

    def count(self, name: str) -> int:
        """Return how often a gauge was sent."""
        self.take()
        return len(self.values.get(name, ()))

    def latest(self, name: str) -> str | None:
        """Return what a gauge shows."""
        return self.values[name][-1] if self.count(name) else None

    def wait_for(self, server: Server, name: str, value: str) -> None:
        server.wait_for(lambda: self.latest(name) == value, f"{name} to be {value}")


@pytest.fixture
def statsd() -> Iterator[Statsd]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield Statsd(sock)


def options(statsd: Statsd, *more: str) -> list[str]:
    return ["--statsd-host", f"127.0.0.1:{statsd.sock.getsockname()[1]}", *more]


@pytest.mark.parametrize("worker", ["Worker", "SplitWorker"])
def test_all_workers_together_are_one_gauge(statsd: Statsd, worker: str) -> None:
    args = options(statsd, "--statsd-prefix", "site", "-w", "4")
    worker = f"gunicorn_asgi.{worker}"
    with run_server(SOCKETS, args=args, worker=worker) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(open_socket(server, "/echo"))
            stack.enter_context(server.connect())
            statsd.wait_for(server, "site.gunicorn.websockets", "6|g")
            statsd.wait_for(server, "site.gunicorn.connections", "7|g")
            statsd.values.clear()
            server.wait_for(lambda: statsd.count("site.gunicorn.websockets") >= 8, "more of them")
            # Whoever sends, it is the same.
            assert set(statsd.values["site.gunicorn.websockets"]) == {"6|g"}
        statsd.wait_for(server, "site.gunicorn.websockets", "0|g")
        statsd.wait_for(server, "site.gunicorn.connections", "0|g")


def test_what_a_killed_worker_had_is_gone(statsd: Statsd) -> None:
    args = options(statsd, "-w", "2")
    with run_server(SOCKETS, args=args, may_lose_workers=True, may_log_errors=True) as server:
        connections = [server.connect() for _ in range(10)]
        statsd.wait_for(server, "gunicorn.connections", "10|g")
        for pid in server.worker_pids():
            os.kill(pid, signal.SIGKILL)
        statsd.wait_for(server, "gunicorn.connections", "0|g")
        for connection in connections:
            connection.close()


def test_a_gunicorn_that_ends_has_no_connections(statsd: Statsd) -> None:
    args = options(statsd, "--dogstatsd-tags", "region:north")
    with run_server(SOCKETS, args=args) as server:
        with open_socket(server, "/echo") as client:
            statsd.wait_for(server, "gunicorn.websockets", "1|g|#region:north")
            server.kill(signal.SIGTERM)
            with contextlib.suppress(Exception):
                client.recv(PATIENCE)
        statsd.wait_for(server, "gunicorn.websockets", "0|g|#region:north")
        server.process.wait(PATIENCE)
        assert statsd.latest("gunicorn.connections") == "0|g|#region:north"
