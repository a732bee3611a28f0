"""Group messages to many sockets, and to those that do not read."""

from __future__ import annotations

import contextlib
import socket

import psutil
import pytest

from tests.integration.servers import run_server
from tests.integration.sockets import RawSocket, get, open_socket
from tests.wsgi_bridge.protocols.frames import BINARY, CLOSE, TEXT, client_frame, close_frame

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
APP = "tests.apps.sockets:application"
SERVER = {"app": APP}
MANY = 200
DEFLATE = "permessage-deflate"


@contextlib.contextmanager
def open_many(server, path, count, **fields):
    """Open sockets one after the other, all of them accepted."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, path, **fields)) for _ in range(count)]
        for client in clients:
            assert client.read_response().status == 101
        yield clients


@pytest.mark.parametrize("offer", [None, DEFLATE])
@pytest.mark.parametrize("size", [0, 5000])
def test_every_socket_gets_a_group_message_once(server, offer, size):
    group = f"all{size}{offer is None}"
    with open_many(server, f"/group/{group}", MANY, sec_websocket_extensions=offer) as clients:
        assert get(server, f"/members?group={group}") == MANY
        get(server, f"/send?group={group}&text=first&size={size}")
        get(server, f"/send?group={group}&text=second")
        for client in clients:
            frame = client.read_raw_frame()
            assert frame.rsv1 is bool(size and offer)
            assert size or frame.data == b"first"
            assert client.read_frame() == (TEXT, b"second")
    server.wait_for(lambda: get(server, f"/members?group={group}") == 0, "the group to be empty")


def test_a_message_between_joining_and_the_accept_comes_after_the_accept(server):
    with open_socket(server, "/early/birds") as client:
        assert client.recv() == "from connect"


def test_a_socket_that_died_is_in_no_group_though_nobody_discarded_it(server):
    with open_many(server, "/group/dying", 3) as clients:
        assert get(server, "/members?group=dying") == 3
        clients[0].wire.reset()
        clients[1].send(close_frame(1000))
        server.wait_for(lambda: get(server, "/members?group=dying") == 1, "the dead to leave")
        get(server, "/send?group=dying&text=x")
        assert clients[2].read_frame() == (TEXT, b"x")


# Slow clients

BUFFER = 100_000
SIZE = 50_000
ROUNDS = 200  # 10 MB: more than the kernel keeps for both sides


@contextlib.contextmanager
def slow_and_quick(policy):
    """Run a server, flood a group of a client that does not read and one that does; return both."""
    env = {"ASGI_SLOW_CLIENT": policy, "ASGI_WRITE_BUFFER": str(BUFFER), "ASGI_CLOSE_TIMEOUT": "1"}
    with (
        run_server(APP, env=env) as server,
        open_many(server, "/group/g", 1) as [slow],
        open_socket(server, "/group/g", max_size=None) as quick,
    ):
        slow.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
        process = psutil.Process(server.worker_pid())
        before = process.memory_info().rss
        for _ in range(ROUNDS):
            get(server, f"/send?group=g&text=x&size={SIZE}")
            assert len(quick.recv()) == SIZE
        assert process.memory_info().rss - before < 8_000_000
        yield server, slow, quick


def read_data(client):
    """Read data frames until another comes; return how many, and that other's payload."""
    count = 0
    while (frame := client.read_frame())[0] is BINARY:
        count += 1
    return count, frame


def test_drop_loses_messages_for_the_slow_client_alone():
    with slow_and_quick("drop") as (server, slow, quick):
        lost = get(server, "/statistics")["slow_client_lost_count"]
        assert 0 < lost < ROUNDS

        def send_a_mark():
            get(server, "/send?group=g&text=after")
            return get(server, "/statistics")["slow_client_lost_count"] == lost

        for _ in range(ROUNDS - lost):
            assert slow.read_frame()[0] is BINARY
        assert send_a_mark()
        assert slow.read_frame() == (TEXT, b"after")
        assert quick.recv() == "after"


@pytest.mark.parametrize("policy", ["close", "block"])
def test_a_client_that_is_too_slow_is_closed_with_1013(policy):
    with slow_and_quick(policy) as (server, slow, quick):
        server.wait_for(lambda: get(server, "/members?group=g") == 1, "the slow one to be closed")
        get(server, "/send?group=g&text=after")
        assert quick.recv() == "after"
        # It reads too late: it was cut off. What reached the kernel comes, and then the end.
        with pytest.raises((EOFError, ConnectionResetError)):
            read_data(slow)


def test_a_slow_client_that_wakes_up_in_time_reads_why_it_was_closed():
    env = {"ASGI_SLOW_CLIENT": "close", "ASGI_WRITE_BUFFER": "1000"}
    with run_server(APP, env=env) as server, open_many(server, "/group/g", 1) as [slow]:
        while not get(server, "/statistics")["slow_client_lost_count"]:
            get(server, f"/send?group=g&text=x&size={SIZE}")
        count, frame = read_data(slow)
        assert count > 0
        assert frame == (CLOSE, (1013, "client too slow"))
        slow.send(close_frame(1013))
        server.wait_for(lambda: get(server, "/members?group=g") == 0, "its end")


# Memory


@pytest.mark.slow
def test_an_idle_socket_costs_less_than_8_kilobytes():
    count = 2000
    with run_server(APP, args=["--worker-connections", "3000"]) as server:
        process = psutil.Process(server.worker_pid())
        with open_many(server, "/echo", 100) as clients:  # what is made once has been made then
            clients[0].send(client_frame(TEXT, b"x"))
            before = process.memory_info().rss
            with open_many(server, "/echo", count):
                used = process.memory_info().rss - before
    assert used / count < 8192
