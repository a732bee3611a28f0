"""The hand-over in a worker, with a uWSGI that is a fake."""

from __future__ import annotations

import io
import os
import socket
import sys
import types

import msgpack
import pytest

from tests.uwsgi_asgi.environ import make_environ, make_handshake
from uwsgi_asgi import handoff
from uwsgi_asgi.handoff import HandOff, hand_off_of_bridge
from uwsgi_asgi.queue import ConnectionQueue
from wsgi_bridge import Bridge, route


class Answer:
    """What a worker's server was told."""

    def __call__(self, status, headers):
        self.status, self.headers = status, dict(headers)


def site(environ, start_response):
    start_response("200 OK", [])
    return [b"a page"]


bridge = Bridge(site, [route("websocket.receive", print, path="^/ws$")])


@pytest.fixture
def queue(monkeypatch):
    made = ConnectionQueue.make()
    monkeypatch.setattr(handoff, "_found", [handoff.Worker(made)])
    yield made
    made.close()


@pytest.fixture
def client(monkeypatch):
    """The client's end of the connection that the worker has."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    uwsgi = types.SimpleNamespace(connection_fd=theirs.fileno)
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    yield ours
    ours.close()
    theirs.close()


def ask(app, environ):
    answer = Answer()
    answer.content = b"".join(app(environ, answer))
    return answer


def take(queue):
    packet, [descriptor] = queue.take()
    return msgpack.unpackb(packet), socket.socket(fileno=descriptor)


def test_a_handshake_is_handed_over_with_its_connection(queue, client):
    answer = ask(HandOff(site), make_handshake(PATH_INFO="/ws"))
    assert (answer.status, answer.headers, answer.content) == (
        "101 Switching Protocols",
        {},
        b"",
    )
    [kind, message], connection = take(queue)
    with connection:
        assert (kind, message["path"], message["scheme"]) == ("websocket", "/ws", "ws")
        connection.send(b"from the terminator")
        assert client.recv(100) == b"from the terminator"


def test_uwsgi_is_left_with_nothing_to_read_or_to_write(queue, client):
    ask(HandOff(site), make_handshake())
    left = sys.modules["uwsgi"].connection_fd()
    client.send(b"a frame")
    assert os.read(left, 100) == b""
    os.write(left, b"what uWSGI answers")
    _, connection = take(queue)
    with connection:
        assert connection.recv(100) == b"a frame"
        connection.send(b"!")
        assert client.recv(100) == b"!"


@pytest.mark.parametrize("environ", [make_environ(), make_environ(HTTP_UPGRADE="h2c")])
def test_everything_else_is_the_sites(queue, client, environ):
    assert ask(HandOff(site), environ).content == b"a page"
    assert queue.take() is None


@pytest.mark.parametrize(("path", "is_handed"), [("/ws/x", True), ("/wsx", True), ("/", False)])
def test_paths_may_be_chosen(queue, client, path, is_handed):
    answer = ask(HandOff(site, paths="/ws"), make_handshake(PATH_INFO=path))
    assert (answer.status == "101 Switching Protocols") is is_handed


@pytest.mark.parametrize(("path", "is_handed"), [("/ws", True), ("/other", False)])
def test_a_bridge_hands_over_what_it_routes(queue, client, path, is_handed):
    answer = Answer()
    found = hand_off_of_bridge(bridge, make_handshake(PATH_INFO=path), answer)
    assert (found is not None) is is_handed
    assert hand_off_of_bridge(bridge, make_environ(PATH_INFO=path), answer) is None


def test_without_uwsgi_everything_is_the_sites(monkeypatch):
    monkeypatch.setattr(handoff, "_found", [])
    monkeypatch.delenv("UWSGI_ASGI_QUEUE", raising=False)
    assert ask(HandOff(site), make_handshake()).content == b"a page"


@pytest.mark.parametrize(
    ("changes", "status", "headers"),
    [
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426, {"Sec-WebSocket-Version": "13"}),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400, {}),
        ({"HTTP_CONNECTION": "close"}, 400, {}),
        ({"REQUEST_METHOD": "POST"}, 405, {"Allow": "GET"}),
        ({"CONTENT_LENGTH": "3", "HTTP_TRANSFER_ENCODING": "chunked"}, 400, {}),
        ({"HTTP_COOKIE": "x" * 200_000}, 431, {}),
    ],
)
def test_what_is_no_handshake_is_answered_here(queue, client, changes, status, headers):
    answer = ask(HandOff(site), make_handshake(**changes))
    assert answer.status.startswith(f"{status} ")
    assert headers.items() <= answer.headers.items()
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert queue.take() is None


def test_a_full_queue_is_503_and_the_connection_stays_uwsgis(queue, client, monkeypatch):
    monkeypatch.setattr("uwsgi_asgi.queue.PAUSE", 0)
    while queue.put(b"x" * 1000, []):
        pass
    answer = ask(HandOff(site), make_handshake())
    assert answer.status.startswith("503 ")
    assert answer.headers["Retry-After"] == "1"
    os.write(sys.modules["uwsgi"].connection_fd(), b"the answer")
    assert client.recv(100) == b"the answer"


# Plain requests


def make_post(body, **changes):
    changes = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), **changes}
    return make_environ(**changes, **{"wsgi.input": io.BytesIO(body)})


@pytest.mark.parametrize("size", [0, 100, 200_000])
def test_a_request_is_handed_over_with_its_body(queue, client, size):
    answer = ask(HandOff(site, http="/long"), make_post(b"x" * size, PATH_INFO="/long/poll"))
    assert (answer.status, answer.content) == ("202 Accepted", b"")
    packet, [descriptor, *files] = queue.take()
    os.close(descriptor)
    kind, message = msgpack.unpackb(packet)
    body = message["body"]
    for file in files:
        with open(file, "rb") as stream:
            body += stream.read()
    assert (kind, message["path"], body) == ("http", "/long/poll", b"x" * size)


@pytest.mark.parametrize(
    ("own", "told", "is_handed"),
    [((), ("/a",), True), ("/a", (), True), ((), (), False), (("/b",), ("/c",), False)],
)
def test_only_what_is_opted_in_is(queue, client, monkeypatch, own, told, is_handed):
    monkeypatch.setattr(handoff, "_found", [handoff.Worker(queue, told)])
    answer = ask(HandOff(site, http=own), make_post(b"", PATH_INFO="/a"))
    assert (answer.status == "202 Accepted") is is_handed
    assert (hand_off_of_bridge(bridge, make_post(b"", PATH_INFO="/a"), Answer()) is not None) is (
        "/a" in told
    )


def test_a_bridge_hands_over_requests_that_it_has_a_route_for(queue, client):
    polls = Bridge(site, [route("http.request", print, path="^/poll$", method="GET")])
    assert (
        hand_off_of_bridge(polls, make_post(b"", PATH_INFO="/poll", REQUEST_METHOD="GET"), Answer())
        == []
    )
    assert hand_off_of_bridge(polls, make_environ(PATH_INFO="/other"), Answer()) is None
    assert hand_off_of_bridge(polls, make_post(b"", PATH_INFO="/poll"), Answer()) is None


@pytest.mark.parametrize("app", [HandOff(site), Bridge(site)])
def test_a_body_of_two_lengths_is_refused_also_of_what_stays(queue, client, app, monkeypatch):
    monkeypatch.setattr("wsgi_bridge.bridge._hand_offs", [hand_off_of_bridge])
    answer = ask(app, make_post(b"abc", HTTP_TRANSFER_ENCODING="chunked"))
    assert answer.status == "400 Bad Request"
