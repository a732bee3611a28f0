"""SplitWorker: servers hold the sockets, consumers come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.servers import PATIENCE, Server, run_server, wait_for
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, open_wire, request

pytestmark = pytest.mark.integration

# VERSION is what a deployment changes. A socket's answer: its text, and who gave it.
SITE = """
import os, time
from wsgi_bridge import Bridge, route

VERSION = "{version}"
print("imported by", os.getpid(), flush=True)
while os.path.exists(os.path.join(os.path.dirname(__file__), "hold " + VERSION)):
    time.sleep(0.02)

def site(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("slow page", flush=True)
        time.sleep(1)
    start_response("200 OK", [("Content-Length", str(len(VERSION)))])
    return [VERSION.encode()]

def echo(message):
    text = message["text"]
    if text == "block":
        print("blocked in", os.getpid(), flush=True)
        time.sleep(60)
    message.reply_channel.send({{"text": f"{{text}} {{VERSION}} {{os.getpid()}}"}})

def say_disconnect(message):
    print("disconnected with", message["code"], flush=True)

application = Bridge(site, [
    route("websocket.receive", echo, path="^/echo$"),
    route("websocket.disconnect", say_disconnect, path="^/echo$"),
])
"""
DESERTED_SOON = "import gunicorn_asgi.consumer_worker as c; c.DESERTED_AFTER = 2"


class Split:
    """A running SplitWorker gunicorn, whose site the test changes."""

    def __init__(self, server: Server, folder: Path, workers: int) -> None:
        self.server = server
        self.folder = folder
        self.wait_for_workers(workers)

    def write(self, version: str) -> None:
        write_site(self.folder, version)

    def roles(self) -> tuple[list[int], list[int]]:
        """Return who holds sockets and who runs consumers, of those that do so already."""
        log = self.server.log()
        pids = self.server.worker_pids()
        servers = [pid for pid in pids if f"Holding sockets (pid: {pid})" in log]
        consumers = [pid for pid in pids if f"Running consumers (pid: {pid})" in log]
        return servers, consumers

    def wait_for_workers(self, count: int) -> tuple[list[int], list[int]]:
        """Wait until so many workers have a role; return servers and consumers."""

        def found() -> Any:
            servers, consumers = self.roles()
            is_all = len(self.server.worker_pids()) == count
            return (servers, consumers) if is_all and len(servers + consumers) == count else None

        return self.server.wait_for(found, f"{count} workers")

    def reload(self, version: str) -> None:
        """Deploy; wait until every consumer is a new one."""
        _, old = self.roles()
        self.write(version)
        self.server.kill(signal.SIGHUP)
        self.server.wait_for(lambda: not set(old) & set(self.roles()[1]), "the old to go")

    def say(self, socket: ClientConnection, text: str) -> tuple[str, int]:
        """Send a frame; return the version and the process that answered it."""
        socket.send(text)
        echo, version, pid = str(socket.recv(PATIENCE)).split()
        assert echo == text
        return version, int(pid)

    def version(self) -> str:
        """Return what the site's page says."""
        return ask(self.server, request("/")).content.decode()


def write_site(folder: Path, version: str) -> None:
    # In one step, and without bytecode: the file of the version before may be as old and as long.
    part = folder / "part"
    part.write_text(SITE.format(version=version) if version else "raise ValueError('broken')")
    part.rename(folder / "deployed.py")


@contextlib.contextmanager
def run_split(
    folder: Path, *args: str, workers: int = 4, is_told: bool = True, **options: Any
) -> Iterator[Split]:
    """Run a split gunicorn; unless ``is_told``, its configuration file has that many workers."""
    write_site(folder, "first")
    env = {"PYTHONDONTWRITEBYTECODE": "1", **options.pop("env", {})}
    with run_server(
        "deployed:application",
        worker="gunicorn_asgi.SplitWorker",
        chdir=folder,
        args=[*(["-w", str(workers)] if is_told else []), *args],
        env=env,
        **options,
    ) as server:
        yield Split(server, folder, workers)


@contextlib.contextmanager
def open_many(split: Split, count: int) -> Iterator[list[ClientConnection]]:
    with contextlib.ExitStack() as stack:
        options = {"ping_interval": None}
        yield [
            stack.enter_context(open_socket(split.server, "/echo", **options)) for _ in range(count)
        ]


@contextlib.contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[int]]:
    """Repeat ``work`` in a thread while the block runs, and fail if it does; yield its count."""
    ended, count, failures = threading.Event(), [0], []

    def repeat() -> None:
        try:
            while not ended.is_set():
                work()
                count[0] += 1
        except Exception as exc:  # noqa: BLE001 - shown by the test
            failures.append(exc)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield count
    finally:
        ended.set()
        thread.join()
    assert failures == []


@pytest.fixture
def split(tmp_path: Path) -> Iterator[Split]:
    with run_split(tmp_path) as running:
        yield running


