"""The worker loop answers every opening handshake: the consumer's word, the rule, or the site's."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, RECEIVE, Loop, answers
from wsgi_bridge import DenyConnection, route

# Handshakes


def test_a_connect_that_says_nothing_is_accepted():
    loop = Loop([route(CONNECT, lambda message: None)])
    loop.connect()
    assert loop.answers() == [{"accept": True}]


@pytest.mark.parametrize("answer", [{"accept": False}, {"close": True}, {"text": "hello"}])
def test_a_connect_that_answers_is_not_answered_again(answer):
    loop = Loop([route(CONNECT, lambda message: message.reply_channel.send(answer))])
    loop.connect()
    assert loop.answers() == [answer]


def test_a_connect_that_answers_at_once_is_not_answered_again():
    def consumer(message):
        message.reply_channel.send({"accept": False}, immediately=True)

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    assert loop.answers() == [{"accept": False}]


def test_a_connect_that_is_denied_has_its_status_and_reason_and_nothing_it_sent():
    def consumer(message):
        message.reply_channel.send({"accept": True, "text": "secret"})
        raise DenyConnection("not you", status=401)

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    assert loop.answers() == [{"accept": False, "status": 401, "content": b"not you"}]


def test_a_path_with_any_websocket_route_is_accepted():
    loop = Loop([route(RECEIVE, lambda message: None, path="^/chat$")])
    loop.connect(path="/chat")
    assert loop.answers() == [{"accept": True}]


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "404 Not Found"])
def test_a_path_without_one_is_a_404(status):
    loop = Loop([route(RECEIVE, lambda message: None, path="^/chat$")], app=answers(status))
    loop.connect(path="/nowhere")
    [answer] = loop.answers()
    assert (answer["accept"], answer["status"]) == (False, 404)


# Handshakes that the site may take


class Socket:
    def __init__(self, is_taken):
        self.is_taken = is_taken
        self.finished = 0

    def finish(self):
        self.finished += 1


def shown_to_site(app, is_taken=False):
    socket = Socket(is_taken)
    loop = Loop([], app=app, socket_of=lambda reply: socket, socket_key="the.socket")
    loop.connect(path="/sock", scheme="ws", http_version="1.1", root_path="")
    return loop.answers(), socket


def test_the_site_finds_the_socket_in_its_environ():
    seen = []

    def app(environ, start_response):
        seen.append(environ)
        return answers("404 Not Found")(environ, start_response)

    _, socket = shown_to_site(app)
    assert seen[0]["the.socket"] is socket
    assert (seen[0]["PATH_INFO"], seen[0]["REQUEST_METHOD"]) == ("/sock", "GET")
    assert socket.finished == 0


def test_a_site_that_took_the_socket_is_not_answered_for():
    def app(environ, start_response):
        raise StopIteration

    found, socket = shown_to_site(app, is_taken=True)
    assert (found, socket.finished) == ([], 1)


@pytest.mark.parametrize(("status", "expected"), [("302 Found", 302), ("401 No", 401)])
def test_a_sites_refusal_is_the_handshakes(status, expected):
    [answer], _ = shown_to_site(answers(status, b"why"))
    assert (answer["accept"], answer["status"], answer["content"]) == (False, expected, b"why")


def test_a_site_that_answers_with_a_page_knows_no_websockets_there():
    [answer], _ = shown_to_site(answers("200 OK", b"a page"))
    assert (answer["accept"], answer["status"]) == (False, 404)


def test_a_site_that_fails_is_a_500():
    def app(environ, start_response):
        raise ValueError("x")

    [answer], _ = shown_to_site(app)
    assert (answer["accept"], answer["status"]) == (False, 500)
