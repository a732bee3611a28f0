"""Request bodies over real sockets: chunked, awaited, ignored, broken off; clients that go away."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.integration.servers import Server
from tests.integration.wire import Wire, ask, chunked, open_wire, post, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]

# Some of these apps are left alone in the middle of their work, which is logged.
SERVER = {
    "app": "tests.apps.site:application",
    "args": ["--keep-alive", "30"],
    "may_log_errors": True,
}
MEGABYTE = 1024 * 1024
SOON = 1.0  # seconds within which an app is told that nobody listens


def seen(server: Server, name: str) -> int:
    return int(ask(server, request(f"/seen?name={name}")).content)


def open_gate(server: Server, name: str) -> None:
    assert ask(server, request(f"/open?gate={name}")).content == b"opened"


def wait_for_waiting(server: Server, name: str, count: int = 1) -> None:
    server.wait_for(lambda: seen(server, f"waiting+{name}") >= count, f"a request at gate {name}")


def head_of_post(target: str, *fields: str) -> bytes:
    return request(target, *fields, method="POST")


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 400_000, 3 * MEGABYTE])
def test_a_body_of_any_size_comes_whole(server: Server, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    expected = f"{size} {hashlib.sha256(body).hexdigest()}".encode()
    with open_wire(server) as wire:
        assert wire.ask(post("/digest", body)).content == expected
        assert wire.ask(chunked("/digest", [body] if body else [])).content == expected
        assert wire.ask(request()).status == 200


def test_ten_thousand_chunks_of_a_byte_come_whole(server: Server) -> None:
    with open_wire(server) as wire:
        data = chunked("/echo", [b"x"] * 10_000, trailer="X-Checksum: 1\r\n")
        assert wire.ask(data).content == b"x" * 10_000
        assert wire.ask(request()).status == 200


def test_an_app_may_read_while_it_answers(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(head_of_post("/read-late", f"Content-Length: {MEGABYTE}"))
        wire.read_head()
        assert wire.read_chunk() == b"first\n"
        wire.send(b"x" * MEGABYTE)
        wire.send(b"")
        content = b"".join(iter(wire.read_chunk, b""))
        assert content == b"x" * MEGABYTE


# Expect: 100-continue


def test_100_continue_comes_when_the_app_reads_and_not_before(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(head_of_post("/read-when-open?gate=expect", "Expect: 100-continue",
                               "Content-Length: 4"))  # fmt: skip
        wait_for_waiting(server, "expect")
        wire.sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            wire.read_head()
        wire.sock.settimeout(10)
        open_gate(server, "expect")
        assert wire.read_head().status == 100
        wire.send(b"body")
        assert wire.read_response().content == b"body"
        assert wire.ask(request()).status == 200


@pytest.mark.parametrize("target", ["/", "/status:404", "/stream?count=2"])
def test_an_app_that_does_not_read_answers_without_100(server: Server, target: str) -> None:
    with open_wire(server) as wire:
        wire.send(head_of_post(target, "Expect: 100-continue", "Content-Length: 1000000"))
        response = wire.read_response()
        assert response.interim == []
        assert response["connection"] == "close"
        assert wire.is_ended()


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_client_that_does_not_wait_for_100_is_served_too(server: Server, size: int) -> None:
    with open_wire(server) as wire:
        for _ in range(3):
            wire.send(post("/echo", b"x" * size, "Expect: 100-continue"))
            assert wire.read_response().content == b"x" * size


def test_a_client_of_http_10_is_never_sent_100(server: Server) -> None:
    data = request("/echo", "Expect: 100-continue", method="POST", version="1.0", body=b"body")
    response = ask(server, data)
    assert (response.content, response.interim) == (b"body", [])


# Bodies that nobody reads


@pytest.mark.parametrize("target", ["/", "/fail", "/stream?count=3", "/status:413"])
def test_the_answer_to_an_upload_that_is_ignored_can_be_read(server: Server, target: str) -> None:
    with open_wire(server) as wire:
        wire.send(head_of_post(target, f"Content-Length: {50 * MEGABYTE}"))
        wire.send(b"x" * (8 * MEGABYTE))
        response = wire.read_response()
        assert response.is_complete
        assert response["connection"] == "close"
        assert wire.is_ended()


def test_a_small_body_that_is_ignored_leaves_the_connection_as_it_was(server: Server) -> None:
    with open_wire(server) as wire:
        assert wire.ask(post("/", b"x" * 1000)).status == 200
        assert wire.ask(request()).content == b"Hello, world!\n"


# Bodies that break off, clients that go away


def test_an_app_learns_that_its_client_left_in_the_middle_of_the_body(server: Server) -> None:
    before = seen(server, "read+failed")
    for leave in (Wire.reset, Wire.end_sending):
        with open_wire(server) as wire:
            wire.send(head_of_post("/read-and-note", "Content-Length: 100000") + b"half")
            leave(wire)
            before += 1
            server.wait_for(
                lambda count=before: seen(server, "read+failed") == count, "the app to be told"
            )


def test_a_body_that_turns_out_broken_is_answered_with_400(server: Server) -> None:
    before = seen(server, "read+failed")
    with open_wire(server) as wire:
        wire.send(head_of_post("/read-and-note", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n")
        wire.send(b"zzz\r\n")
        assert wire.read_response().status == 400
        assert wire.is_ended()
    server.wait_for(lambda: seen(server, "read+failed") == before + 1, "the app to be told")


@pytest.mark.parametrize("leave", [Wire.reset, Wire.end_sending])
@pytest.mark.parametrize("target", ["/endless", "/endless?size=1&pause=0.01"])
def test_an_endless_stream_is_closed_soon_after_its_client_left(
    server: Server, target: str, leave: object
) -> None:
    before = seen(server, "endless+closed")
    with open_wire(server) as wire:
        wire.send(request(target))
        wire.read_head()
        wire.read_chunk()
        started = time.monotonic()
        leave(wire)  # type: ignore[operator]
        server.wait_for(lambda: seen(server, "endless+closed") > before, "the stream's end")
        assert time.monotonic() - started < SOON


def test_a_client_that_leaves_a_long_poll_disturbs_nobody(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/wait?gate=poll"))
        wait_for_waiting(server, "poll")
        wire.reset()
    assert ask(server, request()).status == 200
    open_gate(server, "poll")
    assert ask(server, request("/wait?gate=poll")).content == b"the gate is open"


def test_a_client_that_reads_late_gets_everything(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/stream?count=400&size=50000") + request())
        assert ask(server, request()).status == 200
        assert wire.read_response().content == b"x" * 20_000_000
        assert wire.read_response().content == b"Hello, world!\n"
