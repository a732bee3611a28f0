"""Frames from a client: fed whole, byte by byte, in random pieces, and with more behind them."""

from __future__ import annotations

import random

import pytest

from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    CONT,
    MAX_SIZE,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
    consumed,
    deflate,
    inbox,
    opened,
    raw_frame,
    sent,
    server_frames,
)
from wsgi_bridge.protocols.frames import find_frame_end
from wsgi_bridge.protocols.states import State

LONG = "ä" * 500
COMPRESSIBLE = b"x" * (MAX_SIZE - 1)


def whole(data):
    return [data]


def byte_by_byte(data):
    return [data[place : place + 1] for place in range(len(data))]


def in_random_pieces(data):
    chance = random.Random(len(data))
    cuts = sorted(chance.sample(range(len(data) + 1), min(4, len(data))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


feeds = pytest.mark.parametrize("pieces", [whole, byte_by_byte, in_random_pieces])

# (what comes, the messages of it, the frames that answer it)
MESSAGES = {
    "text": (client_frame(TEXT, "ä".encode()), ["ä"], []),
    "bytes": (client_frame(BINARY, b"\xff"), [b"\xff"], []),
    "empty text": (client_frame(TEXT), [""], []),
    "empty bytes": (client_frame(BINARY), [b""], []),
    "125 bytes": (client_frame(BINARY, b"x" * 125), [b"x" * 125], []),
    "126 bytes": (client_frame(BINARY, b"x" * 126), [b"x" * 126], []),
    "as long as may be": (client_frame(BINARY, b"x" * MAX_SIZE), [b"x" * MAX_SIZE], []),
    "a length written long": (
        b"\x81\xfe\x00\x01\0\0\0\0a" + b"\x81\xff" + b"\0" * 7 + b"\x01\0\0\0\0b",
        ["a", "b"],
        [],
    ),
    "three in a row": (
        client_frame(TEXT, b"a") + client_frame(BINARY, b"b") + client_frame(TEXT, LONG.encode()),
        ["a", b"b", LONG],
        [],
    ),
    "fragments": (
        client_frame(TEXT, b"a", fin=False)
        + client_frame(CONT, b"b", fin=False)
        + client_frame(CONT, b"c"),
        ["abc"],
        [],
    ),
    "a character in two fragments": (
        client_frame(TEXT, b"\xc3", fin=False) + client_frame(CONT, b"\xa4"),
        ["ä"],
        [],
    ),
    "empty fragments": (
        client_frame(BINARY, fin=False) + client_frame(CONT, fin=False) + client_frame(CONT),
        [b""],
        [],
    ),
    "a ping": (client_frame(PING, b"payload"), [], [(PONG, b"payload")]),
    "an empty ping": (client_frame(PING), [], [(PONG, b"")]),
    "a pong nobody asked for": (client_frame(PONG, b"x"), [], []),
    "control frames between fragments": (
        client_frame(TEXT, b"a", fin=False)
        + client_frame(PING, b"1")
        + client_frame(CONT, b"b", fin=False)
        + client_frame(PONG, b"2")
        + client_frame(CONT, b"c"),
        ["abc"],
        [(PONG, b"1")],
    ),
    "plain frames between control frames": (
        client_frame(PING, b"1")
        + client_frame(TEXT, b"a")
        + client_frame(PING, b"2")
        + client_frame(TEXT, b"b"),
        ["a", "b"],
        [(PONG, b"1"), (PONG, b"2")],
    ),
    "a message and the close": (
        client_frame(TEXT, b"a") + close_frame(1001, "bye") + client_frame(TEXT, b"late"),
        ["a"],
        [(CLOSE, (1001, "bye"))],
    ),
    "a close among fragments": (
        client_frame(TEXT, b"a", fin=False) + close_frame(1000),
        [],
        [(CLOSE, (1000, ""))],
    ),
}
# (what comes, the messages before it, the close code)
ERRORS = {
    "text that is not UTF-8": (client_frame(TEXT, b"\xff"), [], 1007),
    "UTF-8 cut off": (client_frame(TEXT, b"a\xc3"), [], 1007),
    "a surrogate": (client_frame(TEXT, b"\xed\xa0\x80"), [], 1007),
    "fragments that are not UTF-8": (
        client_frame(TEXT, b"a", fin=False) + client_frame(CONT, b"\xff"),
        [],
        1007,
    ),
    "text that is not UTF-8, then a close": (
        client_frame(TEXT, b"a") + client_frame(TEXT, b"\xff") + close_frame(1000),
        ["a"],
        1007,
    ),
    "a ping, text that is not UTF-8, a close": (
        client_frame(PONG) + client_frame(TEXT, b"\xff") + close_frame(1000),
        [],
        1007,
    ),
    "a close whose reason is not UTF-8": (client_frame(CLOSE, b"\x03\xe8\xff"), [], 1007),
    "a frame too long": (client_frame(BINARY, b"x" * (MAX_SIZE + 1)), [], 1009),
    "fragments too long": (
        client_frame(BINARY, b"x" * MAX_SIZE, fin=False) + client_frame(CONT, b"x"),
        [],
        1009,
    ),
    "a stray continuation": (client_frame(TEXT, b"a") + client_frame(CONT, b"b"), ["a"], 1002),
    "a new message among fragments": (
        client_frame(TEXT, b"a", fin=False) + client_frame(TEXT, b"b"),
        [],
        1002,
    ),
    "a reserved opcode": (raw_frame(0x83, b"a"), [], 1002),
    "a reserved control opcode": (raw_frame(0x8B, b"a"), [], 1002),
    "a reserved bit": (raw_frame(0xA1, b"a"), [], 1002),
    "a compressed frame that was not agreed on": (raw_frame(0xC1, b"a"), [], 1002),
    "a fragmented ping": (client_frame(PING, b"a", fin=False), [], 1002),
    "a ping too long": (client_frame(PING, b"x" * 126), [], 1002),
    "a close of one byte": (client_frame(CLOSE, b"\x03"), [], 1002),
    "a close with a code of nobody": (close_frame(999), [], 1002),
    "a close with a code for inside": (close_frame(1005), [], 1002),
    "a close with a code of the future": (close_frame(5000), [], 1002),
    "a frame that is not masked": (client_frame(TEXT, b"a") + b"\x81\x01b", ["a"], 1002),
}


@feeds
@pytest.mark.parametrize(("data", "messages", "answers"), MESSAGES.values(), ids=MESSAGES)
def test_frames_are_understood(pieces, data, messages, answers):
    machine = opened()
    for piece in pieces(data):
        machine.receive_data(piece)
    found = consumed(machine)
    assert found == messages
    assert [type(message) for message in found] == [type(each) for each in messages]
    assert sent(machine) == answers


@feeds
@pytest.mark.parametrize(("data", "messages", "code"), ERRORS.values(), ids=ERRORS)
def test_an_error_closes_with_its_code(pieces, data, messages, code):
    machine = opened()
    for piece in pieces(data + client_frame(TEXT, b"behind the error")):
        machine.receive_data(piece)
    assert consumed(machine) == messages
    assert (machine.state, machine.close_code) == (State.CLOSED, code)
    [(opcode, (sent_code, _))] = sent(machine)
    assert (opcode, sent_code) == (CLOSE, code)


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"\x82\xff" + b"\xff" * 8, 1009),
        (b"\x82\xff" + (MAX_SIZE + 1).to_bytes(8, "big"), 1009),
        (b"\x82\xfe" + (MAX_SIZE + 1).to_bytes(2, "big"), 1009),
        (b"\x82\x01", 1002),
    ],
)
def test_a_frame_that_cannot_be_taken_is_refused_by_its_head(head, code):
    machine = opened()
    machine.receive_data(head)
    assert (machine.state, machine.close_code) == (State.CLOSED, code)


