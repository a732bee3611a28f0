"""Presence and history through real servers, some of which are killed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.apps.presence import GRACE
from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import get_text, open_socket
from tests.integration.test_wills import holder_of
from tests.integration.workers import WorkerCommand, run_worker
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

pytestmark = pytest.mark.integration

APP = "tests.apps.presence:application"
#: Long enough for processes to be killed in, and for their successors to be ready.
LONG_GRACE = 4.0
#: Seconds that the processes of a site may take to load it, on a machine that is busy.
STARTING = 60.0

#: Options of run_server: where sockets are held and consumers run.
ARRANGED: dict[str, dict[str, Any]] = {
    "greenlets": {"args": ["-w", "2"]},
    "redis": {"args": ["-w", "2"]},
    "threads": {"args": ["-w", "2", "--threads", "4"]},
    "split": {
        "args": ["-w", "4"],
        "worker": "gunicorn_asgi.SplitWorker",
        "env": {"ASGI_SERVERS": "2"},
    },
    "command": {"args": ["-w", "2"], "env": {"ASGI_CONSUMERS": "none"}},
}


class Room:
    """A server, and the events that its consumers noted."""

    def __init__(self, server: Server, notes: Path) -> None:
        self.server = server
        self._notes = notes
        self._number = 0

    def notes(self) -> list[str]:
        return sorted(self._notes.read_text().splitlines()) if self._notes.exists() else []

    def wait_for_notes(self, *expected: str) -> None:
        """Wait for these, in any order, and a while for one too many."""
        wanted = sorted(expected)
        self.server.wait_for(lambda: len(self.notes()) >= len(wanted), f"{wanted}", patience=30)
        time.sleep(3 * GRACE)
        assert self.notes() == wanted

    def get(self, path: str) -> str:
        """Return a page, "" if it does not come."""
        try:
            return get_text(self.server, path)
        except OSError:
            return ""

    def wait_for_pages(self) -> None:
        """Wait for one, after which processes have loaded the site."""
        self.server.wait_for(lambda: self.get("/"), "a page", patience=STARTING)

    def enter(self, name: str, stack: contextlib.ExitStack) -> tuple[int, ClientConnection]:
        """Return who holds a new socket, and the socket."""
        socket = stack.enter_context(
            open_socket(self.server, f"/room/{name}", open_timeout=STARTING)
        )
        socket.recv(PATIENCE)
        port = socket.socket.getsockname()[1]
        return self.server.wait_for(lambda: holder_of(self.server, port), "its holder"), socket

    def fill(self, stack: contextlib.ExitStack) -> dict[int, list[str]]:
        """Have three users or more on each of the two holders; return their names."""
        holders: dict[int, list[str]] = {}
        while len(holders) < 2 or min(map(len, holders.values())) < 3:
            name = f"user{self._number}"
            self._number += 1
            holder, _ = self.enter(name, stack)
            holders.setdefault(holder, []).append(name)
        return holders

    def enter_on_each(self, name: str, stack: contextlib.ExitStack) -> None:
        """Open sockets of one user until each of the two holders has one."""
        holders = set()
        while len(holders) < 2:
            holders.add(self.enter(name, stack)[0])


@pytest.fixture(params=ARRANGED)
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    notes = tmp_path / "notes"
    options = ARRANGED[request.param]
    env = {"PRESENCE_FILE": str(notes), **options.get("env", {})}
    with contextlib.ExitStack() as stack:
        if request.param == "redis":
            need_redis()
            env["CHANNEL_LAYER"] = stack.enter_context(RedisServer()).url
        if request.param == "command":
            stack.enter_context(run_worker(APP, tmp_path, "--processes", "2", env=env))
            env["CHANNEL_LAYER"] = f"ipc://{tmp_path}/layer"
        options = {**options, "env": env, "may_log_errors": True, "may_lose_workers": True}
        server = stack.enter_context(run_server(APP, **options))
        number = int(options["args"][1])
        server.wait_for(lambda: len(server.worker_pids()) == number, "all workers")
        room = Room(server, notes)
        room.wait_for_pages()
        yield room


def test_who_was_on_a_killed_server_leaves_once(room: Room) -> None:
    with contextlib.ExitStack() as stack:
        holders = room.fill(stack)
        room.enter_on_each("everywhere", stack)
        victim, survivor = holders
        everybody = [*holders[victim], *holders[survivor], "everywhere"]
        joins = [f"group.join {name}" for name in everybody]
        room.wait_for_notes(*joins)
        os.kill(victim, signal.SIGKILL)
        leaves = [f"group.leave {name}" for name in holders[victim]]
        room.wait_for_notes(*joins, *leaves)
        there = " ".join(sorted([*holders[survivor], "everywhere"]))
        assert get_text(room.server, "/present") == there


def test_who_closes_leaves_and_who_comes_back_in_time_does_not(room: Room) -> None:
    with contextlib.ExitStack() as stack:
        room.enter("bob", stack)[1].close()
        names = (f"ada{number}" for number in itertools.count())
        # On a busy machine it may take too long to come back.
        name = next(each for each in names if is_back_in_time(room, each, stack))
        room.server.wait_for(lambda: "group.leave bob" in room.notes(), "bob to leave")
        time.sleep(3 * GRACE)
        notes = room.notes()
        assert notes.count("group.join bob") == notes.count("group.leave bob") == 1
        assert notes.count(f"group.join {name}") == 1
        assert notes.count(f"group.leave {name}") == 0


def is_back_in_time(room: Room, name: str, stack: contextlib.ExitStack) -> bool:
    """Come, go, and come again; whether that was within the grace."""
    _, socket = room.enter(name, stack)
    begun = time.monotonic()
    socket.close()
    room.enter(name, stack)
    return time.monotonic() - begun < GRACE


class Follower:
    """A client that comes back with its place, as the one of the documentation does."""

    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self._server = server
        self._stack = stack
        self.place = ""
        self.texts: list[str] = []
        self.was_told_no = 0
        self.socket = self._connect()

    def _connect(self) -> ClientConnection:
        socket = self._stack.enter_context(
            open_socket(self._server, f"/orders?{self.place}", open_timeout=STARTING)
        )
        frame = json.loads(socket.recv(PATIENCE))
        if frame["recovered"] is None:
            self.was_told_no += bool(self.place)
        else:
            self.texts += frame["recovered"]
        self._note(frame)
        return socket

    def _note(self, frame: dict[str, Any]) -> None:
        self._epoch, self._offset = frame["epoch"], frame["offset"]
        self.place = f"{self._epoch}:{self._offset}"

    def read_until(self, text: str) -> None:
        """Read on, over lost connections, until that text has come."""
        while text not in self.texts:
            try:
                frame = json.loads(self.socket.recv(PATIENCE))
            except (ConnectionClosed, OSError):
                self.socket = self._connect()
                continue
            if frame["epoch"] == self._epoch and frame["offset"] <= self._offset:
                continue  # it was among what was recovered
            assert (frame["epoch"], frame["offset"]) == (self._epoch, self._offset + 1)
            self.texts.append(frame["data"])
            self._note(frame)


def test_who_was_on_a_killed_server_misses_nothing(room: Room) -> None:
    with contextlib.ExitStack() as stack:
        followers = [Follower(room.server, stack) for _ in range(8)]
        for number in range(20):
            room.get(f"/publish?{number}")
        ports = [follower.socket.socket.getsockname()[1] for follower in followers]
        for follower in followers[::2]:
            follower.read_until("9")
        os.kill(holder_of(room.server, ports[0]), signal.SIGKILL)
        for number in range(20, 40):
            room.get(f"/publish?{number}")  # or not, from the server that was killed
        room.server.wait_for(lambda: room.get("/publish?40"), "a server that lives")
        for follower in followers:
            follower.read_until("40")
    first, *others = [follower.texts for follower in followers]
    assert all(other == first for other in others)
    assert set(map(str, range(20))) <= set(first)
    assert [follower.was_told_no for follower in followers] == 8 * [0]


def test_a_grace_outlives_every_process_that_runs_consumers(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    env = {"PRESENCE_FILE": str(notes), "PRESENCE_GRACE": str(LONG_GRACE)}
    with contextlib.ExitStack() as stack:
        options = ["--processes", "2", "--greenlets", "10"]
        worker = stack.enter_context(run_worker(APP, tmp_path, *options, env=env))
        env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{tmp_path}/layer"}
        server = stack.enter_context(run_server("not.importable:here", env=env))
        room = Room(server, notes)
        room.wait_for_pages()
        _, ada = room.enter("ada", stack)
        room.enter("bob", stack)
        worker.wait_for(lambda: len(room.notes()) == 2, "both to be announced")
        ada.close()
        worker.wait_for(lambda: is_leaving(worker), "the grace to begin")
        for pid in worker.children():
            os.kill(pid, signal.SIGKILL)
        room.wait_for_notes("group.join ada", "group.join bob", "group.leave ada")


def is_leaving(worker: WorkerCommand) -> bool:
    """Whether anything is due within a grace: sweeps are not."""
    next_due = worker.layer.storage.release_due(0).next_due
    return next_due is not None and next_due < worker.layer.clock() + LONG_GRACE
