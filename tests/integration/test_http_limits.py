"""Time and number: keepalive, heads that are slow to come, worker_connections, max_requests."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, ask, open_wire, request

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
LATE = 0.75  # seconds past its time at which a deadline is noticed at the latest, on a busy machine

# One server for all that has to do with these times.
SERVER = {"app": SITE, "args": ["--keep-alive", "1"], "env": {"ASGI_HEAD_TIMEOUT": "1"}}


def wait_for_end(wire: Wire) -> float:
    """Return the seconds until the server ends the connection."""
    started = time.monotonic()
    assert wire.is_ended()
    return time.monotonic() - started


def test_keepalive_is_the_time_between_two_requests(server: Server) -> None:
    with open_wire(server) as wire:
        for _ in range(2):
            assert wire.ask(request()).status == 200
        assert 0.9 < wait_for_end(wire) < 1 + LATE


def test_a_response_that_takes_longer_than_keepalive_is_awaited(server: Server) -> None:
    with open_wire(server) as wire:
        assert wire.ask(request("/sleep?seconds=1.3")).content == b"slept"
        assert wire.ask(request()).status == 200


def test_a_client_that_reads_slower_than_keepalive_gets_its_answer_whole(server: Server) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    with sock:
        sock.connect(("127.0.0.1", server.port))
        wire = Wire(sock)
        # One message, more than the kernel takes while nobody reads.
        wire.send(request("/block?size=250000") * 20)
        with open_wire(server) as other:
            other.send(request("/sleep?seconds=1.3"))
            other.read_response()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        for _ in range(20):
            assert wire.read_response().content == b"x" * 250_000
        assert 0.5 < wait_for_end(wire) < 1 + LATE


UNFINISHED = {
    "a byte": b"G",
    "a line": b"GET / HTTP/1.1\r\n",
    "half a field": b"GET / HTTP/1.1\r\nHost: a\r\nX",
    "another request's start": request() + b"G",
    "nothing": b"",
}


def test_what_does_not_come_to_its_end_is_a_408_and_silence_is_just_left(server: Server) -> None:
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        wires = {name: stack.enter_context(open_wire(server)) for name in UNFINISHED}
        for name, data in UNFINISHED.items():
            wires[name].send(data)
        assert wires["another request's start"].read_response().status == 200
        assert wires["nothing"].is_ended()
        del wires["nothing"]
        for wire in wires.values():
            response = wire.read_response()
            assert (response.status, response["connection"]) == (408, "close")
    assert 0.9 < time.monotonic() - started < 1 + LATE


def test_a_client_that_drips_its_head_does_not_win_time(server: Server) -> None:
    with open_wire(server) as wire:
        started = time.monotonic()
        wire.sock.settimeout(0.1)
        for number in request("/", "X-Long: " + "x" * 500):
            wire.send(bytes([number]))
            try:
                response = wire.read_response()
            except TimeoutError:
                continue
            break
        assert response.status == 408
        assert time.monotonic() - started < 1 + LATE


def test_keepalive_0_is_one_request_a_connection() -> None:
    with run_server(SITE, args=["--keep-alive", "0"]) as server:
        for version in ("1.1", "1.0"):
            with open_wire(server) as wire:
                response = wire.ask(request("/", "Connection: keep-alive", version=version))
                assert response["connection"] == "close"
                assert wire.is_ended()


def test_connections_past_worker_connections_wait_until_there_is_room() -> None:
    args = ["--worker-connections", "2", "--keep-alive", "30"]
    with (
        run_server(SITE, args=args) as server,
        open_wire(server) as first,
        open_wire(server) as second,
        open_wire(server) as third,
    ):
        for wire in (first, second):
            assert wire.ask(request()).status == 200
        third.send(request())
        assert first.ask(request()).status == 200
        third.sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            third.read_response()
        first.sock.close()
        third.sock.settimeout(10)
        assert third.read_response().status == 200
        assert second.ask(request()).status == 200


def test_a_worker_is_replaced_after_max_requests_and_nobody_notices() -> None:
    with run_server(SITE, args=["--max-requests", "5", "--keep-alive", "30"]) as server:
        first = server.worker_pid()
        with open_wire(server) as wire:
            answers = [wire.ask(request()) for _ in range(5)]
            assert [answer.status for answer in answers] == [200] * 5
            assert ["connection" in answer for answer in answers] == [False] * 4 + [True]
            assert wire.is_ended()
        assert [ask(server, request()).status for _ in range(12)] == [200] * 12
        assert server.worker_pid() != first
        server.wait_for_log("Autorestarting worker after 5 requests.", count=3)


def test_limits_on_heads_are_gunicorns() -> None:
    args = ["--limit-request-line", "100", "--limit-request-fields", "3"]
    with run_server(SITE, args=[*args, "--limit-request-field_size", "50"]) as server:
        assert ask(server, request("/" + "a" * 80)).status == 404
        assert ask(server, request("/" + "a" * 101)).status == 414
        assert ask(server, request("/", "A: 1", "B: 2")).status == 200
        assert ask(server, request("/", "A: 1", "B: 2", "C: 3")).status == 431
        assert ask(server, request("/", "A: " + "x" * 50)).status == 431
