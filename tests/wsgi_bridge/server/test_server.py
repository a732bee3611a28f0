"""What the connections of a process share: dispatch, group messages, deadlines, retries, stop."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge import open_layer
from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.server.server import DISPATCH_BATCH, NEVER, RETRY_DELAY


class Connection:
    """A connection that notes what it gets, and fails when told to."""

    def __init__(self, fails=False):
        self.fails = fails
        self.messages = []
        self.broadcasts = []
        self.stops = []
        self.deadline = NEVER

    def _note(self, notes, item):
        notes.append(item)
        if self.fails:
            raise ValueError("a connection that fails")

    def deliver(self, message):
        self._note(self.messages, message)

    def deliver_broadcast(self, broadcast):
        self._note(self.broadcasts, broadcast)

    def stop(self, code):
        self._note(self.stops, code)

    def on_due(self):
        self.deadline = NEVER
        self._note(self.messages, "due")


@pytest.fixture
def rig():
    with Rig() as made:
        yield made


def test_each_reply_channel_is_new_and_leads_to_its_connection(rig):
    first, second = Connection(), Connection()
    names = [rig.server.register(each) for each in (first, second)]
    assert len(set(names)) == 2
    assert all(name.startswith("gunicorn.response.") for name in names)
    rig.layer.send(names[1], {"text": "a"})
    wait_for(lambda: second.messages)
    assert (first.messages, second.messages) == ([], [{"text": "a"}])


def test_a_reply_to_a_connection_that_has_gone_is_dropped(rig):
    name = rig.server.register(Connection())
    rig.server.unregister(name)
    rig.server.unregister(name)
    rig.layer.send(name, {"text": "a"})
    settle()
    assert rig.layer.channel_statistics(name)["messages_pending"] == 0


def test_replies_come_in_order_in_more_than_one_batch(rig):
    connection = Connection()
    name = rig.server.register(connection)
    for number in range(99):
        rig.layer.send(name, {"n": number})
    settle()
    assert [each["n"] for each in connection.messages] == list(range(99))


def test_more_replies_than_a_batch_take_several_turns():
    with Rig(open_layer("memory://", capacity=10 * DISPATCH_BATCH)) as rig:
        connection = Connection()
        name = rig.server.register(connection)
        for number in range(2 * DISPATCH_BATCH + 1):
            rig.layer.send(name, {"n": number})
        wait_for(lambda: len(connection.messages) == 2 * DISPATCH_BATCH + 1)


def test_replies_from_another_thread_wake_the_hub(rig):
    connection = Connection()
    name = rig.server.register(connection)
    thread = threading.Thread(target=rig.layer.send, args=(name, {"text": "a"}))
    thread.start()
    wait_for(lambda: connection.messages)
    thread.join()


def test_a_connection_that_fails_does_not_stop_the_others(rig, caplog):
    bad, good = Connection(fails=True), Connection()
    names = [rig.server.register(each) for each in (bad, good)]
    for name in names:
        rig.layer.group_add("g", name)
        rig.layer.send(name, {"text": "a"})
    rig.layer.send_group("g", {"text": "b"})
    wait_for(lambda: good.broadcasts)
    assert (len(bad.messages), len(good.messages)) == (1, 1)
    assert caplog.text.count("could not be delivered") == 2
    rig.server.stop(1012)
    assert (bad.stops, good.stops) == ([1012], [1012])


# Group messages


def test_a_group_message_is_one_object_for_all_its_members(rig):
    connections = [Connection() for _ in range(5)]
    for each in connections:
        rig.layer.group_add("g", rig.server.register(each))
    rig.layer.send_group("g", {"text": "a"})
    wait_for(lambda: connections[-1].broadcasts)
    assert len({id(each.broadcasts[0]) for each in connections}) == 1
    assert all(len(each.broadcasts) == 1 for each in connections)


def test_a_member_that_has_gone_leaves_its_groups(rig):
    name = rig.server.register(Connection())
    rig.layer.group_add("g", name)
    rig.server.unregister(name)
    rig.layer.send_group("g", {"text": "a"})
    wait_for(lambda: rig.layer.group_channels("g") == [])


# Deadlines


def test_a_deadline_that_has_passed_is_told_once(rig):
    connection = Connection()
    connection.deadline = rig.clock() + 1
    rig.server.timed.add(connection)
    rig.advance(0.9)
    assert connection.messages == []
    rig.advance(0.2)
    rig.advance(10)
    assert connection.messages == ["due"]


def test_a_deadline_that_fails_does_not_stop_the_others(rig, caplog):
    both = [Connection(fails=True), Connection(fails=True)]
    for each in both:
        each.deadline = rig.clock()
        rig.server.timed.add(each)
    rig.advance(0)
    assert [each.messages for each in both] == [["due"], ["due"]]
    assert caplog.text.count("what a deadline asks for failed") == 2


def test_the_date_is_renewed(rig):
    rig.server.preamble = b""
    rig.server._tick()
    assert rig.server.preamble.startswith(b"Server: wsgi-bridge\r\nDate: ")
    assert rig.server.preamble.endswith(b" GMT\r\n")


# Retries


def test_a_retry_comes_later_and_once_however_often_it_is_asked_for(rig):
    seen = []

    def function():
        seen.append(1)

    for _ in range(3):
        rig.server.retry(function)
    settle()
    wait_for(lambda: seen)
    settle()
    assert seen == [1]
    assert 0 < RETRY_DELAY <= 0.1


def test_a_retry_may_ask_for_another(rig):
    seen = []

    def function():
        seen.append(1)
        if len(seen) < 3:
            rig.server.retry(function)

    rig.server.retry(function)
    wait_for(lambda: len(seen) == 3)


def test_a_retry_that_fails_does_not_stop_the_others(rig, caplog):
    seen = []

    def fail():
        raise ValueError("x")

    rig.server.retry(fail)
    rig.server.retry(lambda: seen.append(1))
    wait_for(lambda: seen)
    assert "could not be tried again" in caplog.text


def test_a_server_that_was_closed_takes_no_more_replies():
    with Rig() as rig:
        connection = Connection()
        name = rig.server.register(connection)
    rig.layer.send(name, {"text": "a"})
    settle()
    assert connection.messages == []


def test_the_hub_watches_a_descriptor_until_told_otherwise(rig):
    mine, other = socket.socketpair()
    with mine, other:
        heard = []
        unwatch = rig.server.watch(mine.fileno(), lambda: heard.append(mine.recv(100)))
        other.send(b"a")
        wait_for(lambda: heard)
        unwatch()
        other.send(b"b")
        settle()
        assert heard == [b"a"]


def test_what_is_posted_in_a_turn_of_the_hub_goes_out_together(rig, monkeypatch):
    put, settled = [], []
    hand_over_many = rig.layer.hand_over_many

    def hand_over(messages):
        put.append([channel for channel, _ in messages])
        return hand_over_many(messages)

    monkeypatch.setattr(rig.layer, "hand_over_many", hand_over)
    for channel in ("a", "b"):
        rig.server.post(channel, {"text": channel}, settled.append)
    assert (put, settled) == ([], [])
    settle()
    assert (put, settled) == ([["a", "b"]], [None, None])
    assert rig.layer.receive(["a"]) == ("a", {"text": "a"})


def test_what_is_posted_can_be_put_on_the_layer_at_once(rig):
    settled = []
    rig.server.post("a", {}, settled.append)
    rig.server.deliver_posts()
    assert settled == [None]
    settle()
    assert settled == [None]


def test_each_poster_learns_what_was_refused(caplog):
    settled = []

    def fail(refusal):
        raise ValueError("a connection that fails")

    with Rig(open_layer("memory://", capacity=1)) as rig:
        rig.server.post("a", {}, fail)
        for channel in ("a", "b"):
            rig.server.post(channel, {}, settled.append)
        settle()
    assert [type(refusal) for refusal in settled] == [ChannelFull, type(None)]
    assert "could not be told" in caplog.text
