"""The visitor's session in consumers: found by the handshake, for every event of the socket."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import (
    Bridge,
    WebsocketConsumer,
    channel_session,
    http_session,
    route,
    route_class,
)
from wsgi_bridge.consumers import Message
from wsgi_bridge.http_sessions import HttpSession
from wsgi_bridge.outbox import Outbox
from wsgi_bridge.testing import Client

CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"


class Sessions:
    """What a framework keeps, by the value of a cookie; and what it was asked."""

    def __init__(self):
        self.stored = {"a1": {"name": "ada"}}
        self.environs = []
        self.saved = []

    def load(self, environ):
        self.environs.append(environ)
        cookies = dict(
            pair.split("=", 1) for pair in environ.get("HTTP_COOKIE", "").split("; ") if pair
        )
        session = self.stored.get(cookies.get("id"), {})
        return session, lambda: self.saved.append(dict(session))


@pytest.fixture
def sessions():
    return Sessions()


def answer_with_name(message):
    message.reply_channel.send({"text": message.http_session.get("name", "nobody")})


def open_client(consumer):
    routing = [route([CONNECT, RECEIVE, DISCONNECT], consumer, path="^/")]
    return Client(Bridge(answers("200 OK"), routing))


def test_every_event_of_a_socket_has_the_session_of_its_handshake(sessions):
    consumer = http_session(sessions.load)(answer_with_name)
    with open_client(consumer) as client:
        with client.websocket("/", headers={"Cookie": "id=a1"}) as socket:
            assert socket.receive() == "ada"
            sessions.stored["a1"]["name"] = "eve"  # the framework's, now
            socket.send("x")
            assert socket.receive() == "eve"
        with client.websocket("/") as socket:
            assert socket.receive() == "nobody"
    assert len(sessions.environs) == 5


def test_it_is_saved_after_the_consumer(sessions):
    def rename(message):
        message.http_session["name"] = "bob"
        assert sessions.saved == []

    with open_client(http_session(sessions.load)(rename)) as client:
        client.websocket("/", headers={"Cookie": "id=a1"})
        assert sessions.saved == [{"name": "bob"}]


def test_a_consumer_that_fails_saves_nothing(sessions):
    def fail(message):
        raise ValueError

    with (
        open_client(http_session(sessions.load)(fail)) as client,
        pytest.raises(ValueError, match="^$"),
    ):
        client.websocket("/")
    assert sessions.saved == []


def test_a_consumer_that_was_given_up_saves_nothing(sessions):
    layer = Bridge(answers("200 OK")).layer
    outbox = Outbox(layer)
    content = {"path": "/", "query_string": b"", "headers": [], "method": "GET"}
    with outbox:
        late = http_session(sessions.load)(lambda message: outbox.shut())
        late(Message(content, "http.request", layer))
    assert sessions.saved == []


def test_a_session_that_cannot_be_saved_is_only_read():
    seen = []
    consumer = http_session(lambda environ: ({"a": 1}, None))(
        lambda message: seen.append(message.http_session)
    )
    with open_client(consumer) as client:
        client.websocket("/")
    assert seen[0] == {"a": 1}


def test_a_request_has_its_own(sessions):
    @http_session(sessions.load)
    def consumer(message):
        assert not hasattr(message, "channel_session")
        name = message.http_session["name"].encode()
        message.reply_channel.send({"status": 200, "headers": [], "content": name})

    routing = [route("http.request", consumer, path="^/name$")]
    with Client(Bridge(answers("200 OK"), routing)) as client:
        assert client.get("/name?a=1", headers={"Cookie": "id=a1"}).text == "ada"
    assert sessions.environs[0]["QUERY_STRING"] == "a=1"


# What is kept

FIELDS = {"Cookie": "id=a1; other=secret; id2=b", "User-Agent": "x", "Authorization": "secret"}

# (options of http_session, what the environ has of the cookies and of Authorization)
KEPT = {
    "all cookies": ({}, "id=a1; other=secret; id2=b", None),
    "some cookies": ({"cookies": ["id", "none"]}, "id=a1", None),
    "other fields": ({"headers": ["Authorization"]}, None, "secret"),
}


@pytest.mark.parametrize(("options", "cookie", "authorization"), KEPT.values(), ids=KEPT)
def test_of_the_handshake_there_is_what_is_kept_of_it(sessions, options, cookie, authorization):
    consumer = http_session(sessions.load, **options)(lambda message: None)
    with open_client(consumer) as client:
        socket = client.websocket("/a/b?ticket=secret", headers=FIELDS)
        socket.send("x")
        assert len(sessions.environs) == 2
    for environ in sessions.environs:  # the handshake's is no other than those of later events
        assert environ.get("HTTP_COOKIE") == cookie
        assert environ.get("HTTP_AUTHORIZATION") == authorization
        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a/b", "")
        assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_what_is_kept_is_not_among_the_keys_of_the_channel_session(sessions):
    seen = []

    @http_session(sessions.load)
    def consumer(message):
        seen.append(dict(message.channel_session))
        message.channel_session["a"] = 1

    with open_client(consumer) as client:
        client.websocket("/").send("x")
    assert seen[:2] == [{}, {"a": 1}]


# Mistakes


def test_a_handshake_that_was_not_kept_says_what_to_do(sessions):
    consumer = http_session(sessions.load)(lambda message: None)
    routing = [route(RECEIVE, consumer, path="^/")]
    with Client(Bridge(answers("200 OK"), routing)) as client:
        socket = client.websocket("/")
        with pytest.raises(ValueError, match="a consumer of websocket.connect with the same dec"):
            socket.send("x")


def test_classes_and_methods_are_told_of_the_attribute(sessions):
    decorate = http_session(sessions.load)
    with pytest.raises(TypeError, match="in a class, set the attribute of that name"):
        decorate(WebsocketConsumer)
    with pytest.raises(TypeError, match="For methods, set the attribute of that name"):
        decorate(lambda self, message: None)(object(), None)


# With others


def test_a_class_has_it_by_an_attribute(sessions):
    class Hello(WebsocketConsumer):
        http_session = http_session(sessions.load, cookies=["id"])

        def receive(self, text=None, **kwargs):
            self.send(text=f"{text} {self.message.http_session['name']}")

    with Client(Bridge(answers("200 OK"), [route_class(Hello)])) as client:
        socket = client.websocket("/", headers={"Cookie": "id=a1"})
        socket.send("hello")
        assert socket.receive() == "hello ada"


@pytest.mark.parametrize("is_outside", [True, False])
def test_both_sessions_go_together(sessions, is_outside):
    def consumer(message):
        count = message.channel_session["count"] = message.channel_session.get("count", 0) + 1
        message.reply_channel.send({"text": f"{message.http_session['name']} {count}"})

    decorators = [channel_session, http_session(sessions.load)]
    for decorate in decorators if is_outside else reversed(decorators):
        consumer = decorate(consumer)
    with open_client(consumer) as client:
        socket = client.websocket("/", headers={"Cookie": "id=a1"})
        socket.send("x")
        assert (socket.receive(), socket.receive()) == ("ada 1", "ada 2")


def test_the_inner_of_two_finds_it_there(sessions):
    decorate = http_session(sessions.load)
    with open_client(decorate(decorate(lambda message: None))) as client:
        client.websocket("/")
        assert (len(sessions.environs), len(sessions.saved)) == (1, 1)


def test_a_framework_says_what_messages_are_given():
    with pytest.raises(NotImplementedError):
        HttpSession().fill(None, {})
