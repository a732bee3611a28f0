"""What is killed of a uWSGI: sockets stay open, or are gone for all; nothing waits for ever."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.servers import PATIENCE
from tests.integration.sockets import RawSocket, get_text, open_socket
from tests.integration.uwsgi_servers import free_port, run_uwsgi
from tests.wsgi_bridge.protocols.frames import CLOSE, close_frame

pytestmark = pytest.mark.integration
LIFE = "tests.apps.uwsgi_life:application"


@pytest.fixture
def server():
    with run_uwsgi(LIFE, ["--threads", "4", "--http", "/held"], may_lose_workers=True) as running:
        yield running


def kill(server, kind):
    """Kill the one process of a kind."""
    [pid] = server.worker_pids()[:1] if kind == "worker" else server.mule_pids(kind)
    os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda: not psutil.pid_exists(pid), "the process to be reaped")
    return pid


def wait_for_new(server, kind):
    return server.wait_for(lambda: server.mule_pids(kind), f"a new {kind}")


def echoes(client, text):
    client.send(text)
    return client.recv(timeout=PATIENCE) == text


def test_a_killed_worker_closes_no_socket(server):
    with open_socket(server, "/echo") as client:
        old = server.worker_pids()
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        assert echoes(client, "without any worker")
        server.wait_for(lambda: len(set(server.worker_pids()) - set(old)) == 2, "new workers")
        with open_socket(server, "/echo") as other:
            assert echoes(other, "new")
        assert echoes(client, "still")


def test_a_killed_consumer_closes_no_socket_and_loses_one_frame_that_is_counted(server):
    with open_socket(server, "/echo") as idle, open_socket(server, "/pause") as busy:
        busy.send("60")
        server.wait_for_log("pausing")
        kill(server, "consumer")
        wait_for_new(server, "consumer")
        assert echoes(idle, "served by another")
        busy.send("0")  # the frame before was lost, and the next does not wait for it
        assert busy.recv(timeout=PATIENCE) == "paused"
    log = server.wait_for_log("was lost with its worker process: counted")
    assert log.count("was lost with its worker process: counted") == 1


def test_a_request_that_a_killed_consumer_had_is_answered(server):
    with contextlib.closing(server.connect()) as sock:
        sock.sendall(b"GET /held/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for_log("sleeping")
        kill(server, "consumer")
        assert sock.recv(100).startswith(b"HTTP/1.1 500 ")


def test_handshakes_wait_for_a_killed_terminator_and_are_served(server):
    kill(server, "terminator")
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo")) for _ in range(50)]
        for client in clients:
            assert client.read_response().status == 101
    assert time.monotonic() - begun < 3


def test_a_killed_terminator_ends_its_sockets_for_their_consumers_too(server):
    with open_socket(server, "/room?id=ann") as client:
        assert client.recv(timeout=PATIENCE) == "welcome"
        assert json.loads(get_text(server, "/present")) == ["ann"]
        kill(server, "terminator")
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
        server.wait_for_log("left with 1006")
        server.wait_for(lambda: json.loads(get_text(server, "/present")) == [], "ann to be gone")
        with open_socket(server, "/room?id=bob") as other:
            assert other.recv(timeout=PATIENCE) == "welcome"
            assert json.loads(get_text(server, "/present")) == ["bob"]


def test_a_reload_closes_sockets_with_1012_and_serves_on():
    options = {"http-socket": f"127.0.0.1:{free_port()}"}
    with run_uwsgi(LIFE, options=options) as server:
        with RawSocket(server, "/echo") as client:
            client.read_response()
            old = server.worker_pids()
            server.kill(signal.SIGHUP)
            assert client.read_frame() == (CLOSE, (1012, ""))
            client.send(close_frame(1012))
            with pytest.raises(EOFError):
                client.read_frame()
        server.wait_for(lambda: set(server.worker_pids()) - set(old), "new workers")
        with open_socket(server, "/echo") as client:
            assert echoes(client, "again")
        server.wait_for_log("gone with 1012")


def test_a_consumer_that_dies_as_it_starts_is_tried_less_and_less(tmp_path):
    broken = tmp_path / "broken_realtime.py"
    broken.write_text("raise RuntimeError('not today')\n")
    options = {"pythonpath": str(tmp_path)}
    with run_uwsgi(
        "tests.apps.hello:application",
        ["--app", "broken_realtime:application"],
        options=options,
        mules=1,
        may_log_errors=True,
    ) as server:
        server.wait_for_log("not today", count=3)
        server.wait_for_log("trying again in 1.0 s")
        assert get_text(server, "/") == "Hello, world!\n"
        broken.write_text("from tests.apps.sockets import application\n")
        server.wait_for(lambda: server.mule_pids("consumer"), "the mule to run", patience=30)


def test_handshakes_under_way_while_consumers_are_replaced_are_answered(server):
    """Both mules go again and again; every handshake is a 101 or has been told why not."""
    stop = threading.Event()

    def disturb():
        while not stop.wait(0.7):
            for pid in server.mule_pids("consumer"):
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        statuses = set()
        for _ in range(40):
            with RawSocket(server, "/echo") as client:
                statuses.add(client.read_response().status)
    finally:
        stop.set()
        thread.join()
    assert statuses <= {101, 500, 503}
    wait_for_new(server, "consumer")