def test_servers_never_import_the_site(split: Split) -> None:
    servers, consumers = split.roles()
    assert (len(servers), len(consumers)) == (1, 3)
    with open_many(split, 10) as sockets:
        assert {split.say(socket, "hello")[1] for socket in sockets} <= set(consumers)
    assert split.version() == "first"
    assert not [pid for pid in servers if f"imported by {pid}\n" in split.server.log()]


def test_the_number_of_servers_is_a_setting(tmp_path: Path) -> None:
    with run_split(tmp_path, env={"ASGI_SERVERS": "2"}) as split:
        servers, consumers = split.roles()
        assert (len(servers), len(consumers)) == (2, 2)
        split.reload("second")
        assert split.roles()[0] == servers


@pytest.mark.slow
def test_a_hundred_sockets_stay_open_over_five_deployments_under_load(split: Split) -> None:
    servers, _ = split.roles()
    with open_many(split, 100) as sockets:
        numbers = iter(range(10**9))

        def talk() -> None:
            """Send a frame on every socket, and read every answer: none is lost, all in order."""
            number = f"n{next(numbers)}"
            for socket in sockets:
                socket.send(number)
            for socket in sockets:
                assert str(socket.recv(PATIENCE)).split()[0] == number

        with in_background(talk) as talked, in_background(split.version) as asked:
            for version in ("2nd", "3rd", "4th", "5th", "6th"):
                before = talked[0], asked[0]
                split.reload(version)
                split.server.wait_for(
                    lambda: talked[0] > before[0] and asked[0] > before[1],  # noqa: B023
                    "traffic",
                )
        # A consumer of the deployment before may have come so late that `reload` did not know it.
        split.server.wait_for(
            lambda: {split.say(socket, "now")[0] for socket in sockets} == {"6th"},
            "the new code everywhere",
        )
        assert split.roles()[0] == servers


@pytest.mark.slow
def test_a_killed_consumer_costs_what_it_was_at_and_no_socket(tmp_path: Path) -> None:
    with (
        run_split(tmp_path, may_log_errors=True, may_lose_workers=True) as split,
        open_many(split, 50) as sockets,
    ):
        servers, consumers = split.roles()
        sockets[0].send("block")
        split.server.wait_for_log("blocked in ")
        victim = next(pid for pid in consumers if f"blocked in {pid}\n" in split.server.log())
        os.kill(victim, signal.SIGKILL)
        for socket in sockets[1:]:
            split.say(socket, "still-here")
        split.server.wait_for(lambda: victim not in split.server.worker_pids(), "its end")
        assert split.wait_for_workers(4)[0] == servers
        # The layer's expiry, a minute, need not pass: the successor says that the event is lost.
        assert split.say(sockets[0], "after")[1] != victim
        assert f"Worker (pid:{victim}) ended while busy with " in split.server.log()
        assert "deployed.echo /echo" in split.server.log()


def test_a_killed_server_is_replaced_and_its_successor_accepts(tmp_path: Path) -> None:
    with run_split(tmp_path, may_log_errors=True, may_lose_workers=True) as split:
        [server], consumers = split.roles()
        assert split.version() == "first"
        os.kill(server, signal.SIGKILL)
        split.server.wait_for(lambda: server not in split.roles()[0], "its end")
        (successor,), same = split.wait_for_workers(4)
        assert successor != server
        assert same == consumers
        assert split.version() == "first"
        with open_many(split, 3) as sockets:
            assert {split.say(socket, "hello")[0] for socket in sockets} == {"first"}


def test_workers_that_are_added_and_taken_away_are_consumers(split: Split) -> None:
    servers, _ = split.roles()
    with open_many(split, 5) as sockets:
        split.server.kill(signal.SIGTTIN)
        split.wait_for_workers(5)
        for left in (4, 3, 2):
            split.server.kill(signal.SIGTTOU)
            split.wait_for_workers(left)
        assert split.roles()[0] == servers
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"first"}


@pytest.mark.slow
def test_a_server_that_nobody_replaces_is_made_room_for(tmp_path: Path) -> None:
    """The server dies, and when the master gets to it, it wants one worker less: none is made."""
    config = tmp_path / "conf.py"
    config.write_text(DESERTED_SOON)
    lost = {"may_log_errors": True, "may_lose_workers": True}
    arguments = ["--config", str(config), "--graceful-timeout", "3"]
    with run_split(tmp_path, *arguments, **lost) as split:
        [server], old = split.roles()
        # While the master waits for an old worker to end it does nothing else.
        os.kill(old[0], signal.SIGSTOP)
        split.server.kill(signal.SIGHUP)
        split.server.wait_for(lambda: len(set(split.roles()[1]) - set(old)) == 3, "new consumers")
        os.kill(server, signal.SIGKILL)
        split.server.kill(signal.SIGTTOU)
        split.server.wait_for_log("Handling signal: ttou")
        os.kill(old[0], signal.SIGCONT)
        split.server.wait_for_log("No worker holds sockets: making room for one")
        split.server.wait_for(lambda: split.roles()[0], "a server")
        (successor,), consumers = split.wait_for_workers(3)
        assert (successor != server, len(consumers)) == (True, 2)
        assert split.version() == "first"


