"""The generic classes: each event reaches its method, and each call its message."""

# ruff: noqa: RUF012 (class attributes as a site writes them)

import json

import pytest

from wsgi_bridge.consumers import Channel, Group, Message, Outbox
from wsgi_bridge.exceptions import DenyConnection
from wsgi_bridge.generic.websocket import BaseConsumer, JsonWebsocketConsumer, WebsocketConsumer
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.routing import Router

REPLY = "server.response.P1!c1"


class Socket:
    """A socket as a test sees it: events in, what came out on its reply channel."""

    def __init__(self, consumer):
        self.consumer = consumer
        self.layer = MemoryLayer()

    def event(self, name, _kwargs=None, **content):
        content = {"reply_channel": REPLY, "path": "/chat/", **content}
        outbox = Outbox(self.layer)
        try:
            with outbox:
                self.consumer(Message(content, f"websocket.{name}", self.layer), **(_kwargs or {}))
        finally:
            assert outbox.flush() == []
        return self.sent()

    def sent(self):
        return [message for _, message in self.layer.receive_many(["server.response.P1!"], 100)]

    def groups(self, *names):
        return [name for name in names if REPLY in Group(name, self.layer).channels()]


# BaseConsumer


def test_a_class_serves_the_channels_of_its_method_mapping():
    class Thumbnails(BaseConsumer):
        method_mapping = {"thumbnails": "make", "thumbnails.purge": "purge"}

        def make(self, message, **kwargs):
            message.reply_channel.send({"made": kwargs["size"], "at": self.path})

    layer, outbox = MemoryLayer(), Outbox(MemoryLayer())
    message = Message({"reply_channel": "done", "path": "/x"}, "thumbnails", layer)
    with outbox:
        consumer = Thumbnails(message, size=3)
    outbox.flush()

    assert Thumbnails.channel_names() == {"thumbnails", "thumbnails.purge"}
    assert consumer.message is message
    assert consumer.kwargs == {"size": 3}
    assert layer.receive(["done"]) == ("done", {"made": 3, "at": "/x"})


def test_as_route_routes_to_the_class_or_to_one_with_other_attributes():
    plain = WebsocketConsumer.as_route(path="^/a/$")
    other = WebsocketConsumer.as_route({"groups": ["x"]}, on_error="continue", path="^/b/$")
    router = Router([plain, other])

    assert router.match("websocket.connect", {"path": "/a/"}).consumer is WebsocketConsumer
    match = router.match("websocket.receive", {"path": "/b/"})
    assert issubclass(match.consumer, WebsocketConsumer)
    assert match.consumer.groups == ["x"]
    assert match.route.on_error == "continue"
    assert match.route.name.endswith("-> wsgi_bridge.generic.websocket.WebsocketConsumer")


# WebsocketConsumer


def test_connect_accepts_and_joins_the_groups_disconnect_leaves_them():
    class Chat(WebsocketConsumer):
        groups = ["lobby", "all"]

    socket = Socket(Chat)
    assert socket.event("connect") == [{"accept": True}]
    assert socket.groups("lobby", "all") == ["lobby", "all"]

    assert socket.event("disconnect", code=1000) == []
    assert socket.groups("lobby", "all") == []


def test_connection_groups_sees_the_named_groups_of_the_route():
    class Room(WebsocketConsumer):
        def connection_groups(self, **kwargs):
            return [f"room-{kwargs['room']}"]

    socket = Socket(Room)
    socket.event("connect", {"room": "7"})
    assert socket.groups("room-7") == ["room-7"]

    socket.event("disconnect", {"room": "7"})
    assert socket.groups("room-7") == []


def refuse_by_close(consumer):
    consumer.close()


def refuse_by_message(consumer):
    consumer.message.reply_channel.send({"accept": False, "status": 401})


def refuse_by_message_at_once(consumer):
    consumer.message.reply_channel.send({"close": True}, immediately=True)


def refuse_by_exception(consumer):
    raise DenyConnection("not today", status=401)


def fail(consumer):
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "refuse",
    [refuse_by_close, refuse_by_message, refuse_by_message_at_once, refuse_by_exception, fail],
)
def test_a_socket_that_connect_refuses_is_in_no_group(refuse):
    class Closed(WebsocketConsumer):
        groups = ["lobby"]

        def connect(self, message, **kwargs):
            refuse(self)

    socket = Socket(Closed)
    try:
        socket.event("connect")
    except (DenyConnection, ZeroDivisionError):
        pass

    assert socket.groups("lobby") == []


def accept_by_data(consumer):
    consumer.send(text="welcome")


def accept_by_data_and_close(consumer):
    consumer.send(text="", close=True)


def accept_by_default(consumer):
    """Say nothing: the worker accepts then."""


@pytest.mark.parametrize("accept", [accept_by_data, accept_by_data_and_close, accept_by_default])
def test_a_socket_that_connect_lets_in_is_in_its_groups(accept):
    class Open(WebsocketConsumer):
        groups = ["lobby"]

        def connect(self, message, **kwargs):
            accept(self)

    socket = Socket(Open)
    socket.event("connect")

    assert socket.groups("lobby") == ["lobby"]


def test_what_connect_sends_to_a_group_reaches_the_new_member_too():
    class Chat(WebsocketConsumer):
        groups = ["lobby"]

        def connect(self, message, **kwargs):
            super().connect(message, **kwargs)
            self.group_send("lobby", text="somebody came")

    assert Socket(Chat).event("connect") == [{"accept": True}, {"text": "somebody came"}]


FRAMES = [
    ({"text": "a"}, ("a", None)),
    ({"text": ""}, ("", None)),
    ({"bytes": b"a"}, (None, b"a")),
    ({"bytes": b""}, (None, b"")),
    ({"text": None, "bytes": b"a"}, (None, b"a")),
    ({"text": "a", "bytes": None}, ("a", None)),
]


