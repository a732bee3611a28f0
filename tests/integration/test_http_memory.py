"""Memory bounds over real sockets: a gigabyte each way, and clients that do not read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, ask, open_wire, request

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SITE = "tests.apps.site:application"
GIGABYTE = 1024**3
PIECE = b"x" * (1024 * 1024)
BOUND = 100 * 1024 * 1024  # bytes of resident memory that a worker may reach


@pytest.fixture
def server() -> Iterator[Server]:
    with run_server(SITE, args=["--keep-alive", "30"], may_log_errors=True) as running:
        yield running


def peak_memory(server: Server) -> int:
    """Return the most resident memory that the worker ever had, in bytes."""
    with open(f"/proc/{server.worker_pid()}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def test_an_upload_of_a_gigabyte_is_read_in_little_memory(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/count", f"Content-Length: {GIGABYTE}", method="POST"))
        for _ in range(GIGABYTE // len(PIECE)):
            wire.send(PIECE)
        assert wire.read_response().content == str(GIGABYTE).encode()
        assert wire.ask(request()).status == 200
    assert peak_memory(server) < BOUND


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_streamed_download_of_a_gigabyte_takes_little_memory(
    server: Server, version: str
) -> None:
    size = GIGABYTE if version == "1.1" else GIGABYTE // 4
    with open_wire(server) as wire:
        wire.send(request(f"/stream?count={size // 65536}&size=65536", version=version))
        assert drain(wire.sock) >= size
    assert peak_memory(server) < BOUND


def drain(sock: socket.socket) -> int:
    """Read to the end, or until a last chunk; return how many bytes there were."""
    buffer = bytearray(1024 * 1024)
    total, end = 0, b""
    while received := sock.recv_into(buffer):
        total += received
        end = (end + buffer[max(0, received - 7) : received])[-7:]
        if end == b"\r\n0\r\n\r\n":
            break
    return total


def test_clients_that_do_not_read_are_bounded_and_disturb_nobody(server: Server) -> None:
    count = 20
    before = psutil.Process(server.worker_pid()).memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            wire = stack.enter_context(open_wire(server))
            wire.send(request("/endless"))
            wire.read_head()
        wait_until_stalled(server)
        started = time.monotonic()
        for _ in range(20):
            assert ask(server, request()).status == 200
        assert time.monotonic() - started < 2
        grown = psutil.Process(server.worker_pid()).memory_info().rss - before
        # A window each on its way, one in the write buffer, and copies of both in the making.
        assert grown < count * 2 * 1024 * 1024
    server.wait_for(
        lambda: ask(server, request("/seen?name=endless+closed")).content == b"%d" % count,
        "all streams to be closed",
    )


def wait_until_stalled(server: Server) -> None:
    """Wait until the app has been asked for nothing for a while."""
    blocks, since = -1, time.monotonic()
    while time.monotonic() - since < 0.3:
        found = int(ask(server, request("/seen?name=blocks")).content)
        if found != blocks:
            blocks, since = found, time.monotonic()
        time.sleep(0.01)


def test_uploads_that_the_app_does_not_read_are_bounded(server: Server) -> None:
    count = 20
    before = psutil.Process(server.worker_pid()).memory_info().rss
    wires: list[Wire] = []
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            wire = stack.enter_context(open_wire(server))
            wire.send(request("/read-when-open?gate=up", f"Content-Length: {4 * len(PIECE)}",
                              method="POST"))  # fmt: skip
            wires.append(wire)
        senders = [threading.Thread(target=wire.send, args=[PIECE * 4]) for wire in wires]
        for sender in senders:
            sender.start()
        server.wait_for(
            lambda: ask(server, request("/seen?name=waiting+up")).content == b"%d" % count,
            "all uploads to be handled",
        )
        grown = psutil.Process(server.worker_pid()).memory_info().rss - before
        assert grown < count * 1024 * 1024
        ask(server, request("/open?gate=up"))
        for wire in wires:
            assert len(wire.read_response().content) == 4 * len(PIECE)
        for sender in senders:
            sender.join()