def test_consumers_that_were_replaced_while_they_loaded_take_nothing(split: Split) -> None:
    hold = split.folder / "hold two"
    hold.touch()
    known = set(split.server.worker_pids())
    split.write("two")
    split.server.kill(signal.SIGHUP)

    def loading() -> set[int]:
        new = set(split.server.worker_pids()) - known
        return {pid for pid in new if f"imported by {pid}\n" in split.server.log()}

    late = split.server.wait_for(lambda: len(loading()) == 3 and loading(), "three to load")
    split.reload("three")
    assert split.version() == "three"
    hold.unlink()
    split.server.wait_for(lambda: not late & set(split.server.worker_pids()), "them to go")
    assert split.version() == "three"
    log = split.server.log()
    assert not [pid for pid in late if f"Running consumers (pid: {pid})" in log]


def test_a_deployment_that_cannot_be_loaded_closes_no_socket(tmp_path: Path) -> None:
    with (
        run_split(tmp_path, may_log_errors=True) as split,
        open_many(split, 10) as sockets,
    ):
        servers, _ = split.roles()
        split.write("")
        split.server.kill(signal.SIGHUP)
        split.server.wait_for_log("the site cannot be loaded; it is tried again", count=3)
        split.write("mended")
        split.wait_for_workers(4)
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"mended"}
        assert split.roles()[0] == servers


def test_a_site_that_cannot_be_loaded_at_first_ends_gunicorn(tmp_path: Path) -> None:
    write_site(tmp_path, "")
    with (
        pytest.raises(AssertionError, match=r"gunicorn ended with 3|exit status 3"),
        run_server(
            "deployed:application",
            worker="gunicorn_asgi.SplitWorker",
            chdir=tmp_path,
            args=["-w", "2"],
        ) as server,
    ):
        server.process.wait(PATIENCE)


def test_max_requests_recycles_consumers_only(tmp_path: Path) -> None:
    with run_split(tmp_path, "--max-requests", "20") as split, open_many(split, 1) as sockets:
        servers, consumers = split.roles()
        seen = set()

        def has_been_replaced() -> bool:
            seen.add(split.say(sockets[0], "again")[1])
            return bool(seen - set(consumers))

        split.server.wait_for(has_been_replaced, "a successor", patience=3 * PATIENCE)
        assert split.roles()[0] == servers


@pytest.mark.slow
def test_a_consumer_process_without_a_heartbeat_is_replaced(tmp_path: Path) -> None:
    lost = {"may_log_errors": True, "may_lose_workers": True}
    with run_split(tmp_path, "--timeout", "3", **lost) as split, open_many(split, 5) as sockets:
        servers, consumers = split.roles()
        os.kill(consumers[0], signal.SIGSTOP)
        split.server.wait_for_log(f"WORKER TIMEOUT (pid:{consumers[0]})")
        split.server.wait_for(lambda: consumers[0] not in split.server.worker_pids(), "its end")
        assert split.wait_for_workers(4)[0] == servers
        assert {split.say(socket, "hello")[0] for socket in sockets} == {"first"}


def test_a_stop_closes_sockets_with_1012_and_finishes_requests(split: Split) -> None:
    with open_many(split, 5) as sockets, open_wire(split.server) as idle:
        assert idle.ask(request("/")).status == 200
        split.server.kill(signal.SIGTERM)
        for socket in sockets:
            with contextlib.suppress(ConnectionClosed):
                socket.recv(PATIENCE)
            assert socket.close_code == 1012
    assert split.server.stop() < 3


def test_a_stop_answers_what_waits_and_tells_consumers_of_every_socket(tmp_path: Path) -> None:
    # One consumer, so that a request waits behind the one that blocks.
    with run_split(tmp_path, workers=2) as split, ThreadPoolExecutor(2) as clients:
        with open_many(split, 5) as sockets:
            asked = [clients.submit(ask, split.server, request("/slow"))]
            split.server.wait_for_log("slow page")
            asked.append(clients.submit(split.version))
            wait_for(lambda: is_asked(split), "the second request")
            split.server.kill(signal.SIGTERM)
            for socket in sockets:
                with contextlib.suppress(ConnectionClosed):
                    socket.recv(PATIENCE)
        assert asked[0].result(PATIENCE).content == b"first"
        assert asked[1].result(PATIENCE) == "first"
        split.server.stop()
        assert split.server.log().count("disconnected with 1012") == 5


def is_asked(split: Split) -> bool:
    """Whether two requests' connections are established."""
    [server] = split.roles()[0]
    sockets = psutil.Process(server).net_connections(kind="tcp")
    return sum(sock.status == psutil.CONN_ESTABLISHED for sock in sockets) == 5 + 2


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_quit_is_quick(tmp_path: Path, number: int) -> None:
    with run_split(tmp_path, may_log_errors=True) as split, open_many(split, 1) as sockets:
        sockets[0].send("block")
        split.server.wait_for_log("blocked in ")
        started = time.monotonic()
        split.server.stop(number)
        assert time.monotonic() - started < 10, "a third of what a graceful stop may take"
