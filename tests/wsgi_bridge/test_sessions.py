"""The session of a socket: what is kept, when, for whom, and how two consumers get on."""

from __future__ import annotations

import contextlib
from typing import ClassVar

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from tests.wsgi_bridge.worker_loop import CONNECT, DISCONNECT, RECEIVE, REPLY, Clock, Loop, survive
from wsgi_bridge import (
    Channel,
    ChannelLayerUnavailable,
    ConsumeLater,
    DenyConnection,
    InvalidMessage,
    JsonWebsocketConsumer,
    MessageTooLarge,
    WebsocketConsumer,
    WebsocketDemultiplexer,
    channel_session,
    open_layer,
    route,
    route_class,
)
from wsgi_bridge.consumers import Message
from wsgi_bridge.outbox import Outbox
from wsgi_bridge.sessions import LIFETIME, ChannelSession

READER = REPLY.partition("!")[0] + "!"
KEY = f"channel_session {REPLY}"


@pytest.fixture(scope="module")
def redis_url():
    need_redis()
    with RedisServer() as server:
        yield server.url


@pytest.fixture(params=["memory", "ipc", "redis"])
def layer(request, tmp_path):
    """Each kind of layer, by a clock of the test's own."""
    url = "memory://"
    if request.param == "ipc":
        url = f"ipc://{tmp_path}/layer"
    elif request.param == "redis":
        url = request.getfixturevalue("redis_url")
    with contextlib.closing(open_layer(url, clock=Clock())) as layer:
        layer.flush()
        layer.receive_many([READER])
        yield layer


@pytest.fixture
def memory():
    layer = open_layer("memory://", clock=Clock())
    layer.receive_many([READER])
    return layer


def run(layer, consumer, channel=RECEIVE, **content):
    """Have a worker run a consumer of the one socket; return what it returned."""
    returned = []
    decorated = channel_session(consumer)
    outbox = Outbox(layer)
    with outbox:
        message = Message({"reply_channel": REPLY, "path": "/", **content}, channel, layer)
        returned.append(decorated(message))
    return returned[0]


def keep(layer, **values):
    run(layer, lambda message: message.channel_session.update(values))


def kept(layer):
    """Return what the next consumer finds."""
    return run(layer, lambda message: dict(message.channel_session))


def operations(layer, monkeypatch):
    """Return a list that notes what the storage is asked for."""
    asked = []
    for name in ("_load", "_save"):
        function = getattr(layer.storage, name)

        def noted(*arguments, name=name, function=function, **options):
            asked.append(name.strip("_"))
            return function(*arguments, **options)

        monkeypatch.setattr(layer.storage, name, noted)
    return asked


# What is kept


def test_what_one_consumer_keeps_the_next_one_finds(layer):
    assert kept(layer) == {}
    value = {"text": "ä", "bytes": b"\xff", "numbers": [1, 2.5, True, None], "deep": {"a": {}}}
    keep(layer, **value)
    assert kept(layer) == value


def set_deep(session):
    session["deep"]["list"].append(1)


def replace_by_equal(session):
    session["number"] = True


