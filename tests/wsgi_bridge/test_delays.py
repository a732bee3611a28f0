"""Messages for later: `send_later`, `cancel`, `send_every`, and what `asgi.delay` takes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.wsgi_bridge.worker_loop import CONNECT, RECEIVE, answers
from wsgi_bridge import Bridge, Channel, ConsumeLater, Group, InvalidName, route
from wsgi_bridge.delays import DUE
from wsgi_bridge.exceptions import InvalidMessage, MessageTooLarge
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.outbox import Outbox
from wsgi_bridge.testing import Client


def make_client(*routing, **options):
    return Client(Bridge(answers("200 OK"), list(routing)), **options)


@pytest.fixture
def client():
    with make_client() as client:
        yield client


def numbers(client, channel="jobs"):
    return [message["n"] for message in client.messages(channel)]


def after(client, *steps):
    """Return what was there after each of some steps in seconds."""
    found = []
    for seconds in steps:
        client.clock.advance(seconds)
        found.append(numbers(client))
    return found


# When


def test_a_message_is_sent_after_its_delay(client):
    Channel("jobs").send_later({"n": 1}, delay=10)
    assert after(client, 0, 9.9, 0.2, 100) == [[], [], [1], []]


def test_a_message_is_sent_at_a_time(client):
    now = client.clock()
    aware = datetime.fromtimestamp(now + 20, timezone(timedelta(hours=-5)))
    Channel("jobs").send_later({"n": 1}, at=now + 10)
    Channel("jobs").send_later({"n": 2}, at=aware)
    assert after(client, 9.9, 0.2, 9.8, 0.2) == [[], [1], [], [2]]


def test_a_time_that_has_passed_is_now(client):
    Channel("jobs").send_later({"n": 1}, at=client.clock() - 100)
    Channel("jobs").send_later({"n": 2}, delay=0)
    assert after(client, 0) == [[1, 2]]


def test_every_alone_is_first_after_one_period(client):
    Channel("jobs").send_later({"n": 1}, every=10)
    assert after(client, 9.9, 0.2, 10, 10) == [[], [1], [1], [1]]


def test_every_may_have_a_first_time(client):
    Channel("jobs").send_later({"n": 1}, delay=0, every=10)
    assert after(client, 0, 9.9, 0.2) == [[1], [], [1]]


def test_missed_periods_are_sent_once(client):
    Channel("jobs").send_later({"n": 1}, every=10)
    assert after(client, 55, 4.9, 0.2) == [[1], [], [1]]


@pytest.mark.parametrize(
    ("when", "error", "text"),
    [
        ({}, TypeError, "expected delay=, at= or every="),
        ({"delay": 1, "at": 1}, ValueError, "one of them at most"),
        ({"delay": -1}, ValueError, "delay is -1: expected seconds, 0 or more"),
        ({"delay": float("nan")}, ValueError, "finite"),
        ({"delay": "1"}, TypeError, "delay is '1': expected a number of seconds"),
        ({"delay": True}, TypeError, "delay is True"),
        ({"every": 0}, ValueError, "every is 0: expected seconds above 0"),
        ({"every": float("inf")}, ValueError, "every is inf"),
        ({"at": "noon"}, TypeError, "at is 'noon'"),
        ({"at": -1}, ValueError, "since the epoch"),
        ({"at": datetime(2030, 1, 1)}, ValueError, "no time zone.*astimezone"),  # noqa: DTZ001
    ],
)
def test_a_time_that_is_none_is_refused_on_the_callers_line(client, when, error, text):
    for target in (Channel("jobs"), Group("jobs")):
        with pytest.raises(error, match=text):
            target.send_later({}, **when)
    assert client.layer.storage.scheduled() == (0, None)


@pytest.mark.parametrize(
    ("content", "key", "error"),
    [({"a": {1}}, "x", InvalidMessage), ("text", "x", InvalidMessage), ({}, "", InvalidName),
     ({"a": bytes(20_000_000)}, "x", MessageTooLarge)],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused_on_the_callers_line(client, content, key, error):
    for target in (Channel("jobs"), Group("jobs")):
        with pytest.raises(error):
            target.send_later(content, delay=1, id=key)


def test_a_layer_without_storage_says_so_on_the_callers_line(monkeypatch, client):
    def no_storage(self):
        raise NotImplementedError("no extension 'storage'")

    monkeypatch.setattr(MemoryLayer, "storage", property(no_storage))
    monkeypatch.setattr(MemoryLayer, "extensions", ("groups",))
    with pytest.raises(NotImplementedError, match="no extension 'storage'"):
        Channel("jobs").send_later({}, delay=1)
    with Outbox(client.layer), pytest.raises(NotImplementedError):
        Group("jobs").send_later({}, delay=1)


def test_the_id_of_a_group_has_room_beside_its_name(client):
    with Outbox(client.layer), pytest.raises(InvalidName, match="is not a key"):
        Group("g" * 99).send_later({}, delay=1, id="x" * 200)


# Ids


def test_an_id_has_one_message_of_a_channel(client):
    assert Channel("jobs").send_later({"n": 1}, delay=10, id="x") == "x"
    Channel("jobs").send_later({"n": 2}, delay=20, id="x")
    Channel("others").send_later({"n": 3}, delay=10, id="x")
    assert after(client, 11, 10) == [[], [2]]
    assert numbers(client, "others") == [3]


def test_a_cancelled_message_is_not_sent(client):
    key = Channel("jobs").send_later({"n": 1}, delay=10)
    assert not Channel("others").cancel(key)
    assert Channel("jobs").cancel(key)
    assert not Channel("jobs").cancel(key)
    assert after(client, 10) == [[]]


def test_whoever_schedules_again_does_not_put_it_off(client):
    for number in range(3):
        Channel("jobs").send_later({"n": number}, every=10, id="x")
        client.clock.advance(4)
    assert numbers(client) == [2]
    assert after(client, 7.9, 0.2) == [[], [2]]


def test_a_named_time_replaces_the_one_before(client):
    Channel("jobs").send_later({"n": 1}, every=10, id="x")
    Channel("jobs").send_later({"n": 2}, every=10, delay=15, id="x")
    assert after(client, 11, 5, 10) == [[], [2], [2]]


# Groups


def test_a_group_message_goes_to_those_that_are_members_then(client):
    Group("room").add("early")
    Group("room").send_later({"n": 1}, delay=10)
    Group("room").add("late")
    Group("room").discard("early")
    client.clock.advance(10)
    assert (numbers(client, "early"), numbers(client, "late")) == ([], [1])


def test_a_group_with_history_keeps_what_was_sent_to_it_later(client):
    orders = Group("orders", history=10)
    orders.add("member")
    place = orders.position()
    orders.send_later({"text": "one"}, delay=10)
    client.clock.advance(10)
    [message] = [each["text"] for each in orders.recover(place).messages]
    assert message == "one"
    assert client.layer.receive(["member"])[1]["offset"] == place.offset + 1
    with pytest.raises(InvalidMessage, match="a group with history is sent text"):
        orders.send_later({"bytes": b"two"}, delay=10)


def test_ids_of_groups_and_channels_are_apart(client):
    for name in ("a", "b"):
        Group(name).add(f"member.{name}")
        Group(name).send_later({"n": 1}, delay=10, id="x")
    Channel("jobs").send_later({"n": 2}, delay=10, id="x")
    assert Group("a").cancel("x")
    assert not Group("a").cancel("x")
    client.clock.advance(10)
    found = [numbers(client, name) for name in ("member.a", "member.b", "jobs")]
    assert found == [[], [1], [2]]


def test_many_groups_are_sent_to_at_once(client):
    for number in range(300):
        Group("room").send_later({"n": number}, delay=1)
        client.run()
    client.clock.advance(1)
    assert client.layer.storage.scheduled() == (0, None)
    assert client.layer.channel_statistics(DUE)["channel_full_count"] == 0


# In a consumer


def test_what_a_consumer_sends_later_is_scheduled_when_it_ends():
    seen = []

    def consumer(message):
        Channel("jobs").send_later({"n": 1}, delay=1, id="waits")
        Channel("jobs").send_later({"n": 2}, delay=1, id="now", immediately=True)
        seen.append(message.channel_layer.storage.scheduled().number)

    with make_client(route("begin", consumer)) as client:
        client.send("begin", {})
        assert seen == [1]
        assert client.layer.storage.scheduled().number == 2
        assert sorted(after(client, 1)[0]) == [1, 2]


def test_the_delay_counts_from_the_call():
    def consumer(message):
        Channel("jobs").send_later({"n": 1}, delay=10)
        client.clock._advanced += 4  # it takes four seconds

    with make_client(route("begin", consumer)) as client:
        client.send("begin", {})
        assert after(client, 5.9, 0.2) == [[], [1]]


def test_who_wants_the_message_later_forgets_what_was_sent_for_later():
    def consumer(message):
        Channel("jobs").send_later({"n": 1}, delay=1)
        if "attempt" not in message:
            raise ConsumeLater(delay=5)

    with make_client(route("begin", consumer)) as client:
        client.send("begin", {})
        assert after(client, 2, 4, 2) == [[], [], [1]]


def test_a_consumer_may_cancel_what_it_has_not_scheduled_yet():
    seen = []

    def consumer(message):
        Channel("jobs").send_later({"n": 1}, delay=1, id="x")
        Group("jobs").send_later({"n": 2}, delay=1, id="x")
        seen.extend([Channel("jobs").cancel("x"), Channel("jobs").cancel("x")])

    with make_client(route("begin", consumer)) as client:
        client.send("begin", {})
        assert seen == [True, False]
        assert client.layer.storage.scheduled().number == 1


def test_a_failed_schedule_is_logged_with_the_route_and_the_rest_goes_out(caplog, monkeypatch):
    def consumer(message):
        Channel("jobs").send_later({"n": 1}, delay=1)
        Channel("jobs").send({"n": 2})

    def fail(*arguments, **options):
        raise InvalidMessage("not today")

    with make_client(route("begin", consumer)) as client:
        monkeypatch.setattr(client.layer.storage, "schedule", fail)
        client.send("begin", {})
        assert numbers(client) == [2]
    assert "a message to jobs was lost: InvalidMessage('not today')" in caplog.text


def test_an_answer_for_later_leaves_the_handshake_to_be_accepted_now():
    def connect(message):
        message.reply_channel.send_later({"text": "an hour has passed"}, delay=3600)
        message.reply_channel.send_later({"text": "two"}, delay=7200, immediately=True)

    with make_client(route(CONNECT, connect)) as client, client.websocket("/") as socket:
        assert socket.receive_nothing()
        client.clock.advance(3600)
        assert socket.receive() == "an hour has passed"


def test_a_job_of_a_channel_may_answer_the_socket_that_asked_for_it():
    def receive(message):
        content = {"for": message.reply_channel.name, "text": message["text"]}
        Channel("jobs").send_later(content, delay=2)

    def job(message):
        Channel(message["for"]).send({"text": message["text"].upper()})

    with make_client(route(RECEIVE, receive), route("jobs", job)) as client:
        socket = client.websocket("/")
        socket.send("tea")
        assert socket.receive_nothing()
        client.clock.advance(2)
        assert socket.receive() == "TEA"


# Periodic messages of a site


def test_send_every_is_sent_every_so_often():
    seen = []
    bridge = Bridge(answers("200 OK"), [route("sweep", lambda message: seen.append(message["n"]))])
    bridge.send_every(10, "sweep", {"n": 1})
    bridge.send_every(25, "sweep", {"n": 2}, id="other")
    with Client(bridge) as client:
        client.get("/")
        for _ in range(5):
            client.clock.advance(5.1)
        assert seen == [1, 1, 2]


def test_send_every_is_kept_on_the_timetable():
    bridge = Bridge(answers("200 OK"))
    bridge.send_every(10, "jobs", {"n": 1})
    with Client(bridge) as client:
        client.get("/")
        client.layer.flush()  # as a Redis that was restarted
        assert after(client, 59, 2, 10, 10) == [[], [], [1], [1]]


def test_a_process_that_starts_does_not_put_it_off():
    layer = MemoryLayer()
    for _ in range(2):
        bridge = Bridge(answers("200 OK"))
        bridge.send_every(10, "jobs", {"n": 1})
        with Client(bridge, layer=layer) as client:
            layer.clock = client.clock
            first = layer.storage.scheduled().next_due
            client.get("/")
            number, due = layer.storage.scheduled()
            assert number == 1
            assert due == first or first is None


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((0, "jobs"), ValueError, "every is 0"),
        ((10, "a b"), InvalidName, "a b"),
        ((10, "jobs", {"a": {1}}), InvalidMessage, "set"),
        ((10, "twice"), ValueError, "tell them apart by id="),
    ],
)
def test_what_cannot_be_sent_every_so_often_is_refused(arguments, error, text):
    bridge = Bridge(answers("200 OK"))
    bridge.send_every(10, "twice")
    with pytest.raises(error, match=text):
        bridge.send_every(*arguments)


# asgi.delay


def delays(client):
    return client.bridge.statistics()["delays"]


def test_a_message_on_asgi_delay_is_sent_later(client):
    """As the draft has it."""
    client.send("asgi.delay", {"channel": "jobs", "delay": 1500, "content": {"n": 1}})
    assert after(client, 1.4, 0.2) == [[], [1]]
    assert delays(client) == {"received": 1, "malformed": 0, "released": 1}


def test_asgi_delay_has_ids_times_and_periods(client):
    now = client.clock()
    for message in (
        {"delay": 1000, "content": {"n": 1}, "id": "replaced"},
        {"delay": 2000, "content": {"n": 2}, "id": "replaced"},
        {"at": now + 3, "content": {"n": 3}},
        {"every": 4000, "content": {"n": 4}, "id": "ends"},
        {"delay": 1000, "content": {"n": 5}, "id": "cancelled"},
        {"cancel": True, "id": "cancelled"},
    ):
        client.send("asgi.delay", {"channel": "jobs", **message})
    assert after(client, 1.1, 1, 1, 1, 4) == [[], [2], [3], [4], [4]]
    client.send("asgi.delay", {"channel": "jobs", "cancel": True, "id": "ends"})
    assert after(client, 4) == [[]]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({}, "None is not a channel name"),
        ({"channel": "a b"}, "'a b' is not a channel name"),
        ({"channel": "jobs"}, "content is NoneType: expected a dict"),
        ({"channel": "jobs", "content": {}}, "expected delay=, at= or every="),
        ({"channel": "jobs", "content": {}, "delay": "1"}, "delay is '1': expected a number of ms"),
        ({"channel": "jobs", "content": {}, "delay": -1}, "delay is -1: expected a number of ms"),
        ({"channel": "jobs", "content": {}, "delay": 1, "every": False}, "every is False"),
        ({"channel": "jobs", "content": {}, "every": 0}, "every is 0"),
        ({"channel": "jobs", "content": {}, "delay": 1, "at": 1.0}, "one of them at most"),
        ({"channel": "jobs", "content": {}, "at": "noon"}, "at is 'noon'"),
        ({"channel": "jobs", "content": {}, "delay": float("inf")}, "finite"),
        ({"channel": "jobs", "content": {}, "delay": 1, "id": 7}, "7 is not a key"),
        ({"channel": "jobs", "cancel": True}, "cancel without id"),
    ],
)
def test_a_malformed_one_is_logged_counted_and_dropped(client, caplog, message, text):
    client.send("asgi.delay", message)
    client.send("asgi.delay", {"channel": "jobs", "delay": 0, "content": {"n": 1}})
    assert numbers(client) == [1]
    assert text in caplog.text
    assert delays(client) == {"received": 2, "malformed": 1, "released": 1}


def test_a_burst_of_malformed_ones_is_one_line(client, caplog):
    client.layer.send_many([("asgi.delay", {"n": number}) for number in range(50)])
    client.run()
    assert len(caplog.records) == 1
    assert "50 of them" in caplog.text


def test_a_site_may_serve_asgi_delay_itself():
    seen = []
    with make_client(route("asgi.delay", lambda message: seen.append(dict(message)))) as client:
        client.send("asgi.delay", {"own": 1})
        Group("room").add("member")
        Group("room").send_later({"n": 1}, delay=1)
        client.clock.advance(1)
        assert numbers(client, "member") == [1]
    assert seen == [{"own": 1}]


def test_a_test_may_hold_asgi_delay():
    with make_client(hold=["asgi.delay"]) as client:
        client.send("asgi.delay", {"channel": "jobs", "delay": 10, "content": {}})
        assert client.messages("asgi.delay") == [{"channel": "jobs", "delay": 10, "content": {}}]
