"""Message, Channel, Group, and the outbox behind them: what goes out, when, in which order."""

import contextvars
import threading
from typing import ClassVar

import pytest

from wsgi_bridge.consumers import (
    Channel,
    Group,
    Message,
    Outbox,
    get_default_layer,
    set_default_layer,
)
from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import (
    ChannelFull,
    ChannelLayerError,
    ChannelLayerUnavailable,
    InvalidMessage,
    InvalidName,
    MessageTooLarge,
)
from wsgi_bridge.layers.memory import MemoryLayer

REPLY = "server.response.P1!c1"


@pytest.fixture
def layer():
    layer = MemoryLayer(capacity=10, channel_capacity={"tiny": 1, "none": 0}, max_message_size=2000)
    yield layer
    layer.close()


@pytest.fixture(autouse=True)
def no_default_layer(monkeypatch):
    monkeypatch.delenv("CHANNEL_LAYER", raising=False)
    set_default_layer(None)
    yield
    set_default_layer(None)


def messages(layer, channel):
    """Take what waits on a channel."""
    return [message for _, message in layer.receive_many([channel], limit=100)]


def replies(layer):
    return messages(layer, "server.response.P1!")


# When and in which order


def test_a_send_in_a_consumer_goes_out_when_it_ends(layer):
    outbox = Outbox(layer)
    with outbox:
        Channel("work").send({"n": 1})
        Group("lobby").add("member")
        Group("lobby").send({"n": 2})
        assert messages(layer, "work") == messages(layer, "member") == []

    assert outbox.flush() == []
    assert messages(layer, "work") == [{"n": 1}]
    assert messages(layer, "member") == [{"n": 2}]