# (what a consumer does with {"number": 1, "deep": {"list": []}}, what is there then)
CHANGES = {
    "set": (lambda s: s.__setitem__("a", 1), {"number": 1, "deep": {"list": []}, "a": 1}),
    "delete": (lambda s: s.__delitem__("deep"), {"number": 1}),
    "pop": (lambda s: s.pop("deep"), {"number": 1}),
    "clear": (lambda s: s.clear(), {}),
    "setdefault": (lambda s: s.setdefault("deep", {})["list"].append(2),
                   {"number": 1, "deep": {"list": [2]}}),
    "in the depth": (set_deep, {"number": 1, "deep": {"list": [1]}}),
    "to an equal value of another type": (replace_by_equal, {"number": True, "deep": {"list": []}}),
    "a tuple": (lambda s: s.__setitem__("number", (1, 2)),
                {"number": [1, 2], "deep": {"list": []}}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_every_kind_of_change_is_saved(memory, change, expected):
    keep(memory, number=1, deep={"list": []})
    run(memory, lambda message: change(message.channel_session))
    assert repr(kept(memory)) == repr(expected)


def look(session):
    return session.get("a"), len(session), "a" in session, list(session.items()), repr(session)


# (what a consumer does, what the storage is asked for)
COSTS = {
    "nothing": (lambda session: None, []),
    "look": (look, ["load"]),
    "set to what it is": (lambda session: session.update(a=1), ["load"]),
    "change": (lambda session: session.update(a=2), ["load", "save"]),
    "change and change back": (lambda session: (session.update(a=2), session.update(a=1)),
                               ["load"]),
}  # fmt: skip


@pytest.mark.parametrize(("act", "expected"), COSTS.values(), ids=COSTS)
def test_it_is_loaded_when_touched_and_saved_when_changed(memory, monkeypatch, act, expected):
    keep(memory, a=1)
    asked = operations(memory, monkeypatch)
    run(memory, lambda message: act(message.channel_session))
    assert asked == expected


def test_no_value_is_in_its_repr(memory):
    keep(memory, secret="hush")
    text = run(memory, lambda message: (message.channel_session["secret"], repr(message)))[1]
    assert "hush" not in text
    assert repr(ChannelSession(memory, REPLY)) == f"<ChannelSession of {REPLY}>"


def test_each_socket_has_its_own(memory):
    keep(memory, a=1)
    other = run(memory, lambda m: dict(m.channel_session), reply_channel=f"{READER}c2")
    assert other == {}


# When


def test_it_is_saved_before_the_acknowledgement_goes_out(layer, monkeypatch):
    done = []

    @channel_session
    def count(message):
        message.channel_session["count"] = message.channel_session.get("count", 0) + 1

    loop = Loop([route(RECEIVE, count)], layer=layer)
    for name, owner in (("_save", layer.storage), ("hand_over", layer)):
        function = getattr(owner, name)

        def noted(*arguments, name=name, function=function, **options):
            done.append(name)
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, noted)
    loop.worker.run(RECEIVE, {"reply_channel": REPLY, "path": "/", "text": "x", "order": 1})
    assert done == ["_save", "hand_over"]
    assert kept(layer) == {"count": 1}


@pytest.mark.parametrize(
    "exc", [ValueError(), DenyConnection(), ConsumeLater(), SystemExit(), KeyboardInterrupt()]
)
def test_a_consumer_that_failed_or_wants_to_be_called_again_has_changed_nothing(memory, exc):
    keep(memory, a=1)

    def fail(message):
        message.channel_session["a"] = 2
        raise exc

    with contextlib.suppress(BaseException):
        run(memory, fail)
    assert kept(memory) == {"a": 1}


def test_what_a_consumer_saved_itself_stays_when_it_fails(memory):
    def fail(message):
        message.channel_session["a"] = 1
        assert message.channel_session.save()
        assert not message.channel_session.save()
        message.channel_session["b"] = 2
        raise ValueError

    with contextlib.suppress(ValueError):
        run(memory, fail)
    assert kept(memory) == {"a": 1}


def test_it_can_be_saved_more_than_once(layer):
    def act(message):
        session = message.channel_session
        session["list"] = numbers = []
        session.save()
        numbers.append(1)
        session.save()
        numbers.append(2)

    run(layer, act)
    assert kept(layer) == {"list": [1, 2]}


def test_a_consumer_that_was_given_up_saves_nothing(memory):
    outbox = Outbox(memory)

    def late(message):
        message.channel_session["a"] = 1
        outbox.shut()

    with outbox:
        content = {"reply_channel": REPLY}
        channel_session(late)(Message(content, RECEIVE, memory))
    assert kept(memory) == {}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (object(), InvalidMessage, "the channel session cannot be saved: .*object"),
        ("x" * 20_000_000, MessageTooLarge, "the channel session cannot be saved"),
    ],
)
def test_what_a_layer_does_not_carry_is_refused_when_it_is_saved(memory, value, error, text):
    with pytest.raises(error, match=text):
        keep(memory, a=value)


def test_a_consumer_fails_whose_session_cannot_be_saved(memory, monkeypatch, caplog):
    def refuse(*_arguments, **_options):
        raise ChannelLayerUnavailable("gone")

    monkeypatch.setattr(memory.storage, "save", refuse)
    loop = Loop(
        [route(RECEIVE, channel_session(lambda m: m.channel_session.update(a=1)))], layer=memory
    )
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=1))
    assert loop.answers() == [{"close": 1011, "ack": 1}]
    assert "the consumer failed: websocket.receive" in caplog.text


# How long


def test_it_is_gone_with_its_socket_but_the_disconnect_still_finds_it(layer):
    keep(layer, a=1)
    layer.forget_channel(REPLY)
    layer.clock.now += layer.expiry - 1
    assert run(layer, lambda m: dict(m.channel_session), DISCONNECT, code=1000) == {"a": 1}
    layer.clock.now += 2
    assert kept(layer) == {}


def test_what_is_changed_at_the_disconnect_is_not_kept(layer):
    keep(layer, a=1)
    layer.forget_channel(REPLY)

    def leave(message):
        message.channel_session["a"] = 2
        message.channel_session.save()
        message.channel_session.change(lambda data: data.update(b=3))
        assert dict(message.channel_session) == {"a": 2, "b": 3}

    run(layer, leave, DISCONNECT)
    layer.clock.now += layer.expiry + 1
    assert kept(layer) == {}


def test_a_socket_that_is_silent_for_weeks_keeps_it(layer):
    keep(layer, a=1)
    layer.clock.now += LIFETIME - 1
    assert kept(layer) == {"a": 1}


def test_reading_it_now_and_then_keeps_it(layer, monkeypatch):
    keep(layer, a=1)
    asked = operations(layer, monkeypatch)
    for _ in range(3):
        layer.clock.now += LIFETIME * 0.4
        assert kept(layer) == {"a": 1}
    assert asked == ["load", "load", "save", "load"]


def test_one_that_is_gone_is_not_brought_back_by_who_still_has_it(layer):
    keep(layer, a=1)

    def outlive(message):
        message.channel_session["b"] = 2
        layer.forget_channel(REPLY)
        layer.clock.now += layer.expiry + 1

    run(layer, outlive)
    assert layer.storage.load(KEY) == (None, 0)


# Two at once


def beside(layer, **values):
    """Do what another consumer does at the same time."""
    session = ChannelSession(layer, REPLY)
    session.update(values)
    session.save()


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