@pytest.mark.parametrize(("content", "expected"), FRAMES)
def test_receive_gets_text_or_bytes_and_the_named_groups(content, expected):
    received = []

    class Recorder(WebsocketConsumer):
        def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002
            received.append((text, bytes, kwargs, self.path, self.kwargs))

    Socket(Recorder).event("receive", {"room": "7"}, **content)

    assert received == [(*expected, {"room": "7"}, "/chat/", {"room": "7"})]


CALLS = [
    (lambda consumer: consumer.send("a"), {"text": "a"}),
    (lambda consumer: consumer.send(text=""), {"text": ""}),
    (lambda consumer: consumer.send(bytes=b""), {"bytes": b""}),
    (lambda consumer: consumer.send(text="a", close=True), {"text": "a", "close": True}),
    (lambda consumer: consumer.send(bytes=b"a", close=4000), {"bytes": b"a", "close": 4000}),
    (lambda consumer: consumer.close(), {"close": True}),
    (lambda consumer: consumer.close(1001), {"close": 1001}),
    (lambda consumer: consumer.close(4000, "bye"), {"close": 4000, "reason": "bye"}),
    (lambda consumer: consumer.close(reason="bye"), {"close": True, "reason": "bye"}),
    (lambda consumer: consumer.reject_frame(1008, "no"), {"close": 1008, "reason": "no"}),
    (lambda consumer: consumer.group_send("g", text="a"), {"text": "a"}),
    (lambda consumer: consumer.group_send("g", bytes=b"a", close=1), {"bytes": b"a", "close": 1}),
]


@pytest.mark.parametrize(("call", "expected"), CALLS)
def test_every_call_is_one_message(call, expected):
    class Caller(WebsocketConsumer):
        def receive(self, **kwargs):
            call(self)

    socket = Socket(Caller)
    Group("g", socket.layer).add(REPLY)

    assert socket.event("receive", text="go") == [expected]


@pytest.mark.parametrize("arguments", [{}, {"text": "a", "bytes": b"a"}, {"close": True}])
@pytest.mark.parametrize("to_group", [False, True])
def test_a_send_needs_exactly_one_of_text_and_bytes(arguments, to_group):
    class Caller(WebsocketConsumer):
        def receive(self, **kwargs):
            if to_group:
                self.group_send("g", **arguments)
            else:
                self.send(**arguments)

    with pytest.raises(ValueError, match="exactly one"):
        Socket(Caller).event("receive", text="go")


def test_disconnect_is_called_even_if_the_groups_cannot_be_left():
    seen = []

    class Chat(WebsocketConsumer):
        def connection_groups(self, **kwargs):
            raise LookupError

        def disconnect(self, message, **kwargs):
            seen.append(message["code"])

    with pytest.raises(LookupError):
        Socket(Chat).event("disconnect", code=1006)
    assert seen == [1006]


def test_a_consumer_without_a_reply_channel_says_so():
    with pytest.raises(ValueError, match="no reply channel"):
        WebsocketConsumer(Message({"path": "/"}, "websocket.connect", MemoryLayer()))


# JsonWebsocketConsumer


class Echo(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        self.send(content)


@pytest.mark.parametrize("text", ["1", "null", '"a"', '{"a":[1,2.5,true]}', '"\\u00e9"'])
def test_a_json_frame_is_decoded_and_encoded(text):
    assert Socket(Echo).event("receive", text=text) == [{"text": text}]


REJECTED = [
    ({"text": ""}, 1007),
    ({"text": "{"}, 1007),
    ({"text": "NaN"}, 1007),
    ({"text": "[-Infinity]"}, 1007),
    ({"text": "[" * 100_000}, 1007),
    ({"bytes": b"{}"}, 1003),
]


@pytest.mark.parametrize(("content", "code"), REJECTED)
def test_a_frame_that_is_no_json_closes_the_socket(content, code):
    [answer] = Socket(Echo).event("receive", **content)

    assert answer["close"] == code
    assert answer["reason"]


def test_a_subclass_may_be_kinder_about_bad_frames():
    class Kind(Echo):
        def reject_frame(self, status, reason):
            self.send({"error": reason})

    assert Socket(Kind).event("receive", text="{") == [{"text": '{"error":"expected JSON"}'}]


def test_a_json_consumer_sends_values_to_one_and_to_a_group():
    class Caller(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send([1], close=True)
            self.group_send("g", {"a": 1})

    socket = Socket(Caller)
    Group("g", socket.layer).add(REPLY)

    assert socket.event("receive", text="0") == [
        {"text": "[1]", "close": True},
        {"text": '{"a":1}'},
    ]


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), (object(), TypeError)])
def test_what_is_no_json_is_not_sent(value, error):
    class Caller(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send(value)

    with pytest.raises(error):
        Socket(Caller).event("receive", text="0")


def test_the_encoding_can_be_replaced():
    class Dates(Echo):
        @classmethod
        def decode_json(cls, text):
            return {"at": text}

        @classmethod
        def encode_json(cls, content):
            return json.dumps(content, default=str, sort_keys=True)

    assert Socket(Dates).event("receive", text="now") == [{"text": '{"at": "now"}'}]


def test_a_group_send_works_outside_a_consumer(monkeypatch):
    layer = MemoryLayer()
    monkeypatch.setattr("wsgi_bridge.outbox._default", {"CHANNEL_LAYER": layer})
    Group("g").add(Channel("member"))
    JsonWebsocketConsumer.group_send("g", [1])

    assert layer.receive(["member"]) == ("member", {"text": "[1]"})
