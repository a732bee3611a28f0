"""What the client sees when something fails: the app, the layer, or nobody answers in time."""

from __future__ import annotations

import json
import select
import time
from pathlib import Path

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import ask, open_wire, post, request

pytestmark = pytest.mark.integration

SITE = "tests.apps.site:application"
SERVER = {"app": SITE, "may_log_errors": True}


@pytest.mark.parametrize("page", ["/fail", "/exit"])
def test_an_app_that_fails_before_its_first_byte_is_a_500(server: Server, page: str) -> None:
    with open_wire(server) as wire:
        for _ in range(2):
            response = wire.ask(request(page))
            assert response.status == 500
            assert b"page" not in response.content, "the reason is for the log"
        assert wire.ask(request()).status == 200
    server.wait_for_log(f"the app failed at GET '{page}'", count=2)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_app_that_fails_later_visibly_breaks_its_response_off(
    server: Server, version: str
) -> None:
    with open_wire(server) as wire:
        response = wire.ask(request("/fail-later", version=version))
        assert (response.status, response.content) == (200, b"begun")
        assert response.is_complete is (version == "1.0"), "which cannot say where content ends"
        assert wire.is_ended()


@pytest.mark.parametrize(
    "field",
    [
        ["X-Injected", "a\r\nSet-Cookie: b=c"],
        ["X-Injected", "a\nb"],
        ["X-Injected", "a\0b"],
        ["X-Injected\r\nX-More", "a"],
        ["X Injected", "a"],
        ["", "a"],
        ["X-Injected", "\u20ac"],
        ["Content-Length", "-1"],
        ["Content-Length", "1, 1"],
    ],
)
def test_a_field_that_could_split_the_response_is_a_500(server: Server, field: list[str]) -> None:
    with open_wire(server) as wire:
        response = wire.ask(post("/fields", json.dumps([field]).encode()))
        assert response.status == 500
        assert not {"x-injected", "set-cookie", "x-more"} & {name for name, _ in response.fields}
        assert wire.ask(request()).status == 200


def test_a_failing_head_request_has_no_content(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/fail", method="HEAD") + request())
        assert wire.read_response(is_head=True).status == 500
        assert wire.read_response().content == b"Hello, world!\n"


def test_a_full_layer_is_a_503_that_says_when_to_come_again(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    env = {
        "CHANNEL_LAYER": "memory://?capacity=1&channel_capacity=http.*:1",
        "ASGI_POOL_SIZE": "1",
        "GATE_FILE": str(gate),
    }
    with run_server(SITE, env=env) as server, open_wire(server) as running:
        running.send(request("/wait-for-file"))
        server.wait_for_log("site: waiting")
        with open_wire(server) as one, open_wire(server) as other:
            one.send(request())
            other.send(request())
            # Which of the two is one too many depends on who was accepted first.
            ready, _, _ = select.select([one.sock, other.sock], [], [], 10)
            refused, waiting = (one, other) if one.sock in ready else (other, one)
            response = refused.read_response()
            assert (response.status, response["retry-after"]) == (503, "1")
            assert response["connection"] == "close"
            assert refused.is_ended()
            gate.touch()
            assert running.read_response().status == 200
            assert waiting.read_response().status == 200


def test_nobody_waits_longer_than_http_timeout() -> None:
    with run_server(SITE, env={"ASGI_HTTP_TIMEOUT": "0.3"}) as server:
        started = time.monotonic()
        with open_wire(server) as wire:
            response = wire.ask(request("/wait?gate=late"))
            assert (response.status, response["connection"]) == (504, "close")
            assert 0.3 <= time.monotonic() - started < 1.5
            assert wire.is_ended()
        with open_wire(server) as wire:
            wire.send(request("/read-and-note", "Content-Length: 100000", method="POST") + b"half")
            assert wire.read_response().status == 504
        # The app that waited for the rest was told.
        server.wait_for(
            lambda: ask(server, request("/seen?name=read+failed")).content == b"1", "the app's end"
        )
        assert ask(server, request("/open?gate=late")).status == 200


def test_a_stream_that_begins_after_its_504_is_ended_too() -> None:
    with run_server(SITE, env={"ASGI_HTTP_TIMEOUT": "0.3"}) as server:
        assert ask(server, request("/endless-late?gate=late")).status == 504
        assert ask(server, request("/open?gate=late")).status == 200
        server.wait_for(
            lambda: ask(server, request("/seen?name=endless+closed")).content == b"1",
            "the stream to be closed",
        )