def test_a_send_goes_out_also_when_the_consumer_fails_after_it(layer):
    outbox = Outbox(layer)

    def consumer():
        with outbox:
            Channel("work").send({"n": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consumer()
    outbox.flush()

    assert messages(layer, "work") == [{"n": 1}]


def test_immediately_sends_at_once(layer):
    with Outbox(layer):
        Channel("work").send({"n": 1}, immediately=True)
        Group("lobby").add("member")
        Group("lobby").send({"n": 2}, immediately=True)

        assert messages(layer, "work") == [{"n": 1}]
        assert messages(layer, "member") == [{"n": 2}]


def test_a_send_outside_a_consumer_goes_out_at_once(layer):
    set_default_layer(layer)

    Channel("work").send({"n": 1})
    Group("lobby").add("member")
    Group("lobby").send({"n": 2})

    assert messages(layer, "work") == [{"n": 1}]
    assert messages(layer, "member") == [{"n": 2}]


def test_sends_keep_their_order_over_channels_and_groups(layer):
    Group("lobby", layer).add(REPLY)
    outbox = Outbox(layer)
    with outbox:
        Channel(REPLY).send({"text": "1"})
        Group("lobby").send({"text": "2"})
        Channel(REPLY).send({"text": "3"})
    outbox.flush()

    assert [message["text"] for message in replies(layer)] == ["1", "2", "3"]


def test_what_is_sent_is_copied_at_once(layer):
    outbox, content = Outbox(layer), {"list": [1]}
    with outbox:
        Channel("work").send(content)
        content["list"].append(2)
        content["other"] = 3
    outbox.flush()

    assert messages(layer, "work") == [{"list": [1]}]


WRONG = [
    (lambda: Channel("no good"), InvalidName),
    (lambda: Channel(3), InvalidName),
    (lambda: Group("a!b"), InvalidName),
    (lambda: Channel("x").send({"a": object()}), InvalidMessage),
    (lambda: Channel("x").send({3: "a"}), InvalidMessage),
    (lambda: Channel("x").send("text"), InvalidMessage),
    (lambda: Group("x").send({"a": {1}}), InvalidMessage),
    (lambda: Channel("x").send({"text": "a" * 2001}), MessageTooLarge),
    (lambda: Channel("none").send({}, immediately=True), ChannelFull),
    (lambda: Group("x").add(None), InvalidName),
    (lambda: Group("x").add("no good"), InvalidName),
    (lambda: Group("x").add(Message({}, "x", None)), InvalidName),
]


@pytest.mark.parametrize(("call", "error"), WRONG)
def test_an_error_is_raised_on_the_line_that_is_wrong(layer, call, error):
    with Outbox(layer), pytest.raises(error):
        call()


# Flush


def test_a_failed_send_does_not_stop_the_next(layer):
    outbox = Outbox(layer)
    for _ in range(2):
        outbox.send("tiny", {})
    outbox.send("work", {"n": 1})

    failures = outbox.flush()

    assert [(name, type(error)) for name, error in failures] == [("tiny", ChannelFull)]
    assert messages(layer, "work") == [{"n": 1}]


def test_messages_to_channels_of_one_layer_go_out_together():
    class Counting(MemoryLayer):
        sizes: ClassVar = []

        def hand_over_many(self, messages):
            self.sizes.append(len(messages))
            return super().hand_over_many(messages)

    layer, other = Counting(), MemoryLayer()
    outbox = Outbox(layer)
    with outbox:
        for number in range(3):
            Channel("work").send({"n": number})
        Group("lobby").send({})
        Channel("work").send({"n": 3})
        Channel("work", other).send({"n": 4})
        for number in range(5, 7):
            Channel("work").send({"n": number})

    assert outbox.flush(ack=(REPLY, 3)) == []
    assert layer.sizes == [3, 3]
    assert messages(layer, "work") == [{"n": number} for number in (0, 1, 2, 3, 5, 6)]
    assert messages(other, "work") == [{"n": 4}]
    assert replies(layer) == [{"ack": 3}]


def test_a_backend_that_is_away_fails_all_that_go_out_together():
    layer = MemoryLayer()
    layer.close()
    outbox = Outbox(layer)
    for _ in range(2):
        outbox.send("work", {})
    failures = outbox.flush(ack=(REPLY, 3))
    assert [name for name, _ in failures] == ["work", "work", REPLY]
    assert {type(error) for _, error in failures} == {ChannelLayerUnavailable}
    assert not outbox.acknowledged


def test_the_bug_of_a_third_partys_layer_is_logged_and_does_not_stop_the_next(layer, caplog):
    class Buggy(MemoryLayer):
        def send_group(self, group, message):
            raise KeyError(group)

    buggy = Buggy()
    outbox = Outbox(buggy)
    outbox.send_group("lobby", {})
    failures = outbox.flush(ack=(REPLY, 3))

    assert [(name, type(error)) for name, error in failures] == [("lobby", KeyError)]
    assert "sending to 'lobby' failed" in caplog.text
    assert replies(buggy) == [{"ack": 3}]


def test_a_second_flush_sends_nothing_again(layer):
    outbox = Outbox(layer)
    outbox.send("work", {})
    outbox.flush()
    outbox.flush()

    assert len(messages(layer, "work")) == 1


def test_sends_through_the_outbox_itself_check_names_too(layer):
    outbox = Outbox(layer)
    with pytest.raises(InvalidName):
        outbox.send("no good", {})
    with pytest.raises(InvalidName):
        outbox.send_group("a!b", {})


def test_what_outlives_its_consumer_sends_at_once(layer):
    outbox = Outbox(layer)
    with outbox:
        stray = contextvars.copy_context()
    outbox.flush()

    stray.run(Channel("work").send, {"n": 1})
    assert messages(layer, "work") == [{"n": 1}]


def test_a_thread_of_a_consumer_sends_at_once(layer):
    set_default_layer(layer)
    with Outbox(layer):
        thread = threading.Thread(target=Channel("work").send, args=({"n": 1},))
        thread.start()
        thread.join()
        assert messages(layer, "work") == [{"n": 1}]


# The acknowledgement: (what the consumer sends, what then waits on the reply channel)

ACKS = [
    ([], [{"ack": 3}]),
    ([(REPLY, {"text": "a"})], [{"text": "a", "ack": 3}]),
    ([(REPLY, {"text": "a"}), (REPLY, {})], [{"text": "a"}, {"ack": 3}]),
    # Not on an earlier message: the socket's next event might overtake the sends after it.
    ([(REPLY, {"text": "a"}), ("work", {})], [{"text": "a"}, {"ack": 3}]),
    ([("server.response.P1!c2", {"text": "a"})], [{"text": "a"}, {"ack": 3}]),
    ([("tiny", {}), ("tiny", {})], [{"ack": 3}]),
]


@pytest.mark.parametrize(("sends", "expected"), ACKS)
def test_the_acknowledgement_goes_out_last(layer, sends, expected):
    outbox = Outbox(layer)
    for channel, message in sends:
        outbox.send(channel, message)

    outbox.flush(ack=(REPLY, 3))

    assert replies(layer) == expected
    assert outbox.acknowledged


def test_the_acknowledgement_of_a_group_message_is_one_of_its_own(layer):
    Group("lobby", layer).add(REPLY)
    outbox = Outbox(layer)
    outbox.send_group("lobby", {"text": "a"})
    outbox.flush(ack=(REPLY, 3))

    assert replies(layer) == [{"text": "a"}, {"ack": 3}]


class _StrictLayer(MemoryLayer):
    """A layer that measures again what is handed over, as one with a wire does."""

    def hand_over(self, channel, message):
        super().hand_over(channel, copy_message(message, self.max_message_size))


def test_the_acknowledgement_goes_alone_when_its_message_cannot():
    layer = _StrictLayer(max_message_size=1000)
    outbox = Outbox(layer)
    room = next(n for n in range(2000, 0, -1) if _fits(outbox, n))

    failures = outbox.flush(ack=(REPLY, 3))

    assert room
    assert [type(error) for _, error in failures] == [MessageTooLarge]
    assert replies(layer) == [{"ack": 3}]
    assert outbox.acknowledged


def _fits(outbox, size):
    try:
        outbox.send(REPLY, {"text": "a" * size})
    except MessageTooLarge:
        return False
    return True


def test_an_acknowledgement_that_could_not_be_sent_is_known(layer):
    for _ in range(10):
        layer.send(REPLY, {})
    outbox = Outbox(layer)

    failures = outbox.flush(ack=(REPLY, 3))

    assert [type(error) for _, error in failures] == [ChannelFull]
    assert not outbox.acknowledged


def test_the_acknowledgement_does_not_ride_on_another_layer(layer):
    other = MemoryLayer()
    outbox = Outbox(layer)
    with outbox:
        Channel(REPLY, other).send({"text": "a"})
    outbox.flush(ack=(REPLY, 3))

    assert replies(other) == [{"text": "a"}]
    assert replies(layer) == [{"ack": 3}]


# Answers to a socket

ANSWERS = [
    ({"accept": True}, True),
    ({"accept": False}, True),
    ({"close": True}, True),
    ({"text": ""}, True),
    ({"bytes": b""}, True),
    ({}, False),
    ({"status": 200}, False),
]


@pytest.mark.parametrize("immediately", [False, True])
@pytest.mark.parametrize(("message", "expected"), ANSWERS)
def test_the_outbox_knows_whether_a_socket_was_answered(layer, message, expected, immediately):
    outbox = Outbox(layer)
    with outbox:
        Channel(REPLY).send(message, immediately=immediately)

    assert outbox.answered(REPLY) is expected
    assert outbox.answer(REPLY) == (message if expected else None)
    assert not outbox.answered("server.response.P1!c2")


def test_the_first_answer_counts_in_the_order_in_which_they_go_out(layer):
    outbox = Outbox(layer)
    with outbox:
        Channel(REPLY).send({"text": "waits"})
        Channel(REPLY).send({"text": "sent"}, immediately=True)

    assert outbox.answer(REPLY) == {"text": "sent"}


def test_a_group_message_is_no_answer(layer):
    outbox = Outbox(layer)
    outbox.send_group("lobby", {"text": "a"})

    assert not outbox.answered("lobby")


def test_what_waits_for_a_socket_can_be_withdrawn(layer):
    outbox = Outbox(layer)
    outbox.send(REPLY, {"accept": True})
    outbox.send("work", {"n": 1})
    outbox.withdraw(REPLY)
    outbox.send(REPLY, {"accept": False})
    outbox.flush()

    assert replies(layer) == [{"accept": False}]
    assert messages(layer, "work") == [{"n": 1}]


# Layers


def test_the_layer_is_found_when_it_is_used(layer):
    channel, group, default = Channel("work"), Group("lobby"), MemoryLayer()
    set_default_layer(default)

    assert channel.channel_layer is group.channel_layer is default
    with Outbox(layer):
        assert channel.channel_layer is group.channel_layer is layer
    assert Channel("work", layer).channel_layer is Group("lobby", layer).channel_layer is layer


def test_a_channel_of_another_layer_waits_for_the_end_of_the_consumer_too(layer):
    other = MemoryLayer()
    outbox = Outbox(layer)
    with outbox:
        Channel("work", other).send({"n": 1})
        assert messages(other, "work") == []
    outbox.flush()

    assert messages(other, "work") == [{"n": 1}]


def test_consumers_in_one_another_keep_their_own_outboxes(layer):
    outer, inner = Outbox(layer), Outbox(layer)
    with outer:
        with inner:
            Channel("inner").send({})
        Channel("outer").send({})
    inner.flush()

    assert len(messages(layer, "inner")) == 1
    assert messages(layer, "outer") == []


def test_the_environment_names_the_layer_of_a_process_without_a_bridge(monkeypatch):
    monkeypatch.setenv("CHANNEL_LAYER", "memory://?capacity=7")

    assert get_default_layer().capacity == 7
    assert get_default_layer() is get_default_layer()


def test_without_any_layer_the_error_says_what_to_do():
    with pytest.raises(ChannelLayerError, match=r"CHANNEL_LAYER.*open_layer"):
        Channel("work").send({})


# Groups and messages


def test_a_group_takes_channels_names_and_messages(layer):
    set_default_layer(layer)
    group = Group("lobby")
    group.add(Channel("a"))
    group.add("b")
    group.add(Message({"reply_channel": REPLY}, "websocket.connect", layer))
    assert sorted(group.channels()) == ["a", "b", REPLY]

    group.discard(Message({"reply_channel": REPLY}, "websocket.connect", layer))
    group.discard("a")
    group.discard(Channel("b"))
    assert group.channels() == []


def test_a_message_is_a_mapping_of_its_content(layer):
    content = {"reply_channel": REPLY, "text": "hello"}
    message = Message(content, "websocket.receive", layer)

    assert message["text"] == message.get("text") == "hello"
    assert message.get("bytes") is None
    assert message.get("bytes", b"") == b""
    assert "text" in message
    assert "bytes" not in message
    assert dict(message) == dict(message.items()) == content
    assert list(message.keys()) == list(message) == ["reply_channel", "text"]
    assert list(message.values()) == [REPLY, "hello"]
    assert len(message) == 2
    with pytest.raises(KeyError):
        message["bytes"]
    message["text"] = "changed"
    assert message.content["text"] == "changed"


def test_a_message_knows_its_channels(layer):
    message = Message({"reply_channel": REPLY}, "websocket.receive", layer)

    assert message.channel.name == str(message.channel) == "websocket.receive"
    assert message.reply_channel.name == REPLY
    assert message.reply_channel is message.reply_channel
    assert message.channel_layer is message.reply_channel.channel_layer is layer
    assert Message({}, "work", layer).reply_channel is None


def test_a_replaced_message_keeps_its_attributes(layer):
    message = Message({"reply_channel": REPLY, "text": "a"}, "websocket.receive", layer)
    message.user = "ada"
    other = message.replace(text="b")

    assert (other.user, other["text"], other.reply_channel.name) == ("ada", "b", REPLY)
    assert message["text"] == "a"


def test_the_repr_of_a_message_shows_no_values(layer):
    message = Message({"reply_channel": REPLY, "text": "secret"}, "websocket.receive", layer)

    assert repr(message) == "<Message on websocket.receive with reply_channel, text>"
