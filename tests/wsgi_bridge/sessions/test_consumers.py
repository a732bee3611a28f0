"""The session of a socket: how two consumers get on, and who has which."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, DISCONNECT, RECEIVE, REPLY, Loop
from wsgi_bridge import (
    Channel,
    JsonWebsocketConsumer,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    channel_session,
    route,
    route_class,
)
from wsgi_bridge.consumers import Message
from wsgi_bridge.sessions import ChannelSession

from .rig import READER, beside, keep, kept, operations, run

# Two at once


# (what was there, what one consumer does, what the other one sets meanwhile, what is there then)
MEETINGS = {
    "different keys": ({"a": 1}, {"b": 2}, {"c": 3}, {"a": 1, "b": 2, "c": 3}),
    "the same key: the last one counts": ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}),
    "one of them only looked": ({"a": 1}, {}, {"a": 3}, {"a": 3}),
    "both begin": ({}, {"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
}


@pytest.mark.parametrize(("before", "mine", "theirs", "after"), MEETINGS.values(), ids=MEETINGS)
def test_what_two_consumers_changed_is_merged_by_key(layer, before, mine, theirs, after):
    keep(layer, **before)

    def consumer(message):
        message.channel_session.update(mine)
        beside(layer, **theirs)

    run(layer, consumer)
    assert kept(layer) == after


def test_a_key_that_one_deletes_is_deleted_whatever_the_other_one_changes(layer):
    keep(layer, a=1, b=1)

    def consumer(message):
        del message.channel_session["a"]
        beside(layer, b=2)
        message.channel_session.save()
        assert dict(message.channel_session) == {"b": 2}

    run(layer, consumer)
    assert kept(layer) == {"b": 2}


def test_change_builds_on_what_is_there_and_saves_at_once(layer):
    keep(layer, count=1)
    met = []

    def add(data):
        if not met:
            met.append(1)
            beside(layer, count=data["count"] + 10)
        data["count"] += 1

    def consumer(message):
        message.channel_session["mine"] = True
        message.channel_session.change(add)
        assert dict(message.channel_session) == {"count": 12, "mine": True}
        assert ChannelSession(layer, REPLY)["count"] == 12

    run(layer, consumer)
    assert kept(layer) == {"count": 12, "mine": True}


# Whose


def test_a_message_of_a_channel_of_ones_own_names_the_socket(memory):
    keep(memory, a=1)
    assert run(memory, lambda m: dict(m.channel_session), "jobs") == {"a": 1}


@pytest.mark.parametrize(
    ("channel", "content", "text"),
    [
        ("jobs", {}, r"on jobs without reply_channel; .*Channel\('jobs'\).send"),
        ("http.request", {"reply_channel": REPLY}, "http.request is about a request"),
    ],
)
def test_without_a_socket_there_is_an_error_that_says_what_to_do(memory, channel, content, text):
    with pytest.raises(ValueError, match=text):
        channel_session(lambda message: None)(Message(content, channel, memory))


@pytest.mark.parametrize("target", [WebsocketConsumer, 5])
def test_only_functions_are_decorated(target):
    with pytest.raises(TypeError, match="@channel_session"):
        channel_session(target)


def test_a_decorated_method_says_what_to_do():
    class Wrong(WebsocketConsumer):
        @channel_session
        def dispatch(self, message, **kwargs):
            """Never called."""

    with pytest.raises(TypeError, match="For methods, set the attribute of that name"):
        Wrong(Message({"reply_channel": REPLY}, RECEIVE, None))


def test_it_keeps_name_and_named_groups_of_its_consumer(memory):
    @channel_session
    def consumer(message, room):
        message.channel_session["room"] = room

    assert route(RECEIVE, consumer).name.endswith("consumer")
    loop = Loop([route(RECEIVE, consumer, path="^/(?P<room>.+)$")], layer=memory)
    loop.send(RECEIVE, path="/lobby", text="x", order=1)
    assert kept(memory) == {"room": "lobby"}


def test_the_outer_decorator_saves_once(memory, monkeypatch):
    asked = operations(memory, monkeypatch)
    run(memory, channel_session(lambda message: message.channel_session.update(a=1)))
    assert asked == ["load", "save"]


def test_a_message_has_it_no_longer_than_its_consumer_runs(memory):
    message = Message({"reply_channel": REPLY}, RECEIVE, memory)
    channel_session(lambda message: message.channel_session.get("a"))(message)
    assert not hasattr(message, "channel_session")


# Classes


class Counter(WebsocketConsumer):
    channel_session = True

    def connect(self, message, **kwargs):
        message.channel_session["count"] = 0
        super().connect(message, **kwargs)

    def receive(self, **kwargs):
        self.message.channel_session["count"] += 1
        self.send(text=str(self.message.channel_session["count"]))

    def disconnect(self, message, **kwargs):
        Channel("ends").send({"count": message.channel_session["count"]})


def test_a_class_has_it_by_an_attribute(layer):
    run = Loop([route_class(Counter)], layer=layer).worker.run
    event = {"reply_channel": REPLY, "path": "/"}
    run(CONNECT, {**event, "order": 0})
    for order in (1, 2):
        run(RECEIVE, {**event, "text": "x", "order": order})
    run(DISCONNECT, {**event, "code": 1000, "order": 3})
    answers = [layer.receive([READER], block=True, timeout=10)[1] for _ in range(3)]
    assert answers == [{"accept": True}, {"text": "1", "ack": 1}, {"text": "2", "ack": 2}]
    assert layer.receive(["ends"], block=True, timeout=10)[1] == {"count": 2}


class Stream(JsonWebsocketConsumer):
    channel_session = True

    def connect(self, message, multiplexer, **kwargs):
        message.channel_session[multiplexer.stream] = "open"

    def receive(self, content, multiplexer, **kwargs):
        self.message.channel_session[multiplexer.stream] = content


class Streams(WebsocketDemultiplexer):
    consumers: ClassVar = {"left": Stream, "right": Stream}


class StreamsWithSession(Streams):
    channel_session = True


@pytest.mark.parametrize("outer", [Streams, StreamsWithSession])
def test_the_streams_of_a_socket_share_it(memory, outer):
    loop = Loop([route_class(outer)], layer=memory)
    loop.connect()
    loop.send(RECEIVE, text='{"stream": "left", "payload": {"a": 1}}', order=1)
    assert kept(memory) == {"left": {"a": 1}, "right": "open"}


def test_a_socket_without_a_session_costs_its_storage_nothing(memory, monkeypatch):
    asked = operations(memory, monkeypatch)
    loop = Loop([route_class(WebsocketConsumer)], layer=memory)
    loop.connect()
    loop.send(RECEIVE, text="x", order=1)
    assert asked == []


def test_the_handshake_keeps_what_later_events_find(layer):
    run(layer, lambda message: message.channel_session.update(a=1), CONNECT)
    assert kept(layer) == {"a": 1}
