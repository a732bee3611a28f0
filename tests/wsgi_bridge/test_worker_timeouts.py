"""A consumer that takes longer than its route allows: interrupted, or given up and answered for."""

from __future__ import annotations

import threading

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, RECEIVE, REPLY, Loop
from wsgi_bridge import Bridge, route
from wsgi_bridge.exceptions import RoutingError
from wsgi_bridge.layers.concurrency import is_cooperative
from wsgi_bridge.testing import Client

PATIENCE = 10.0


class Stuck:
    """A consumer in a native thread that goes on only when the test says so."""

    def __init__(self):
        self.may_end = threading.Event()
        self.has_ended = threading.Event()

    def __call__(self, message):
        message.reply_channel.send({"text": "before"})
        assert self.may_end.wait(PATIENCE)
        message.reply_channel.send({"text": "after"})
        message.reply_channel.send({"text": "at once"}, immediately=True)
        self.has_ended.set()


@pytest.fixture
def stuck():
    stuck = Stuck()
    yield stuck
    stuck.may_end.set()


def run_stuck(stuck, channel, **options):
    """Run the consumer in a thread; return its loop, and what its peer was told meanwhile."""
    loop = Loop([route(channel, stuck, timeout=0.02, **options)])
    message = {"reply_channel": REPLY, "path": "/", "order": 3, "text": "x", "method": "GET"}
    thread = threading.Thread(target=loop.worker.run, args=(channel, message))
    thread.start()
    told = []
    while not any({"close", "status", "ack"} & set(answer) for answer in told):
        batch = loop.layer.receive_many([REPLY.partition("!")[0] + "!"], 10, timeout=PATIENCE)
        assert batch, "the peer was told nothing"
        told += [answer for _, answer in batch]
    stuck.may_end.set()
    thread.join(PATIENCE)
    assert stuck.has_ended.is_set()
    return loop, told


def test_a_socket_is_closed_with_1011_and_its_event_acknowledged_at_the_deadline(stuck, caplog):
    loop, told = run_stuck(stuck, RECEIVE)
    assert told == [{"text": "before"}, {"close": 1011, "ack": 3}]
    assert loop.answers() == []  # and nothing later
    assert "not done in 0.02 s, and given up: websocket.receive ->" in caplog.text
    assert is_cooperative() or "may_end.wait" in caplog.text  # where it was
    assert "dropped: a message to " + REPLY in caplog.text


def test_a_socket_that_may_go_on_does(stuck):
    _, told = run_stuck(stuck, RECEIVE, on_error="continue")
    assert told == [{"text": "before", "ack": 3}]


def test_a_handshake_is_answered_with_500(stuck):
    _, told = run_stuck(stuck, CONNECT)
    assert [(answer["accept"], answer["status"]) for answer in told] == [(False, 500)]


def test_a_request_is_answered_with_500(stuck):
    loop, told = run_stuck(stuck, "http.request")
    assert told[-1]["status"] == 500
    assert loop.answers() == []


def test_it_is_counted_once_as_an_error_and_a_timeout(stuck):
    loop, _ = run_stuck(stuck, RECEIVE)
    [figures] = [each for name, each in loop.worker.statistics().items() if name != "site"]
    counts = {key: figures[key] for key in ("count", "errors", "timeouts", "in_flight")}
    assert counts == {"count": 1, "errors": 1, "timeouts": 1, "in_flight": 0}


def test_a_consumer_that_ends_in_time_is_left_alone():
    loop = Loop([route(RECEIVE, lambda message: None, timeout=PATIENCE)])
    loop.send(RECEIVE, text="x", order=1)
    assert loop.answers() == [{"ack": 1}]


@pytest.mark.parametrize("timeout", [0, -1, "5"])
def test_a_timeout_is_a_number_above_0(timeout):
    with pytest.raises(RoutingError, match="timeout"):
        route("jobs", len, timeout=timeout)


# Interrupted: by a pool that can


def wait_for_news(message):
    try:
        message.channel_layer.receive(["news"], block=True)
    except Exception:  # noqa: BLE001 - consumers do
        message.reply_channel.send({"text": "swallowed"})


def make_site(channel, **options):
    return Bridge(len, [route("websocket.connect", len, path="^/open$"),
                        route(channel, wait_for_news, timeout=5.0, **options)])  # fmt: skip


def test_who_waits_is_interrupted_and_the_peer_sees_a_failure(caplog):
    bridge = make_site(RECEIVE)
    with Client(bridge, raise_exceptions=False) as client:
        socket = client.websocket("/open")
        socket.send("x")
        client.clock.advance(4.9)
        assert socket.close_code is None
        client.clock.advance(0.1)
        assert socket.close_code == 1011
        assert socket.receive_nothing()
        routes = bridge.statistics()["routes"]
    assert [figures["timeouts"] for figures in routes.values()] == [0, 0, 1]
    assert "ConsumerTimeout: not done in 5.0 s" in caplog.text
