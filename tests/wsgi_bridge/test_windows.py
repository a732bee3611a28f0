"""`window=` of routes: which one a socket has, and how its server is told."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, DISCONNECT, RECEIVE, Loop, failing
from wsgi_bridge import (
    DenyConnection,
    RoutingError,
    WebsocketConsumer,
    include,
    route,
    route_class,
)
from wsgi_bridge.messages import MAX_WINDOW
from wsgi_bridge.routing import Router


def consumer(message):
    """Do nothing."""


class Echo(WebsocketConsumer):
    """Does nothing."""


# (routing, the window of a socket on /chat)
WINDOWS = {
    "none": ([], 1),
    "not said": ([route(RECEIVE, consumer, path="^/chat")], 1),
    "said": ([route(RECEIVE, consumer, path="^/chat", window=8)], 8),
    "without a filter": ([route(RECEIVE, consumer, window=8)], 8),
    "of another path": ([route(RECEIVE, consumer, path="^/other", window=8)], 1),
    "of a class": ([route_class(Echo, path="^/chat", window=8)], 8),
    "of a class with as_route": ([Echo.as_route(path="^/chat", window=8)], 8),
    "in an include": ([include([route(RECEIVE, consumer, path="^t", window=8)], path="^/cha")], 8),
    "first of two": (
        [route(RECEIVE, consumer, path="^/chat", window=8), route(RECEIVE, consumer)],
        8,
    ),
    "second of two": (
        [route(RECEIVE, consumer, path="^/x", window=8), route(RECEIVE, consumer, window=2)],
        2,
    ),
    "the smallest where the frame decides": (
        [
            route(RECEIVE, consumer, text="^ping", window=8),
            route(RECEIVE, consumer, window=2),
            route(RECEIVE, consumer),
        ],
        2,
    ),
    "of a route for frames only": ([route(RECEIVE, consumer, text="^ping", window=8)], 8),
}


@pytest.mark.parametrize(("routing", "window"), WINDOWS.values(), ids=WINDOWS)
def test_a_socket_has_the_window_of_the_route_of_its_frames(routing, window):
    message = {"path": "/chat", "order": 0, "headers": [], "query_string": b""}
    assert Router(routing).window_of(message) == window


@pytest.mark.parametrize("window", [0, -1, MAX_WINDOW + 1, 2.0, True, None, "4"])
def test_a_window_that_cannot_be_is_refused(window):
    with pytest.raises(RoutingError, match=r"^window: .*; expected frames, 1 to 64$"):
        route(RECEIVE, consumer, window=window)


@pytest.mark.parametrize("channel", [CONNECT, DISCONNECT, "jobs"])
def test_a_window_for_what_has_no_frames_is_refused(channel):
    with pytest.raises(RoutingError, match="expected a route of websocket.receive"):
        route(channel, consumer, window=2)


def test_the_largest_window_is_the_one_that_is_documented():
    assert route(RECEIVE, consumer, window=MAX_WINDOW).window == 64


# What the server is told


def accepting(**answer):
    def accept(message):
        message.reply_channel.send({"accept": True, **answer})
        message.reply_channel.send({"text": "more"})

    return accept


def at_once(message):
    message.reply_channel.send({"accept": True}, immediately=True)


def deny(message):
    raise DenyConnection


# (the consumer of websocket.connect, what the server is sent)
TOLD = {
    "nobody answers": (consumer, [{"accept": True, "window": 4}]),
    "a consumer accepts": (accepting(), [{"accept": True, "window": 4}, {"text": "more"}]),
    "a consumer accepts at once": (at_once, [{"accept": True}, {"window": 4}]),
    "no route for the handshake": (None, [{"accept": True, "window": 4}]),
}


@pytest.mark.parametrize(("connect", "answers"), TOLD.values(), ids=TOLD)
def test_the_answer_to_the_handshake_says_the_window(connect, answers):
    routing = [route(RECEIVE, consumer, window=4)]
    if connect is not None:
        routing.append(route(CONNECT, connect))
    loop = Loop(routing)
    loop.connect()
    assert loop.answers() == answers


@pytest.mark.parametrize("connect", [deny, failing(ValueError())])
def test_a_socket_that_is_refused_stays_refused(connect):
    loop = Loop([route(RECEIVE, consumer, window=4), route(CONNECT, connect)])
    loop.connect()
    assert [answer.get("accept") for answer in loop.answers()] == [False]


def test_a_window_of_one_is_not_said():
    loop = Loop([route(RECEIVE, consumer)])
    loop.connect()
    assert loop.answers() == [{"accept": True}]
