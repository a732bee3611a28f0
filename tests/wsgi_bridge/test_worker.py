"""The worker loop: it runs consumers, and survives whatever they do."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import (
    CONNECT,
    DISCONNECT,
    FAILURES,
    RECEIVE,
    REPLY,
    Loop,
    Pool,
    failing,
    make_failing,
    survive,
)
from wsgi_bridge import Channel, Group, open_layer, route
from wsgi_bridge.presence.roll import CHECK
from wsgi_bridge.worker import BATCH, PROTOCOL_CHANNELS

# Taking messages


def test_every_channel_of_the_protocols_is_received_and_those_routed():
    loop = Loop([route("thumbnails", lambda message: None)])
    assert set(loop.worker.channels) == PROTOCOL_CHANNELS | {"thumbnails", CHECK}


def test_messages_that_waited_before_the_start_are_taken():
    layer, seen = open_layer("memory://"), []
    layer.send("jobs", {"a": 1})
    loop = Loop([route("jobs", lambda message: seen.append(message["a"]))], layer=layer)
    loop.turn()
    assert seen == [1]


def test_no_more_messages_are_taken_than_can_run():
    seen = []
    loop = Loop([route("jobs", lambda message: seen.append(message["n"]))], pool=Pool(free=0))
    for number in range(3):
        loop.send("jobs", n=number)
    assert seen == []
    assert loop.layer.channel_statistics("jobs")["messages_pending"] == 3
    loop.pool.free = 2
    loop.worker.pump_soon()
    loop.turn()
    assert seen == [0, 1, 2]


def test_a_burst_is_taken_in_batches():
    layer, seen = open_layer("memory://", capacity=1000), []
    loop = Loop([route("jobs", lambda message: seen.append(1))], layer=layer, pool=Pool(1000))
    for _ in range(3 * BATCH):
        layer.send("jobs", {})
    loop.turn()
    assert len(seen) == 3 * BATCH


def test_a_worker_that_was_stopped_takes_nothing():
    loop = Loop([route("jobs", failing(ValueError()))])
    loop.worker.stop()
    loop.worker.stop()
    loop.send("jobs")
    assert loop.pool.started == []


# What consumers send


def test_sends_go_out_when_the_consumer_ends():
    seen = []

    def consumer(message):
        message.reply_channel.send({"text": "a"})
        Group("g").send({"text": "b"})
        seen.append(loop.answers())

    loop = Loop([route("jobs", consumer)])
    loop.layer.group_add("g", REPLY)
    loop.send("jobs")
    assert seen == [[]]
    assert loop.answers() == [{"text": "a"}, {"text": "b"}]


def test_a_send_with_immediately_goes_out_at_once():
    seen = []

    def consumer(message):
        message.reply_channel.send({"text": "a"}, immediately=True)
        seen.append(loop.answers())

    loop = Loop([route("jobs", consumer)])
    loop.send("jobs")
    assert seen == [[{"text": "a"}]]


def test_a_send_that_fails_does_not_stop_those_after_it(caplog):
    def consumer(message):
        for _ in range(101):
            Channel("full").send({"a": 1})
        message.reply_channel.send({"text": "after"})

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"text": "after", "ack": 1}]
    assert "a message to full was lost" in caplog.text
    assert "websocket.receive" in caplog.text


def test_named_groups_are_keyword_arguments():
    seen = []
    routing = [route(RECEIVE, lambda message, room: seen.append(room), path=r"^/(?P<room>\w+)$")]
    loop = Loop(routing)
    loop.send(RECEIVE, path="/lobby", text="x", order=1)
    assert seen == ["lobby"]


# Consumers that fail


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_receive_that_fails_sends_what_it_sent_then_1011_and_its_acknowledgement(exc, caplog):
    loop = Loop([route(RECEIVE, make_failing(exc), path="^/")])
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=7))
    assert loop.answers() == [{"text": "before"}, {"close": 1011, "ack": 7}]
    assert "the consumer failed: websocket.receive path='^/' ->" in caplog.text


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_receive_that_may_go_on_is_acknowledged_only(exc):
    loop = Loop([route(RECEIVE, make_failing(exc), on_error="continue")])
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=7))
    assert loop.answers() == [{"text": "before", "ack": 7}]


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_connect_that_fails_is_a_500_and_never_an_accept(exc):
    loop = Loop([route(CONNECT, make_failing(exc), on_error="continue")])
    survive(loop, loop.connect)
    [answer] = loop.answers()
    assert (answer["accept"], answer["status"]) == (False, 500)
    assert "text" not in answer


def test_a_connect_that_fails_after_accepting_at_once_is_closed_with_1011():
    def consumer(message):
        message.reply_channel.send({"accept": True}, immediately=True)
        raise ValueError("too late for a 500")

    loop = Loop([route(CONNECT, consumer)])
    loop.connect()
    accept, failure = loop.answers()
    assert (accept, failure["close"]) == ({"accept": True}, 1011)


@pytest.mark.parametrize("exc", FAILURES.values(), ids=FAILURES)
def test_a_disconnect_that_fails_answers_nothing_more(exc, caplog):
    loop = Loop([route(DISCONNECT, make_failing(exc))])
    survive(loop, lambda: loop.send(DISCONNECT, code=1000, order=2))
    assert loop.answers() == [{"text": "before"}]
    assert "the consumer failed: websocket.disconnect ->" in caplog.text


def test_an_http_consumer_that_fails_is_a_500():
    loop = Loop([route("http.request", failing(ValueError()))])
    loop.send("http.request", method="GET")
    assert loop.answers()[-1]["status"] == 500


def test_a_consumer_without_a_reply_channel_may_fail_too(caplog):
    loop = Loop([route("jobs", failing(ValueError()))])
    loop.layer.send("jobs", {"n": 1})
    loop.turn()
    assert "the consumer failed: jobs ->" in caplog.text


def test_the_loop_goes_on_after_every_failure():
    seen = []

    def consumer(message):
        seen.append(message["n"])
        raise ValueError

    loop = Loop([route("jobs", consumer)])
    for number in range(5):
        loop.send("jobs", n=number)
    assert seen == [0, 1, 2, 3, 4]


def test_what_ends_a_greenlet_or_the_process_is_passed_on_to_the_pool():
    loop = Loop([route("jobs", failing(KeyboardInterrupt()))])
    with pytest.raises(KeyboardInterrupt):
        loop.send("jobs")


def test_closing_twice_is_no_error(caplog):
    def consumer(message):
        message.reply_channel.send({"close": True})
        message.reply_channel.send({"close": 4000})

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"close": True}, {"close": 4000, "ack": 1}]
    assert caplog.records == []


def test_a_message_that_cannot_be_sent_fails_on_the_consumers_line():
    seen = []

    def consumer(message):
        with pytest.raises(TypeError) as caught:
            message.reply_channel.send({"text": object()})
        seen.append(str(caught.value))

    loop = Loop([route(RECEIVE, consumer)])
    loop.send(RECEIVE, text="x", order=1)
    assert "text" in seen[0]
    assert loop.answers() == [{"ack": 1}]


# Acknowledgements


def test_an_event_is_acknowledged_after_what_its_consumer_sent():
    def consumer(message):
        message.reply_channel.send({"text": "a"})
        Group("g").send({"text": "b"})

    loop = Loop([route(RECEIVE, consumer)])
    loop.layer.group_add("g", REPLY)
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"text": "a"}, {"text": "b"}, {"ack": 3}]


def test_an_event_that_no_consumer_takes_is_acknowledged():
    loop = Loop([route(RECEIVE, failing(ValueError()), path="^/other$")])
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"ack": 3}]


@pytest.mark.parametrize("routing", [[], [route(RECEIVE, lambda message: None)]])
def test_an_acknowledgement_waits_for_a_full_reply_channel(routing, monkeypatch):
    loop = Loop(routing)
    for _ in range(100):
        loop.layer.send(REPLY, {"text": "in the way"})
    monkeypatch.setattr("wsgi_bridge.worker.time.sleep", lambda seconds: loop.answers())
    loop.send(RECEIVE, text="x", order=3)
    assert loop.answers() == [{"ack": 3}]


def test_an_event_without_an_order_loses_nothing():
    loop = Loop([route(RECEIVE, lambda message: message.reply_channel.send({"text": "a"}))])
    loop.send(RECEIVE, text="made by hand")
    assert loop.answers()[0]["text"] == "a"
