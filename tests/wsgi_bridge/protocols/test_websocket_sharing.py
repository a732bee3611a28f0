"""What connections share (a group message's frame), and what a process can hand to another."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import (
    PREAMBLE,
    TEXT,
    client_frame,
    close_frame,
    connecting,
    deflate,
    opened,
    server_frames,
)
from wsgi_bridge.protocols.broadcast import Broadcast

# Group messages


@pytest.mark.parametrize("content", [{"text": "ä" * 300}, {"bytes": b"x" * 300}, {"text": ""}])
@pytest.mark.parametrize("extensions", [(), (deflate(),)], ids=["plain", "deflate"])
def test_a_group_message_is_the_frame_that_a_single_answer_is(content, extensions):
    machine = opened(*extensions)
    broadcast = Broadcast(content)
    machine.answer(content, PREAMBLE)
    assert broadcast.encode(machine.deflate_bits, 100) == machine.data_to_send()


def test_a_group_message_is_encoded_once_for_each_window_size():
    broadcast = Broadcast({"text": "x" * 300})
    assert broadcast.encode(12, 100) is broadcast.encode(12, 100)
    assert len({broadcast.encode(bits, 100) for bits in (0, 9, 12)}) >= 2
    for bits in (0, 9, 12):
        extensions = (deflate(),) if bits else ()
        frames = server_frames(broadcast.encode(bits, 100), extensions)
        assert [bytes(frame.data) for frame in frames] == [b"x" * 300]


@pytest.mark.parametrize(
    ("content", "is_plain"),
    [
        ({"text": ""}, True),
        ({"bytes": b"a"}, True),
        ({"text": "a", "accept": True}, True),
        ({"text": "a", "close": True}, False),
        ({"text": "a", "bytes": b"a"}, False),
        ({"close": True}, False),
        ({"accept": True}, False),
    ],
)
def test_a_group_message_that_is_more_than_data_takes_the_general_way(content, is_plain):
    assert Broadcast(content).is_plain is is_plain


# Hand-over


def test_an_idle_connection_can_be_handed_over_with_what_it_has_not_understood():
    machine = opened(deflate())
    machine.receive_data(client_frame(TEXT, b"whole"))
    machine.next_message()
    machine.acknowledge(1)
    machine.receive_data(client_frame(TEXT, b"partial")[:5])
    state = machine.dump_state()
    expected = {"order": 1, "window": 1, "inbox": [], "unread": client_frame(TEXT, b"partial")[:5]}
    assert state == {**expected, "deflate": [12, 15]}


@pytest.mark.parametrize(
    "data",
    [
        client_frame(TEXT, b"a", fin=False),
        close_frame(1000),
    ],
)
def test_a_connection_in_the_middle_of_something_cannot_be_handed_over(data):
    machine = opened()
    machine.receive_data(data)
    assert machine.dump_state() is None


def closing_machine():
    machine = opened()
    machine.close(1000)
    return machine


def test_neither_can_one_that_connects_closes_or_waits_for_an_acknowledgement():
    waiting = opened()
    waiting.receive_data(client_frame(TEXT, b"a"))
    waiting.next_message()
    assert [made.dump_state() for made in (connecting(), closing_machine(), waiting)] == [None] * 3
