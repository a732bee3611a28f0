"""Streams: every event reaches its stream, every answer carries the stream's name."""

# ruff: noqa: RUF012 (class attributes as a site writes them)

import json

import pytest

from tests.wsgi_bridge.generic.test_websocket import REPLY, Socket
from wsgi_bridge.consumers import Group
from wsgi_bridge.exceptions import DenyConnection
from wsgi_bridge.generic.multiplex import WebsocketDemultiplexer, WebsocketMultiplexer
from wsgi_bridge.generic.websocket import JsonWebsocketConsumer


class Echo(JsonWebsocketConsumer):
    def connection_groups(self, **kwargs):
        return ["echo"]

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"echo": content, **kwargs})

    def disconnect(self, message, multiplexer, **kwargs):
        raise LookupError(multiplexer.stream)


seen = []


def record(message, multiplexer, **kwargs):
    seen.append((multiplexer.stream, message.channel.name, message.get("text")))


class Everything(WebsocketDemultiplexer):
    consumers = {"echo": Echo, "record": record}


@pytest.fixture
def socket():
    seen.clear()
    return Socket(Everything)


def test_every_stream_sees_the_connect_and_the_socket_is_accepted_once(socket):
    assert socket.event("connect") == [{"accept": True}]
    assert seen == [("record", "websocket.connect", None)]
    assert socket.groups("echo") == ["echo"]


def test_a_payload_goes_to_its_stream_and_the_answer_carries_its_name(socket):
    text = json.dumps({"stream": "echo", "payload": {"a": 1}})

    [answer] = socket.event("receive", {"room": "7"}, text=text)

    expected = {"stream": "echo", "payload": {"echo": {"a": 1}, "room": "7"}}
    assert json.loads(answer["text"]) == expected
    assert seen == []


def test_a_function_can_be_a_stream(socket):
    socket.event("receive", text='{"stream": "record", "payload": {"a": 1}}')

    assert seen == [("record", "websocket.receive", '{"a":1}')]


def test_every_stream_sees_the_disconnect_even_if_another_one_fails(socket):
    socket.event("connect")
    seen.clear()

    with pytest.raises(LookupError, match="echo"):
        socket.event("disconnect", code=1000)

    assert seen == [("record", "websocket.disconnect", None)]
    assert socket.groups("echo") == []


def test_a_stream_can_refuse_the_socket():
    def refuse(message, multiplexer, **kwargs):
        raise DenyConnection

    class Closed(WebsocketDemultiplexer):
        groups = ["all"]
        consumers = {"refuse": refuse}

    socket = Socket(Closed)
    with pytest.raises(DenyConnection):
        socket.event("connect")
    assert socket.groups("all") == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"stream": "echo"}',
        '{"payload": {}}',
        '{"stream": "echo", "payload": []}',
        '{"stream": "echo", "payload": {"a": 1e999}}',
        '{"stream": "missing", "payload": {}}',
        '{"stream": ["echo"], "payload": {}}',
    ],
)
def test_a_frame_for_no_stream_closes_the_socket(socket, text):
    [answer] = socket.event("receive", text=text)

    assert answer["close"] == 1007


def test_a_streams_own_send_is_refused(socket):
    class Careless(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send(content)

    class Streams(WebsocketDemultiplexer):
        consumers = {"careless": Careless}

    with pytest.raises(RuntimeError, match="multiplexer"):
        Socket(Streams).event("receive", text='{"stream": "careless", "payload": {}}')


@pytest.mark.parametrize("call", ["send", "group_send"])
def test_a_demultiplexer_has_no_stream_to_send_on(call):
    class Streams(WebsocketDemultiplexer):
        def connect(self, message, **kwargs):
            getattr(self, call)("x", {})

    with pytest.raises(RuntimeError, match=r"ultiplexer\."):
        Socket(Streams).event("connect")


@pytest.mark.parametrize(("arguments", "extra"), [({}, {}), ({"close": True}, {"close": True})])
def test_a_multiplexer_sends_to_the_stream_of_a_group(socket, arguments, extra):
    class Caller(WebsocketDemultiplexer):
        def receive(self, content, **kwargs):
            WebsocketMultiplexer.group_send("g", "news", [1], **arguments)

    caller = Socket(Caller)
    Group("g", caller.layer).add(REPLY)

    expected = {"text": '{"stream":"news","payload":[1]}', **extra}
    assert caller.event("receive", text="{}") == [expected]


def test_the_multiplexer_class_can_be_replaced():
    class Loud(WebsocketMultiplexer):
        @classmethod
        def encode(cls, stream, payload):
            return {"text": f"{stream}: {payload}"}

    class Streams(WebsocketDemultiplexer):
        multiplexer_class = Loud
        consumers = {"echo": Echo}

    [answer] = Socket(Streams).event("receive", text='{"stream": "echo", "payload": {}}')
    assert answer == {"text": "echo: {'echo': {}}"}
