"""HTTP by consumers: routes beside an unmodified site, long polls by groups, wrong answers."""

from __future__ import annotations

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import ask, chunked, open_wire, post, request

pytestmark = pytest.mark.integration

# At level `debug` a storm of one event is told line by line.
SERVER = {
    "app": "tests.apps.consumers:application",
    "args": ["--log-level", "debug"],
    "may_log_errors": True,
}


def show(server: Server, name: str) -> int:
    return int(ask(server, request("/show/" + name)).content)


def test_a_route_goes_before_the_site_and_the_site_has_the_rest(server: Server) -> None:
    with open_wire(server) as wire:
        assert wire.ask(request("/hello/Ada")).content == b"Hello, Ada!\n"
        assert wire.ask(request("/")).content == b"Hello, world!\n"
        assert wire.ask(request("/hello/Ada", method="POST")).status == 404
        assert wire.ask(request("/hello/Ada", method="HEAD"), is_head=True).status == 404


def test_a_consumer_may_answer_in_pieces(server: Server) -> None:
    with open_wire(server) as wire:
        assert wire.ask(request("/consumer/stream")).content == b"abc"
        assert wire.ask(request("/hello/Ada")).status == 200


def test_a_group_message_answers_every_long_poll(server: Server) -> None:
    before = show(server, "polls")
    with open_wire(server) as one, open_wire(server) as two:
        for wire in (one, two):
            wire.send(request("/poll"))
        server.wait_for(lambda: show(server, "polls") == before + 2, "both polls")
        assert ask(server, request("/news")).status == 204
        for wire in (one, two):
            assert wire.read_response().content == b"news"
            assert wire.ask(request("/hello/Ada")).status == 200


@pytest.mark.parametrize(
    ("target", "path"),
    [("/poll/a%20b?query", "/poll/a%20b"), ("http://a.example/poll/absolute", "/poll/absolute")],
)
def test_a_client_that_leaves_a_poll_is_a_disconnect(
    server: Server, target: str, path: str
) -> None:
    before = show(server, "disconnects")
    polls = show(server, "polls")
    with open_wire(server) as wire:
        wire.send(request(target))
        server.wait_for(lambda: show(server, "polls") == polls + 1, "the poll")
    server.wait_for(lambda: show(server, "disconnects") == before + 1, "the disconnect")
    assert show(server, "disconnected%20" + path) == 1
    ask(server, request("/news"))  # nobody waits for an answer to it any more


def test_a_finished_response_is_no_disconnect(server: Server) -> None:
    before = show(server, "disconnects")
    for _ in range(10):
        assert ask(server, request("/hello/Ada")).status == 200
    assert show(server, "disconnects") == before


@pytest.mark.parametrize("page", ["fail", "exit"])
def test_a_consumer_that_fails_is_a_500(server: Server, page: str) -> None:
    assert ask(server, request("/consumer/" + page)).status == 500
    server.wait_for_log("the consumer failed")


def test_an_answer_that_was_sent_before_the_failure_counts(server: Server) -> None:
    assert ask(server, request("/consumer/fail-after")).content == b"sent before"


@pytest.mark.parametrize("page", ["/consumer/fail-in-stream", "/wrong-stream"])
def test_a_stream_that_fails_is_visibly_broken_off(server: Server, page: str) -> None:
    response = ask(server, request(page))
    assert response.status == 200
    assert not response.is_complete


@pytest.mark.parametrize(
    "kind",
    ["status", "no-status", "text", "none", "field", "text-field", "lone-field", "number-field",
     "headers", "informational"],
)  # fmt: skip
def test_an_answer_that_is_not_http_is_a_500(server: Server, kind: str) -> None:
    with open_wire(server) as wire:
        assert wire.ask(request("/wrong/" + kind)).status == 500
        assert wire.ask(request("/hello/Ada")).status == 200
    server.wait_for_log(f"response to GET b'/wrong/{kind}' cannot be sent")


def test_the_bridge_is_clean_under_wsgiref_validate() -> None:
    with run_server("tests.apps.consumers:validated") as server:
        for data in (
            request("/?a=b", "X-One: 1", "X-One: 2"),
            request("/", version="1.0"),
            request("/status:404"),
            post("/digest", b"body"),
            post("/digest", b"x" * 200_000),
            chunked("/digest", [b"bo", b"dy"]),
            request("/stream?count=3&size=70000"),
            request("/", method="OPTIONS"),
        ):
            with open_wire(server) as wire:
                assert wire.ask(data).status in (200, 404)
        with open_wire(server) as wire:
            wire.send(request(method="HEAD"))
            assert wire.read_response(is_head=True).status == 200
