"""A WebSocket's opening handshake behind a request whose answer its client has not read yet."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.integration.servers import Server
from tests.integration.sockets import handshake
from tests.integration.wire import Wire, open_wire, request
from tests.wsgi_bridge.protocols.frames import TEXT, client_frame

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
SERVER = {"app": "tests.apps.life:application"}
# More than the kernel takes for a client that reads nothing, and less than that and what a server
# lets wait before it holds the next request back.
SIZE = 1_500_000


@contextlib.contextmanager
def open_narrow(server: Server) -> Iterator[Wire]:
    """Connect with as small a window as there can be."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        yield Wire(sock)


def wait_for_answer(server: Server) -> None:
    """Wait until what was asked before is answered: all went through the same hub."""
    with open_wire(server) as other:
        for _ in range(3):
            assert other.ask(request()).status == 200


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_an_upgrade_waits_for_the_answer_before_it(server: Server, is_pipelined: bool) -> None:
    first, second = request(f"/block?size={SIZE}"), handshake(server, "/echo")
    with open_narrow(server) as wire:
        wire.send(first + second if is_pipelined else first)
        wait_for_answer(server)
        if not is_pipelined:
            wire.send(second)
            wait_for_answer(server)
        answer = wire.read_response()
        assert answer.content == b"x" * SIZE
        assert wire.read_head().status == 101
        wire.send(client_frame(TEXT, b"still in order"))
        assert wire.read_exactly(16) == b"\x81\x0estill in order"
