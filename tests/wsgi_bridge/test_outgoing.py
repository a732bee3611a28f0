"""What consumers sent that have just ended: put together, with the next take, and never held up."""

from __future__ import annotations

import threading
from contextvars import copy_context

import pytest

from tests.wsgi_bridge.test_threads import LONG, READER, ask, replies, wait_for
from tests.wsgi_bridge.worker_loop import REPLY, answers
from wsgi_bridge import Bridge, Channel, Group, open_layer, route
from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.outgoing import Outgoing
from wsgi_bridge.threads import ThreadWorker
from wsgi_bridge.worker import Worker


class Gathering(MemoryLayer):
    """A memory layer that is asked for its operations, as those with a backend are."""

    gathers = True

    def __init__(self, **options):
        super().__init__(**options)
        self.operations = []

    def hand_over(self, channel, message):
        self.operations.append(1)
        super().hand_over(channel, message)

    def hand_over_many(self, messages):
        self.operations.append(len(messages))
        return [self._try(*each) for each in messages]

    def _try(self, channel, message):
        try:
            super().hand_over(channel, message)
        except ChannelFull as exc:
            return exc


@pytest.fixture(params=["gathering", "ipc"])
def layer(request, tmp_path):
    is_ipc = request.param == "ipc"
    opened = open_layer(f"ipc://{tmp_path}/layer") if is_ipc else Gathering()
    yield opened
    opened.close()


@pytest.fixture
def start(monkeypatch):
    """Return a function that starts threads, which take every message for a short one."""
    monkeypatch.setattr("wsgi_bridge.threads.SHORT", 10.0)
    started = []

    def start_threads(layer, routing=(), *, app=None, threads=1):
        bridge = Bridge(app or answers("200 OK"), list(routing), layer=layer)
        worker = ThreadWorker(Worker(bridge, layer, lambda call: call), layer, threads=threads)
        worker.start()
        started.append(worker)
        return worker

    yield start_threads
    for worker in started:
        worker.stop()
        assert worker.join(LONG)


@pytest.fixture
def door():
    event = threading.Event()
    yield event
    event.set()


def echo(message):
    message.reply_channel.send({"text": message["text"]})


ECHO = route("websocket.receive", echo, path="^/")


def say(layer, text, number=1):
    message = {"reply_channel": REPLY, "path": "/chat/", "text": text, "bytes": None}
    layer.send("websocket.receive", {**message, "order": number})


# Together


def test_what_short_messages_answer_is_put_together(start, monkeypatch):
    monkeypatch.setattr("wsgi_bridge.outgoing.LONGEST", LONG)
    monkeypatch.setattr("wsgi_bridge.lead.PATIENCE", LONG)
    layer = Gathering()
    for number in range(8):
        say(layer, str(number), number)
    layer.operations.clear()
    start(layer, [ECHO], threads=4)
    found = replies(layer, 8)
    assert [(each["text"], each["ack"]) for each in found] == [(str(n), n) for n in range(8)]
    assert layer.operations == [4, 4]


def test_responses_of_one_message_are_put_together(start, monkeypatch):
    monkeypatch.setattr("wsgi_bridge.outgoing.LONGEST", LONG)
    monkeypatch.setattr("wsgi_bridge.lead.PATIENCE", LONG)
    layer = Gathering()
    for _ in range(3):
        ask(layer)
    layer.operations.clear()
    start(layer, threads=3)
    assert [each["content"] for each in replies(layer, 3)] == [b"x"] * 3
    assert layer.operations == [3]


def test_a_group_message_goes_before_what_is_sent_after_it(layer, start):
    def announce(message):
        message.reply_channel.send({"text": "1"})
        Group("lobby").send({"text": "2"})
        message.reply_channel.send({"text": "3"})

    layer.group_add("lobby", REPLY)
    start(layer, [route("websocket.receive", announce, path="^/")])
    say(layer, "")
    assert [each["text"] for each in replies(layer, 3)] == ["1", "2", "3"]


def test_what_is_sent_to_a_group_only_is_acknowledged_after_it(layer, start):
    layer.group_add("lobby", REPLY)
    start(layer, [route("websocket.receive", lambda _: Group("lobby").send({}), path="^/")])
    say(layer, "", 7)
    assert replies(layer, 2) == [{}, {"ack": 7}]


# Never held up


@pytest.mark.parametrize("threads", [1, 3])
def test_a_message_that_blocks_does_not_hold_up_the_answer_before_it(layer, start, door, threads):
    for text in ("short", "long"):
        say(layer, text)
    begun = threading.Event()

    def consume(message):
        if message["text"] == "long":
            begun.set()
            door.wait(LONG)
        echo(message)

    start(layer, [route("websocket.receive", consume, path="^/")], threads=threads)
    assert replies(layer, 1)[0]["text"] == "short"
    assert begun.wait(LONG)
    assert not door.is_set()


def test_an_app_that_takes_long_to_close_does_not_hold_up_its_response(layer, start, door):
    class Slow(list):
        def close(self):
            door.wait(LONG)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return Slow([b"x"])

    start(layer, app=app)
    ask(layer)
    assert replies(layer, 1)[0]["content"] == b"x"
    assert not door.is_set()


