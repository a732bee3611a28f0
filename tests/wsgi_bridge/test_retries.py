"""A consumer that wants its message again later."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import RECEIVE, Loop, answers
from wsgi_bridge import Bridge, Channel, ConsumeLater, RoutingError, route
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.retries import MAX_BACKOFF
from wsgi_bridge.testing import Client


class Fickle:
    """A consumer that puts its message off until it has been asked so often."""

    def __init__(self, times, **options):
        self.attempts = []
        self.times = times
        self.options = options

    def __call__(self, message):
        self.attempts.append(message.get("attempt", 0))
        Channel("done").send({"n": len(self.attempts)})
        if message.reply_channel is not None:
            message.reply_channel.send({"text": "done"})
        if len(self.attempts) <= self.times:
            raise ConsumeLater("not yet", **self.options)


def make_client(consumer, channel="jobs", **limits):
    return Client(Bridge(answers("200 OK"), [route(channel, consumer, **limits)]))


def test_a_message_comes_again_with_the_delay_that_the_consumer_names():
    consumer = Fickle(2, delay=60.0)
    with make_client(consumer) as client:
        client.send("jobs", {"a": 1})
        assert consumer.attempts == [0]
        client.clock.advance(60)
        client.clock.advance(60)
        assert consumer.attempts == [0, 1, 2]
        assert client.messages("done") == [{"n": 3}]  # what the others sent is forgotten


def test_without_a_delay_it_is_twice_as_long_each_time():
    consumer = Fickle(3)
    with make_client(consumer, backoff=10.0) as client:
        client.send("jobs", {})
        counts = []
        for seconds in (9.9, 0.1, 19.9, 0.1, 39.9, 0.1):
            client.clock.advance(seconds)
            counts.append(len(consumer.attempts))
    assert counts == [1, 2, 2, 3, 3, 4]


def test_it_is_never_longer_than_five_minutes():
    consumer = Fickle(2)
    with make_client(consumer, backoff=100_000.0) as client:
        client.send("jobs", {})
        client.clock.advance(MAX_BACKOFF)
    assert len(consumer.attempts) == 2


def test_after_its_retries_it_counts_as_failed(caplog):
    consumer = Fickle(10, delay=1.0)
    with make_client(consumer, retries=2) as client:
        client.send("jobs", {})
        client.clock.advance(1)
        with pytest.raises(ConsumeLater, match="not yet"):
            client.clock.advance(1)
        client.clock.advance(1000)
        [_, figures] = client.bridge.statistics()["routes"].values()
    assert consumer.attempts == [0, 1, 2]
    assert (figures["count"], figures["retries"], figures["errors"]) == (3, 2, 1)
    assert "given up after 2 retries" in caplog.text


def test_a_socket_waits_and_the_order_of_its_events_is_kept():
    seen = []

    def consumer(message):
        seen.append(message["text"])
        if message["text"] == "a" and "attempt" not in message:
            raise ConsumeLater(delay=5.0)
        message.reply_channel.send({"text": message["text"]})

    with make_client(consumer, RECEIVE) as client, client.websocket("/") as socket:
        socket.send("a")
        socket.send("b")
        assert socket.receive_nothing()
        client.clock.advance(5)
        assert [socket.receive(), socket.receive()] == ["a", "b"]
    assert seen == ["a", "a", "b"]


def test_a_layer_without_storage_says_so(caplog, monkeypatch):
    def no_storage(self):
        raise NotImplementedError("no extension 'storage'")

    loop = Loop([route(RECEIVE, Fickle(1))])
    monkeypatch.setattr(MemoryLayer, "storage", property(no_storage))
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"text": "done"}, {"close": 1011, "ack": 1}]
    assert "cannot be put off: no extension 'storage'" in caplog.text


@pytest.mark.parametrize("limits", [{"retries": -1}, {"retries": 1.5}, {"backoff": 0}])
def test_limits_that_cannot_be_are_refused(limits):
    with pytest.raises(RoutingError, match=next(iter(limits))):
        route("jobs", len, **limits)
