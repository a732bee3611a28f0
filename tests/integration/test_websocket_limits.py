"""Hostile WebSocket clients against a real server: each meets its limit, and nobody else does."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import zlib

import psutil
import pytest

from tests.integration.servers import run_server
from tests.integration.sockets import RawSocket, get, open_socket
from tests.wsgi_bridge.protocols.frames import (
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
    raw_frame,
)

pytestmark = pytest.mark.integration
APP = "tests.apps.sockets:application"
SHORT = {
    "ASGI_PING_INTERVAL": "0.2",
    "ASGI_PING_TIMEOUT": "0.5",
    "ASGI_HANDSHAKE_TIMEOUT": "0.2",
    "ASGI_CLOSE_TIMEOUT": "0.2",
}
SERVER = {"app": APP, "env": SHORT}
MEGABYTE = 1 << 20
DEFLATE = {"sec_websocket_extensions": "permessage-deflate"}


def is_served(server):
    """Whether somebody else gets an answer."""
    with open_socket(server, "/echo") as client:
        client.send("me")
        return client.recv(timeout=5) == "me"


def test_an_idle_client_is_pinged_and_stays(server):
    with RawSocket(server, "/echo") as client:
        client.read_response()
        for _ in range(5):
            assert client.read_frame() == (PING, b"")
            client.send(client_frame(PONG))
        client.send(client_frame(TEXT, b"still here"))
        while client.read_frame() != (TEXT, b"still here"):
            client.send(client_frame(PONG))


def test_a_client_that_answers_no_ping_is_cut_off_and_its_consumer_told(server):
    with RawSocket(server, "/gone/silent") as client:
        client.read_response()
        with pytest.raises(EOFError):
            while client.read_frame() == (PING, b""):
                pass
    told = server.wait_for(lambda: get(server, "/seen?name=disconnects"), "the consumer")
    assert ["/gone/silent", 1006, "no pong in 0.5 s"] in told


def test_a_handshake_that_nobody_answers_is_504(server):
    with RawSocket(server, "/hold") as client:
        assert client.read_response().status == 504
    get(server, "/open?name=hold")


def test_a_client_that_does_not_answer_our_close_is_cut_off(server):
    with RawSocket(server, "/close") as client:
        client.read_response()
        client.send(client_frame(TEXT, b"4000 enough"))
        assert client.read_frame() == (TEXT, b"bye")
        assert client.read_frame() == (CLOSE, (4000, "enough"))
        flood = client_frame(PING) * 100
        with pytest.raises(OSError):
            while True:  # whatever it sends instead
                client.send(flood)


def test_a_decompression_bomb_is_1009_and_takes_no_memory(server):
    packer = zlib.compressobj(9, wbits=-15)
    data = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(100)) + packer.flush()
    worker = psutil.Process(server.worker_pid())
    before = worker.memory_info().rss
    for _ in range(10):
        with RawSocket(server, "/echo", **DEFLATE) as client:
            client.read_response()
            client.send(raw_frame(0xC1, data))
            while (frame := client.read_frame())[0] is not CLOSE:
                pass
            assert frame[1][0] == 1009
    assert worker.memory_info().rss - before < 20 * MEGABYTE
    assert is_served(server)


@pytest.mark.parametrize(
    "flood",
    [client_frame(PING), client_frame(CONT, fin=False), client_frame(CONT, b"a", fin=False)],
    ids=["pings", "empty fragments", "fragments of a byte"],
)
def test_a_flood_keeps_nobody_waiting_and_takes_no_memory(server, flood):
    worker = psutil.Process(server.worker_pid())
    with RawSocket(server, "/echo") as client:
        client.read_response()
        client.send(client_frame(TEXT, b"a", fin=False))
        before = worker.memory_info().rss
        done = threading.Event()
        thread = threading.Thread(target=send_until, args=(client, flood * 500, done))
        thread.start()
        try:
            assert all(is_served(server) for _ in range(20))
        finally:
            done.set()
            with contextlib.suppress(OSError):
                client.wire.sock.shutdown(2)
            thread.join(10)
        assert worker.memory_info().rss - before < 20 * MEGABYTE


def send_until(client, data, done):
    with contextlib.suppress(OSError):
        while not done.is_set():
            client.send(data)


def test_a_client_over_its_frame_rate_is_slowed_down_and_loses_nothing():
    env = {"ASGI_MAX_FRAME_RATE": "100"}
    with run_server(APP, env=env) as server, open_socket(server, "/echo") as client:
        started = time.monotonic()
        for number in range(600):  # five seconds' worth may come at once
            client.send(str(number))
        assert [client.recv() for _ in range(600)] == [str(number) for number in range(600)]
        client.send("over")
        assert client.recv(timeout=5) == "over"
        assert time.monotonic() - started > 0.5


# A reload


def test_a_reload_with_200_sockets_is_no_stampede_and_all_land_on_the_new_worker():
    with run_server(APP) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo")) for _ in range(200)]
        for client in clients:
            assert client.read_response().status == 101
        old = server.worker_pid()
        server.kill(signal.SIGHUP)
        threads, times = [], []
        for client in clients:
            thread = threading.Thread(target=come_back, args=(server, client, times))
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(20)
        assert len(times) == 200
        assert max(times) - min(times) > 0.5  # 200 a second, not all at once
        server.wait_for(lambda: old not in server.worker_pids(), "the old worker to end")
        assert get(server, "/statistics")["websocket_connects_count"] == 200


def come_back(server, client, times):
    """Wait for the end, and reconnect at once, as no client should; note when."""
    assert client.read_frame() == (CLOSE, (1012, ""))
    times.append(time.monotonic())
    client.send(close_frame(1012))
    with open_socket(server, "/echo") as again:
        again.send("back")
        assert again.recv(timeout=10) == "back"


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
def test_a_few_sockets_do_not_drag_a_stop_out(number):
    env = {"ASGI_CLOSE_WINDOW": "60"}
    args = ["--graceful-timeout", "30"]
    with run_server(APP, env=env, args=args) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo")) for _ in range(50)]
        for client in clients:
            client.read_response()
        started = time.monotonic()
        server.kill(number)
        for client in clients:
            assert client.read_frame() == (CLOSE, (1012, ""))
            client.send(close_frame(1012))
            client.close()
        server.process.wait(10)
        assert time.monotonic() - started < 5
