"""Plain requests of a site on uWSGI that are handed over: they hold no worker."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest

from tests.integration.uwsgi_servers import run_uwsgi
from tests.integration.wire import ask, chunked, open_wire, post, request

pytestmark = pytest.mark.integration
APP = "tests.apps.handed_http:application"
SMALL, LARGE = b"x" * 1000, bytes(range(256)) * 8192  # 2 MB


@pytest.fixture(scope="module")
def server():
    with run_uwsgi(APP, ["--http", "/held"]) as running:
        yield running


def who(response):
    assert response.status == 200
    return json.loads(response.content)


def wait_for_free_worker(server):
    """Both workers answer, one at a time, at once: none is held."""
    for _ in range(4):
        assert who(ask(server, request("/")))["pid"] in server.worker_pids()


@pytest.mark.parametrize("body", [b"", SMALL, LARGE])
@pytest.mark.parametrize("target", ["/held/x%20y?a=1", "/plain?a=1"])
def test_the_site_sees_the_same_request_wherever_it_is_served(server, target, body):
    seen = who(ask(server, post(target, body, "Cookie: a=b")))
    is_held = target.startswith("/held")
    assert (seen["pid"] in server.mule_pids("consumer")) is is_held
    assert (seen["pid"] in server.worker_pids()) is not is_held
    assert seen["path"] == target.partition("?")[0].replace("%20", " ")
    assert (seen["method"], seen["query"], seen["cookie"]) == ("POST", "a=1", "a=b")
    assert (seen["size"], seen["digest"]) == (len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("target", ["/held", "/plain"])
@pytest.mark.parametrize("chunks", [[b"one", b"two"], [b"x" * 70_000] * 10])
def test_a_chunked_body_comes_whole(server, target, chunks):
    seen = who(ask(server, chunked(target, chunks)))
    body = b"".join(chunks)
    assert (seen["size"], seen["digest"]) == (len(body), hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("target", ["/held", "/plain"])
def test_a_body_of_two_lengths_is_refused(server, target):
    data = request(
        target, "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n0\r\n\r\n"
    )
    assert ask(server, data).status == 400


def test_a_head_request_has_no_content(server):
    with open_wire(server) as wire:
        response = wire.ask(request("/held", method="HEAD"), is_head=True)
        assert (response.status, response["x-site"]) == (200, "yes")
        assert wire.read_rest() == b""


def test_streams_and_downloads_hold_no_worker(server):
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(open_wire(server)) for _ in range(6)]
        for wire in wires[:3]:
            wire.send(request("/held/events"))
        for wire in wires[3:]:
            wire.send(request("/held/download"))
        for wire in wires[:3]:
            assert wire.read_head().status == 200
            assert b"data: 2" in wire.read_until(b"data: 2\n\n")
        wait_for_free_worker(server)
        for wire in wires[3:]:
            assert len(wire.read_response().content) == 20 * 2**20
    server.wait_for_log("the stream was closed", count=3)


def test_a_long_poll_waits_for_a_group(server):
    with open_wire(server) as one, open_wire(server) as two:
        for wire in (one, two):
            wire.send(request("/poll"))
        server.wait_for(lambda: _is_answered(server, one), "a poll to wait")
        wait_for_free_worker(server)
        assert one.read_response().content == b"answered"


def _is_answered(server, wire):
    """Send to the group; whether the poll has its answer, and so was in it."""
    assert ask(server, request("/send")).status == 204
    wire.sock.settimeout(0.2)
    try:
        return wire.sock.recv(1, 2)  # MSG_PEEK
    except TimeoutError:
        return False
    finally:
        wire.sock.settimeout(10)


def test_a_stop_ends_a_stream_of_events_at_once():
    with run_uwsgi(APP, ["--http", "/held"]) as server, open_wire(server) as wire:
        wire.send(request("/held/events"))
        wire.read_until(b"data: 2\n\n")
        assert server.stop() < 4
        wire.read_rest()  # which a reset would not let it
        assert "the stream was closed" in server.log()


def test_a_stop_cuts_what_does_not_end_so_that_it_is_seen():
    with (
        run_uwsgi(APP, ["--http", "/held", "--graceful-timeout", "0.5"]) as server,
        open_wire(server) as wire,
    ):
        wire.send(request("/held/lines"))
        wire.read_until(b"line 2\n")
        server.stop()
        with pytest.raises(ConnectionResetError):
            wire.read_rest()
        assert "the stream was closed" in server.log()