def test_what_a_thread_sends_after_its_consumer_goes_out_after_it(layer, start, door):
    def consume(message):
        echo(message)
        threading.Thread(target=copy_context().run, args=(add_to, message)).start()

    def add_to(message):
        door.wait(LONG)
        message.reply_channel.send({"text": "later"})

    start(layer, [route("websocket.receive", consume, path="^/")])
    say(layer, "first")
    door.set()
    assert [each["text"] for each in replies(layer, 2)] == ["first", "later"]


def test_what_waits_when_the_threads_stop_is_put(layer, start):
    worker = start(layer, [ECHO])
    say(layer, "last")
    wait_for(lambda: worker.taken == 1)
    worker.stop()
    assert worker.join(LONG)
    assert [message["text"] for _, message in layer.receive_many([READER], 5)] == ["last"]


# What fails


def test_an_acknowledgement_that_finds_its_channel_full_comes_when_there_is_room(start):
    layer = Gathering(capacity=2)
    for number in range(2):
        layer.send(REPLY, {"text": str(number)})
    start(layer, [route("websocket.receive", lambda message: None, path="^/")])
    say(layer, "", 5)
    wait_for(lambda: layer.channel_statistics(REPLY)["channel_full_count"] >= 1)
    assert replies(layer, 3)[-1] == {"ack": 5}


def test_a_response_that_finds_its_channel_full_comes_when_there_is_room(start):
    layer = Gathering(capacity=1)
    layer.send(REPLY, {"text": "before"})
    start(layer)
    ask(layer)
    wait_for(lambda: layer.channel_statistics(REPLY)["channel_full_count"] >= 1)
    assert replies(layer, 2)[-1]["content"] == b"x"


def test_what_is_lost_is_logged_with_its_route(start, caplog):
    layer = Gathering(capacity=1)
    layer.send("work", {})

    def consume(message):
        Channel("work").send({})

    start(layer, [route("websocket.receive", consume, path="^/hoard/")])
    layer.send("websocket.receive", {"reply_channel": REPLY, "path": "/hoard/", "order": 2})
    assert replies(layer, 1) == [{"ack": 2}]
    wait_for(lambda: "/hoard/" in caplog.text)
    assert "a message to work was lost: ChannelFull" in caplog.text


def test_a_layer_that_fails_costs_what_waits_and_its_senders_are_told(caplog):
    class Broken(Gathering):
        def hand_over_many(self, messages):
            raise ZeroDivisionError

    layer, told = Broken(), []
    outgoing = Outgoing(layer, lambda: 0.0)
    for put in (outgoing.put, lambda: outgoing.exchange(["jobs"], 1)):
        outgoing.open(0.0)
        assert outgoing.add(layer, [("a", {}), ("b", {})], told.append)
        put()
    assert [[type(error) for error in errors] for errors in told] == [[ZeroDivisionError] * 2] * 2
    assert caplog.text.count("2 messages could not be sent") == 2


# Who may


def test_only_the_thread_that_has_opened_it_may_put_off():
    layer = Gathering()
    outgoing = Outgoing(layer, lambda: 0.0)
    sends = [("a", {})]
    assert not outgoing.add(layer, sends, print)
    opener = threading.Thread(target=outgoing.open, args=(0.0,))
    opener.start()
    opener.join()
    assert not outgoing.add(layer, sends, print)
    outgoing.open(0.0)
    assert not outgoing.add(MemoryLayer(), sends, print)
    assert outgoing.add(layer, sends, print)
    outgoing.close()
    assert not outgoing.add(layer, sends, print)


def test_what_has_waited_for_long_is_put_before_the_next_message():
    layer, told = Gathering(), []
    outgoing = Outgoing(layer, lambda: 5.0)
    outgoing.open(5.0)
    outgoing.add(layer, [("a", {})], print)
    outgoing.after(told.append, "put")
    outgoing.open(5.0005)
    assert told == []
    outgoing.open(5.0015)
    assert told == ["put"]
    assert layer.receive_many(["a"]) == [("a", {})]


def test_who_waits_until_it_is_put_is_told_after_it():
    layer, told = Gathering(), []
    outgoing = Outgoing(layer, lambda: 0.0)
    outgoing.after(told.append, "at once")
    outgoing.open(0.0)
    outgoing.after(told.append, "nothing waits")
    outgoing.add(layer, [("a", {})], print)
    outgoing.after(lambda _: told.append(layer.receive_many(["a"])), None)
    outgoing.after(told.append, "after")
    assert told == ["at once", "nothing waits"]
    assert outgoing.exchange(["b"], 1) == []
    assert told[2:] == [[("a", {})], "after"]


def test_only_those_are_told_whose_messages_could_not_be_sent():
    class Half(Gathering):
        def hand_over_many(self, messages):
            return [ChannelFull(name) if name == "full" else None for name, _ in messages]

    layer, told = Half(), []
    outgoing = Outgoing(layer, lambda: 0.0)
    outgoing.open(0.0)
    outgoing.add(layer, [("a", {})], lambda _: told.append("a"))
    outgoing.add(layer, [("b", {}), ("full", {})], lambda errors: told.append(errors))
    outgoing.add(layer, [("c", {})], lambda _: told.append("c"))
    outgoing.put()
    [[fine, refused]] = told
    assert fine is None
    assert isinstance(refused, ChannelFull)