def test_a_partial_frame_at_the_end_of_the_stream_is_no_message():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"whole") + client_frame(TEXT, b"partial")[:-1])
    machine.receive_eof()
    assert (inbox(machine), machine.close_code) == (["whole"], 1006)


@feeds
def test_frames_behind_our_close_are_dropped_until_the_peers(pieces):
    machine = opened()
    machine.close(1012)
    machine.data_to_send()
    data = client_frame(TEXT, b"late") + client_frame(TEXT, b"\xff") + close_frame(1012)
    for piece in pieces(data):
        machine.receive_data(piece)
    assert (inbox(machine), machine.state, machine.close_code) == ([], State.CLOSED, 1012)
    assert machine.data_to_send() == b""


def test_a_large_message_in_small_pieces_costs_one_copy_of_it():
    machine = opened()
    for piece in byte_by_byte(client_frame(BINARY, b"x" * MAX_SIZE)[:-1]):
        machine.receive_data(piece)
        assert type(machine._unread) is bytearray  # joined when it is whole, not before
    machine.receive_data(client_frame(BINARY, b"x" * MAX_SIZE)[-1:])
    assert inbox(machine) == [b"x" * MAX_SIZE]
    assert not machine._unread


# Compression: permessage-deflate without context takeover


@feeds
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_compressed_frames_are_understood(pieces, opcode):
    machine = opened(deflate())
    data = client_frame(opcode, COMPRESSIBLE, compressed=True)
    for piece in pieces(data + client_frame(opcode, b"plain") + data):
        machine.receive_data(piece)
    expected = [COMPRESSIBLE, b"plain", COMPRESSIBLE]
    found = [m.encode() if isinstance(m, str) else m for m in consumed(machine)]
    assert found == expected


