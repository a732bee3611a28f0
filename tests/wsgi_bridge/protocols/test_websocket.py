"""The table of answers of MESSAGES.md section 3, a row a line; the flow; the hand-over."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    PING,
    PREAMBLE,
    TEXT,
    client_frame,
    close_frame,
    connecting,
    inbox,
    opened,
    sent,
)
from wsgi_bridge.protocols.frames import cut_reason, is_close_code
from wsgi_bridge.protocols.http import ResponseError
from wsgi_bridge.protocols.states import State

# (the answer, the status of the handshake's answer, the frames after it, the state)
OPEN, CLOSING, CLOSED, CONNECTING = State.OPEN, State.CLOSING, State.CLOSED, State.CONNECTING
WHILE_CONNECTING = {
    "accept": ({"accept": True}, 101, [], OPEN),
    "accept with text": ({"accept": True, "text": "a"}, 101, [(TEXT, b"a")], OPEN),
    "accept with bytes": ({"accept": True, "bytes": b"a"}, 101, [(BINARY, b"a")], OPEN),
    "accept and close": ({"accept": True, "close": 4000}, 101, [(CLOSE, (4000, ""))], CLOSING),
    "refusal": ({"accept": False}, 403, None, CLOSED),
    "refusal with data": ({"accept": False, "text": "a"}, 403, None, CLOSED),
    "refusal with a status": ({"accept": False, "status": 401}, 401, None, CLOSED),
    "refusal and close": ({"accept": False, "close": True}, 403, None, CLOSED),
    "text": ({"text": "a"}, 101, [(TEXT, b"a")], OPEN),
    "empty text": ({"text": ""}, 101, [(TEXT, b"")], OPEN),
    "bytes": ({"bytes": b"a"}, 101, [(BINARY, b"a")], OPEN),
    "close": ({"close": True}, 403, None, CLOSED),
    "close with a code": ({"close": 4000}, 403, None, CLOSED),
    "close and data": (
        {"text": "a", "close": 4000},
        101,
        [(TEXT, b"a"), (CLOSE, (4000, ""))],
        CLOSING,
    ),
    "no close": ({"close": False}, 0, [], CONNECTING),
    "no close code": ({"close": 0}, 0, [], CONNECTING),
    "nothing": ({}, 0, [], CONNECTING),
    "an acknowledgement": ({"ack": 0}, 0, [], CONNECTING),
    "text and bytes": ({"accept": True, "text": "a", "bytes": b"a"}, 0, [], CONNECTING),
}
WHILE_OPEN = {
    "text": ({"text": "ä"}, [(TEXT, "ä".encode())], OPEN),
    "bytes": ({"bytes": b"\xff"}, [(BINARY, b"\xff")], OPEN),
    "empty text": ({"text": ""}, [(TEXT, b"")], OPEN),
    "empty bytes": ({"bytes": b""}, [(BINARY, b"")], OPEN),
    "text beside no bytes": ({"text": "a", "bytes": None}, [(TEXT, b"a")], OPEN),
    "close": ({"close": True}, [(CLOSE, (1000, ""))], CLOSING),
    "close with a code": ({"close": 4000}, [(CLOSE, (4000, ""))], CLOSING),
    "close with a reason": ({"close": 4000, "reason": "ä"}, [(CLOSE, (4000, "ä"))], CLOSING),
    "data and close": (
        {"bytes": b"a", "close": True},
        [(BINARY, b"a"), (CLOSE, (1000, ""))],
        CLOSING,
    ),
    "no close": ({"close": False}, [], OPEN),
    "no close code": ({"close": 0}, [], OPEN),
    "accept": ({"accept": True}, [], OPEN),
    "accept with data": ({"accept": True, "text": "a"}, [(TEXT, b"a")], OPEN),
    "refusal": ({"accept": False}, [], OPEN),
    "text and bytes": ({"text": "a", "bytes": b"a", "close": True}, [], OPEN),
    "a reason alone": ({"reason": "a"}, [], OPEN),
}


@pytest.mark.parametrize(
    ("answer", "status", "frames", "state"), WHILE_CONNECTING.values(), ids=WHILE_CONNECTING
)
def test_an_answer_while_connecting(answer, status, frames, state):
    machine = connecting()
    machine.answer(answer, PREAMBLE)
    assert (machine.status, machine.state) == (status, state)
    head, _, rest = machine.data_to_send().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status if status else b"")
    if frames is not None:
        machine._outgoing.append(rest)
        assert sent(machine) == frames
    assert machine.is_finished is (state is CLOSED)


@pytest.mark.parametrize(("answer", "frames", "state"), WHILE_OPEN.values(), ids=WHILE_OPEN)
def test_an_answer_while_open(answer, frames, state):
    machine = opened()
    machine.answer(answer, PREAMBLE)
    assert (sent(machine), machine.state) == (frames, state)


@pytest.mark.parametrize("make", [connecting, opened])
def test_text_and_bytes_together_are_ignored_and_counted(make):
    machine = make()
    machine.answer({"text": "a", "bytes": b"a"}, PREAMBLE)
    assert (machine.ignored, machine.data_to_send()) == (1, b"")


def test_a_refusal_has_its_own_status_headers_and_content():
    machine = connecting()
    answer = {"accept": False, "status": 401, "headers": [(b"WWW-Authenticate", b"Basic")]}
    machine.answer({**answer, "content": b"who?"}, PREAMBLE)
    head, _, content = machine.data_to_send().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"\r\nWWW-Authenticate: Basic\r\n" in head
    assert b"connection: close" in head.lower()
    assert content == b"who?"


def test_an_accept_has_the_subprotocol_and_the_headers():
    machine = connecting(subprotocols=("chat", "super"))
    headers = [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]
    machine.answer({"accept": True, "subprotocol": "super", "headers": headers}, PREAMBLE)
    head = machine.data_to_send()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nServer: test\r\n")
    assert b"\r\nSec-WebSocket-Protocol: super\r\n" in head
    assert b"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in head
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        {"accept": True, "subprotocol": "other"},
        {"accept": True, "headers": [(b"a b", b"")]},
        {"accept": True, "headers": [(b"a", b"x\r\ny: z")]},
        {"accept": False, "status": 99},
        {"accept": False, "status": 401, "headers": [(b"a", b"x\ny")]},
    ],
)
def test_an_answer_to_the_handshake_that_cannot_be_sent_changes_nothing(answer):
    machine = connecting()
    with pytest.raises(ResponseError):
        machine.answer(answer, PREAMBLE)
    assert (machine.state, machine.data_to_send()) == (CONNECTING, b"")
    machine.answer({"accept": True}, PREAMBLE)
    assert machine.state is OPEN


def test_text_that_has_no_utf8_cannot_be_sent():
    machine = opened()
    with pytest.raises(ResponseError, match="not Unicode"):
        machine.answer({"text": "\ud800"}, PREAMBLE)
    assert (machine.state, machine.data_to_send()) == (OPEN, b"")


@pytest.mark.parametrize("make", [lambda: closing(), lambda: closed()])
def test_answers_after_the_close_are_ignored(make):
    machine = make()
    for answer in ({"text": "a"}, {"close": 4000}, {"accept": True}, {"accept": False}):
        machine.answer(answer, PREAMBLE)
    assert machine.data_to_send() == b""


def closing():
    machine = opened()
    machine.close(1000)
    machine.data_to_send()
    return machine


def closed():
    machine = closing()
    machine.receive_data(close_frame(1000))
    machine.data_to_send()
    assert machine.is_finished
    return machine


# Close codes and reasons that we send

BAD_CODES = [1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, "4000", 1000.0, 2**70]


@pytest.mark.parametrize("code", BAD_CODES)
def test_a_close_code_that_may_not_be_sent_becomes_1011(code):
    assert not is_close_code(code)
    machine = opened()
    machine.answer({"close": code, "reason": "never said"}, PREAMBLE)
    assert (sent(machine), machine.ignored) == ([(CLOSE, (1011, ""))], 1)


@pytest.mark.parametrize("code", [1000, 1001, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4999])
def test_a_close_code_that_may_be_sent_is_sent(code):
    assert is_close_code(code)
    machine = opened()
    machine.close(code)
    assert sent(machine) == [(CLOSE, (code, ""))]


@pytest.mark.parametrize(
    ("reason", "cut"),
    [("x" * 123, "x" * 123), ("x" * 124, "x" * 123), ("ä" * 62, "ä" * 61), ("\ud800", "?")],
)
def test_a_reason_too_long_is_cut_at_a_characters_edge(reason, cut):
    assert cut_reason(reason) == cut
    machine = opened()
    machine.close(4000, reason)
    assert sent(machine) == [(CLOSE, (4000, cut))]


# Flow: one event is unacknowledged at most (section 3)


def test_frames_are_given_one_at_a_time_in_order_as_they_are_acknowledged():
    machine = opened()
    machine.receive_data(b"".join(client_frame(TEXT, text) for text in (b"a", b"b", b"c")))
    assert not machine.is_reading
    assert (machine.next_message(), machine.order, machine.next_message()) == ("a", 1, None)
    machine.acknowledge(1)
    assert (machine.next_message(), machine.order, machine.next_message()) == ("b", 2, None)
    machine.acknowledge(2)
    assert machine.next_message() == "c"
    assert machine.is_reading


@pytest.mark.parametrize("order", [0, -1, 2, 99])
def test_an_acknowledgement_of_what_was_not_given_is_ignored(order):
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    machine.next_message()
    machine.acknowledge(order)
    assert machine.next_message() is None


def test_an_old_acknowledgement_is_ignored():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") * 3)
    machine.next_message()
    machine.acknowledge(1)
    machine.next_message()
    machine.acknowledge(1)
    assert machine.next_message() is None


def test_a_window_lets_that_many_frames_go_unacknowledged():
    machine = opened()
    machine.window = 2
    machine.receive_data(client_frame(TEXT, b"a") * 3)
    assert [machine.next_message() for _ in range(3)] == ["a", "a", None]


def test_a_message_that_found_the_channel_full_is_given_again():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    machine.unsend(machine.next_message())
    assert not machine.is_reading
    assert (machine.next_message(), machine.order) == ("a", 1)


def test_while_connecting_frames_wait_and_the_socket_is_not_read():
    machine = connecting()
    assert machine.is_reading
    machine.receive_data(client_frame(TEXT, b"early")[:3])
    assert (machine.is_reading, inbox(machine)) == (False, [])
    machine.receive_data(client_frame(TEXT, b"early")[3:])
    machine.answer({"accept": True}, PREAMBLE)
    assert inbox(machine) == ["early"]


def test_a_closing_connection_is_read_whatever_waits_for_a_consumer():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a") * 2)
    machine.next_message()
    machine.close(1000)
    assert machine.is_reading


# Close codes that the consumer learns


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (close_frame(1000), 1000, ""),
        (close_frame(1001, "bye"), 1001, "bye"),
        (close_frame(4999, "ä"), 4999, "ä"),
        (client_frame(CLOSE), 1005, ""),
        (None, 1006, ""),
        (client_frame(TEXT, b"\xff"), 1007, "text is not UTF-8"),
        (client_frame(PING, b"x" * 126), 1002, "control frame too long"),
    ],
)
def test_the_code_of_the_end(data, code, reason):
    machine = opened()
    if data is None:
        machine.receive_eof()
    else:
        machine.receive_data(data)
    assert (machine.state, machine.close_code, machine.close_reason) == (CLOSED, code, reason)


def test_the_code_is_the_peers_when_it_answers_our_close():
    machine = closing()
    assert machine.state is CLOSING
    machine.receive_data(close_frame(1000))
    assert (machine.state, machine.close_code) == (CLOSED, 1000)


def test_the_code_is_1006_when_the_peer_does_not_answer_our_close():
    machine = closing()
    machine.receive_eof()
    assert (machine.state, machine.close_code) == (CLOSED, 1006)


def test_the_end_of_a_closed_connection_changes_nothing():
    machine = closed()
    machine.receive_eof()
    assert (machine.close_code, machine.data_to_send()) == (1000, b"")
