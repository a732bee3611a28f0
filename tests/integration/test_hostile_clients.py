"""Clients that mean harm, each against the limit that ends it, over real sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, ask, open_wire, post, request

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
BIG = 70_000  # bytes of a body past what comes inline
# Short times, and longer ones where an honest client of these tests could be late, too.
SERVER = {
    "app": SITE,
    "args": ["--keep-alive", "30", "--forwarded-allow-ips", "192.0.2.1"],
    "env": {
        "ASGI_HEAD_TIMEOUT": "1",
        "ASGI_BODY_TIMEOUT": "0.2",
        "ASGI_MIN_BODY_RATE": "1000",
        "ASGI_WRITE_TIMEOUT": "0.2",
        "ASGI_MIN_WRITE_RATE": "1000",
        "ASGI_MAX_PIPELINED": "10",
    },
}


def send_slowly(wire: Wire, data: bytes) -> bool:
    """Send a byte every 20 ms, until there is an answer; whether there was one before the end."""
    wire.sock.settimeout(0.02)
    for number in data:
        try:
            wire.send(bytes([number]))
            if wire.sock.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    else:
        return False
    wire.sock.settimeout(10)
    return True


def test_a_head_that_drips_is_a_408(server: Server) -> None:
    with open_wire(server) as wire:
        assert send_slowly(wire, request("/", "X-Long: " + "x" * 1000))
        assert wire.read_response().status == 408


@pytest.mark.parametrize("size", [1000, BIG])
def test_a_body_that_drips_is_a_408(server: Server, size: int) -> None:
    with open_wire(server) as wire:
        wire.send(post("/count", b"x" * size)[: -size + 1])
        assert send_slowly(wire, b"x" * 999)
        assert wire.read_response().status == 408
        assert wire.is_ended()


def test_a_chunked_body_that_drips_is_a_408(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/count", "Transfer-Encoding: chunked", method="POST"))
        assert send_slowly(wire, b"1\r\nx\r\n" * 200)
        assert wire.read_response().status == 408


@pytest.fixture
def narrow(server: Server) -> Iterator[Wire]:
    """A connection whose client has little room for what it does not read."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        yield Wire(sock)


@pytest.mark.parametrize("target", ["/block?size=20000000", "/endless"])
@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_a_client_that_reads_nothing_is_reset(
    server: Server, narrow: Wire, target: str, fields: tuple[str, ...]
) -> None:
    narrow.send(request(target, *fields))
    server.wait_for(lambda: is_reset(narrow), "the connection's reset")
    server.wait_for(lambda: "clients given up" in server.log(), "a word about it")


def is_reset(wire: Wire) -> bool:
    """Whether the server has reset a connection of which nothing is read."""
    return wire.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def test_a_client_that_reads_a_little_now_and_then_is_reset(server: Server, narrow: Wire) -> None:
    narrow.send(request("/block?size=20000000"))
    server.wait_for(lambda: narrow.sock.recv(1) and is_reset(narrow), "the connection's reset")


def test_requests_of_a_client_that_does_not_read_are_not_taken(
    server: Server, narrow: Wire
) -> None:
    block = request("/block?size=9000000")
    narrow.send(block * 5 + request("/note?name=never"))
    server.wait_for(lambda: is_reset(narrow), "the connection's reset")
    assert ask(server, request("/seen?name=never")).content == b"0"


def test_more_requests_than_may_wait_are_all_answered(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request() * 500)
        assert [wire.read_response().status for _ in range(500)] == [200] * 500


ADDRESSES = {"ASGI_MAX_CONNECTIONS_PER_ADDRESS": "3"}
NOBODY = ["--forwarded-allow-ips", "192.0.2.1", "--keep-alive", "30"]


def test_an_address_has_no_more_connections_than_it_may() -> None:
    with (
        run_server(SITE, args=NOBODY, env=ADDRESSES) as server,
        contextlib.ExitStack() as stack,
    ):
        wires = [stack.enter_context(open_wire(server)) for _ in range(3)]
        assert [wire.ask(request()).status for wire in wires] == [200] * 3
        with open_wire(server) as refused:
            response = refused.read_response()
            assert (response.status, response["retry-after"]) == (503, "10")
            assert refused.is_ended()
        wires[0].sock.close()
        server.wait_for(lambda: has_room(server), "room for another")
        assert server.log().count("has 3 connections, and gets no more") == 1


def has_room(server: Server) -> bool:
    """Whether a new connection is served."""
    with open_wire(server) as wire:
        wire.sock.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            return not wire.sock.recv(1)
        wire.sock.settimeout(10)
        return wire.ask(request()).status == 200


def test_proxies_and_unix_sockets_have_as_many_as_they_like(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    binds = ("127.0.0.1:0", f"unix:{path}")
    with (
        run_server(SITE, binds=binds, env=ADDRESSES) as server,  # 127.0.0.1 is gunicorn's default
        contextlib.ExitStack() as stack,
    ):
        for _ in range(5):
            assert stack.enter_context(open_wire(server)).ask(request()).status == 200
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(10)
            sock.connect(str(path))
            assert Wire(sock).ask(request()).status == 200