@feeds
def test_fragments_of_a_compressed_message_are_understood(pieces):
    machine = opened(deflate())
    payload = client_frame(TEXT, COMPRESSIBLE, compressed=True)
    masked, key = payload[6:], payload[2:6]
    body = bytes(byte ^ key[place % 4] for place, byte in enumerate(masked))
    assert len(body) < 126
    first, rest = raw_frame(0x41, body[:5]), raw_frame(0x80, body[5:])
    for piece in pieces(first + client_frame(PING, b"1") + rest):
        machine.receive_data(piece)
    assert (inbox(machine), sent(machine)) == ([COMPRESSIBLE.decode()], [(PONG, b"1")])


@feeds
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(BINARY, b"x" * (MAX_SIZE + 1), compressed=True), 1009),
        (client_frame(BINARY, b"x" * 10 * MAX_SIZE, compressed=True), 1009),
        (raw_frame(0xC1, b"\xff\xff\xff"), 1002),
        (client_frame(TEXT, b"\xff" * 200, compressed=True), 1007),
    ],
)
def test_a_compressed_frame_that_cannot_be_taken(pieces, data, code):
    machine = opened(deflate())
    for piece in pieces(data):
        machine.receive_data(piece)
    assert (machine.state, machine.close_code) == (State.CLOSED, code)


@pytest.mark.parametrize(("size", "is_compressed"), [(0, False), (99, False), (100, True)])
def test_what_we_send_is_compressed_from_the_threshold_on(size, is_compressed):
    machine = opened(deflate())
    machine.answer({"text": "x" * size}, b"")
    data = machine.data_to_send()
    assert bool(data[0] & 0x40) is is_compressed
    [frame] = server_frames(data, (deflate(),))
    assert bytes(frame.data) == b"x" * size


def test_each_message_is_compressed_alone():
    machine = opened(deflate())
    machine.answer({"text": "x" * 500}, b"")
    first = machine.data_to_send()
    machine.answer({"text": "x" * 500}, b"")
    assert machine.data_to_send() == first


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"", 1),
        (b"\x81", 2),
        (b"\x81\x80", 6),
        (b"\x81\x81", 7),
        (b"\x81\xfe\x00", 4),
        (b"\x81\xfe\x00\x7f", 4 + 4 + 127),
        (b"\x81\xff" + b"\0" * 7, 10),
        (b"\x81\xff" + b"\0" * 8, 14),
        (b"\x81\x05", 2),
    ],
)
def test_where_a_frame_ends(data, end):
    assert find_frame_end(data, 0, MAX_SIZE) == end
