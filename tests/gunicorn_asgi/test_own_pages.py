"""Pages that a server answers without a consumer, and what watching a site leaves alone."""

from __future__ import annotations

import pytest

from gunicorn_asgi.health import answer_live, make_ready_page
from tests.gunicorn_asgi.rig import HttpRig, get, post, settle
from wsgi_bridge.protocols.http import error_response


class Layer:
    """Whether the layer is there, as a test has it."""

    def __init__(self):
        self.is_there = True

    def __call__(self):
        return self.is_there


@pytest.fixture
def layer():
    return Layer()


@pytest.fixture
def asked():
    """What a page that is answered later is to tell, once for each time it was asked."""
    return []


@pytest.fixture
def rig(layer, asked):
    with HttpRig() as rig:
        rig.http.serve_pages(
            {
                b"/live": answer_live,
                b"/ready": make_ready_page(rig.server, layer),
                b"/later": lambda request, client, tell: asked.append(tell),
            }
        )
        yield rig


@pytest.mark.parametrize("target", ["/live", "/live?verbose=1"])
def test_a_server_that_is_not_stuck_lives(rig, target):
    client = rig.accept(get(target, "Connection: close"))
    answer = client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nCache-Control: no-store\r\n" in answer
    assert answer.endswith(b"\r\n\r\nlive\n")
    assert rig.pending() == 0


@pytest.mark.parametrize("target", ["/live/", "/livelier", "/", "//live"])
def test_other_paths_are_the_sites(rig, target):
    rig.accept(get(target))
    assert rig.request()["path"] == target


def test_who_is_ready_says_so_and_who_is_not_why(rig, layer):
    client = rig.accept(get("/ready"))
    assert client.read_head().startswith(b"HTTP/1.1 200 ")
    layer.is_there = False
    client = rig.accept(get("/ready", "Connection: close"))
    answer = client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"\r\n\r\nthe channel layer is unavailable\n")


def test_who_stops_is_not_ready_and_lives(rig):
    ready, live = rig.accept(), rig.accept()
    rig.server.stop()
    rig.http.stop()
    ready.send(get("/ready"))
    live.send(get("/live"))
    answer = ready.read_to_end()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"\r\n\r\nstopping\n")
    assert live.read_to_end().startswith(b"HTTP/1.1 200 ")


def test_requests_on_one_connection_may_be_for_both(rig):
    client = rig.accept(get("/live") + get("/a") + get("/live", "Connection: close"))
    settle()
    assert client.read_head().startswith(b"HTTP/1.1 200 ")
    rig.answer(rig.request(), b"from the site")
    rest = client.read_to_end()
    assert rest.index(b"from the site") < rest.rindex(b"live\n")


def test_a_head_request_is_answered_without_content(rig):
    client = rig.accept(b"HEAD /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_other_methods_are_refused(rig):
    client = rig.accept(post(b"x").replace(b"POST /", b"POST /live"))
    assert client.read_head().startswith(b"HTTP/1.1 405 ")
    client = rig.accept(b"DELETE /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = client.read_to_end()
    assert b"\r\nAllow: GET, HEAD\r\n" in answer


def test_a_body_that_is_still_to_come_is_not_taken_for_a_request(rig):
    head = b"GET /live HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client = rig.accept(head)
    settle()
    client.send(b"2a\r\n" + get("/smuggled"))
    answer = client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert rig.pending() == 0


def test_an_upgrade_is_no_page(rig):
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    rig.accept(get("/live", *fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
    assert rig.take()[0] == "websocket.connect"


def test_who_watches_is_in_no_statistics_and_no_log(rig):
    client = rig.accept(get("/live") + get("/ready", "Connection: close"))
    client.read_to_end()
    assert rig.counters.requests_count == 0
    assert rig.server.answers.histograms() == {}
    assert rig.logged == []


def test_a_page_may_be_answered_later(rig, asked):
    client = rig.accept(get("/later") + get("/live", "Connection: close"))
    settle()
    [tell] = asked
    tell(error_response(418))
    rest = client.read_to_end()
    assert rest.startswith(b"HTTP/1.1 418 ")
    assert rest.endswith(b"live\n")


def test_a_page_that_is_answered_too_late_is_a_504(rig, asked):
    client = rig.accept(get("/later"))
    settle()
    rig.advance(301)
    assert client.read_to_end().startswith(b"HTTP/1.1 504 ")
    asked[0](error_response(418))


def test_who_has_left_is_answered_no_more(rig, asked):
    client = rig.accept(get("/later"))
    settle()
    client.close()
    settle()
    rig.advance(11)
    settle()
    assert not rig.http.connections
    asked[0](error_response(418))
