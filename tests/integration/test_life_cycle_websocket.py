"""WebSockets through the life of a server: TERM, HUP, QUIT, max_requests, rude clients."""

from __future__ import annotations

import contextlib
import signal
import time

import pytest

from tests.integration.servers import run_server
from tests.integration.sockets import RawSocket, get, open_socket
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame, close_frame

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
APP = "tests.apps.sockets:application"
RESTART = (CLOSE, (1012, ""))


@contextlib.contextmanager
def open_many(server, path, count):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, path)) for _ in range(count)]
        for client in clients:
            assert client.read_response().status == 101
        yield clients


def expect_restart(clients):
    """Read 1012 from every socket, answer it, and see the connection end."""
    for client in clients:
        assert client.read_frame() == RESTART
        client.send(close_frame(1012))
    for client in clients:
        with pytest.raises(EOFError):
            client.read_frame()
        client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_a_stop_closes_every_socket_with_1012_and_takes_less_than_two_seconds(number):
    with run_server(APP) as server, open_many(server, "/echo", 100) as clients:
        started = time.monotonic()
        server.kill(number)
        expect_restart(clients)
        server.process.wait(10)
        assert time.monotonic() - started < 2


def test_the_disconnect_consumers_still_run_while_it_stops():
    with run_server(APP, may_log_errors=True) as server:
        with open_many(server, "/disconnect-log", 3) as clients:
            server.kill(signal.SIGTERM)
            expect_restart(clients)
        server.process.wait(10)
        assert server.log().count("disconnected with 1012") == 3


def test_clients_that_do_not_answer_the_close_are_cut_off():
    env = {"ASGI_CLOSE_TIMEOUT": "0.2"}
    with run_server(APP, env=env) as server, open_many(server, "/echo", 3) as clients:
        started = time.monotonic()
        server.kill(signal.SIGTERM)
        for client in clients:
            assert client.read_frame() == RESTART
        server.process.wait(10)
        assert time.monotonic() - started < 2


def test_a_reload_closes_every_socket_and_the_new_worker_serves():
    with run_server(APP) as server, open_many(server, "/echo", 20) as clients:
        old = server.worker_pid()
        server.kill(signal.SIGHUP)
        expect_restart(clients)
        server.wait_for(lambda: old not in server.worker_pids(), "the old worker to end")
        with open_socket(server, "/echo") as client:
            client.send("to the new one")
            assert client.recv() == "to the new one"
        assert server.worker_pid() != old


def test_a_held_handshake_is_refused_with_503_at_a_stop():
    with run_server(APP) as server, RawSocket(server, "/ponder") as client:
        server.wait_for(lambda: get(server, "/seen?name=pondering"), "the handshake")
        server.kill(signal.SIGTERM)
        response = client.read_response()
        assert (response.status, response["retry-after"]) == (503, "1")
        client.close()
        server.process.wait(10)


def test_a_stop_lets_the_frame_that_is_handled_finish():
    with run_server(APP) as server, RawSocket(server, "/pause") as client:
        client.read_response()
        client.send(client_frame(TEXT, b"0.3"))
        server.wait_for(lambda: get(server, "/seen?name=paused"), "the consumer")
        server.kill(signal.SIGTERM)
        expect_restart([client])
        server.process.wait(10)
        assert "paused to the end" in server.log()


def test_frames_do_not_count_as_requests_but_requests_do():
    with run_server(APP, args=["--max-requests", "5"]) as server:
        pid = server.worker_pid()
        with open_socket(server, "/echo") as client:
            for number in range(50):
                client.send(str(number))
                assert client.recv() == str(number)
            assert server.worker_pid() == pid
            for _ in range(5):
                get(server, "/seen?name=x")
            with contextlib.suppress(Exception):
                client.recv(timeout=5)
            assert client.close_code == 1012
        server.wait_for(lambda: server.worker_pids() not in ([], [pid]), "a new worker")
        assert get(server, "/seen?name=x") == []


def test_sockets_count_towards_worker_connections():
    args = ["--worker-connections", "3"]
    with run_server(APP, args=args) as server, open_many(server, "/echo", 3) as clients:
        fourth = RawSocket(server, "/echo")  # in the kernel's backlog
        fourth.wire.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            fourth.read_response()
        fourth.wire.sock.settimeout(5)
        clients[0].send(close_frame(1000))
        clients[0].read_frame()
        clients[0].close()
        assert fourth.read_response().status == 101
        fourth.close()
