"""Text that is not UTF-8 is refused at the byte that shows it; what came before is answered."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    PREAMBLE,
    TEXT,
    client_frame,
    consumed,
    deflate,
    opened,
    raw_frame,
    sent,
)
from wsgi_bridge.protocols.states import ANSWERS, CLOSED, OPEN

LONG = "κόσμε".encode() * 40  # more than 126 bytes


def feed(machine, data):
    """Feed byte by byte; return how many were needed until the connection was closed."""
    for place in range(len(data)):
        machine.receive_data(data[place : place + 1])
        if machine.state is CLOSED:
            return place + 1
    return None


@pytest.mark.parametrize("start", [b"", b"a", b"abc", LONG])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc0", b"\xed\xa0\x80", b"\xf4\x90", b"\xe4a"])
def test_a_frame_is_refused_in_its_middle(start, bad):
    machine = opened()
    frame = client_frame(TEXT, start + bad + b"x" * 50)
    head = len(frame) - len(start + bad) - 50
    assert feed(machine, frame) == head + len(start + bad)
    assert sent(machine) == [(CLOSE, (1007, "text is not UTF-8"))]


def test_a_fragmented_message_is_refused_before_its_end():
    machine = opened()
    machine.receive_data(client_frame(TEXT, LONG, fin=False))
    machine.receive_data(client_frame(CONT, b"\xff", fin=False))
    assert machine.close_code == 1007


def test_a_fragment_is_refused_in_its_middle_by_what_the_one_before_began():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"\xe4\xb8", fin=False))
    frame = client_frame(CONT, b"a" * 20)
    assert feed(machine, frame) == 7


def test_a_character_may_be_cut_anywhere():
    machine = opened()
    for place in range(len(LONG)):
        first, last = client_frame(TEXT, LONG[:place], fin=False), client_frame(CONT, LONG[place:])
        assert feed(machine, first + client_frame(PING) + last) is None
        assert consumed(machine) == [LONG.decode()]


@pytest.mark.parametrize("opcode", [BINARY, CONT])
def test_bytes_may_be_anything(opcode):
    machine = opened()
    if opcode is CONT:
        machine.receive_data(client_frame(BINARY, b"\xff", fin=False))
    assert feed(machine, client_frame(opcode, b"\xff" * 10)) is None
    assert machine.state is OPEN


def test_a_compressed_frame_is_no_text_before_it_is_whole():
    machine = opened(deflate())
    assert feed(machine, client_frame(TEXT, b"x" * 500, compressed=True)) is None
    assert consumed(machine) == ["x" * 500]


def test_the_end_of_a_text_may_not_cut_a_character():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a", fin=False) + client_frame(CONT, b"\xc3"))
    assert machine.close_code == 1007


# What breaks the protocol does not forestall the answers to what came before

BREAKS = {
    "a reserved bit": raw_frame(0xA1, b"a"),
    "a reserved opcode": raw_frame(0x83, b"a"),
    "a stray continuation": client_frame(CONT, b"a"),
    "a fragment that is no text": client_frame(TEXT, b"\xff", fin=False),
    "a fragment that is no text, not whole": client_frame(TEXT, b"\xff\xff", fin=False)[:-1],
}


@pytest.mark.parametrize("bad", BREAKS.values(), ids=BREAKS)
def test_the_messages_before_a_broken_frame_are_answered_first(bad):
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") + client_frame(TEXT, b"b") + bad)
    assert machine.next_message() == "a"
    assert machine.state is OPEN
    machine.answer({"text": "answer"}, PREAMBLE)
    machine.acknowledge(1)
    assert machine.next_message() == "b"
    assert machine.state is OPEN
    machine.acknowledge(2)
    machine.receive_data(bad[-1:])
    assert [opcode for opcode, _ in sent(machine)] == [TEXT, CLOSE]


def test_pings_are_answered_meanwhile_and_nothing_more_is_read_behind_a_held_frame():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") + client_frame(PING, b"1"))
    machine.next_message()
    assert machine.is_reading
    machine.receive_data(client_frame(PING, b"2") + client_frame(TEXT, b"b", fin=False))
    assert (machine.hold, machine.is_reading) == (ANSWERS, False)
    assert sent(machine) == [(PONG, b"1"), (PONG, b"2")]
    machine.acknowledge(1)
    assert (machine.hold, machine.is_reading) == (None, True)


def test_our_close_looks_at_what_was_held_for_the_peers():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a"))
    machine.next_message()
    machine.receive_data(client_frame(TEXT, b"b", fin=False) + client_frame(CLOSE, b"\x03\xe8"))
    assert machine.hold is ANSWERS
    machine.close(1012)
    assert (machine.state, machine.close_code) == (CLOSED, 1000)
