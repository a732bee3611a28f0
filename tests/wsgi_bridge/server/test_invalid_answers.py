"""Answers that cannot be sent: 500 in the handshake, 1011 when open (MESSAGES.md section 5)."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame
from tests.wsgi_bridge.server.rig import Rig


@pytest.fixture
def rig():
    with Rig() as made:
        yield made


INVALID = [
    {"text": 5},
    {"text": b"bytes"},
    {"bytes": "text"},
    {"bytes": [1]},
    {"close": 4000, "reason": 5},
    {"close": "4000"},
]
INVALID_ACCEPTS = [
    {"accept": True, "subprotocol": "other"},
    {"accept": True, "subprotocol": 5},
    {"accept": True, "headers": 5},
    {"accept": True, "headers": [["a", "b"]]},
    {"accept": True, "headers": [[b"a"]]},
    {"accept": True, "headers": [[b"a", b"x\r\ny"]]},
    {"accept": False, "status": "x"},
    {"accept": False, "status": 401, "content": 5},
]


@pytest.mark.parametrize("answer", INVALID)
def test_an_invalid_answer_closes_an_open_socket_with_1011(rig, answer):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") * 2)
    rig.take()
    rig.reply(owner, {**answer, "ack": 1})
    assert client.read_frame() == (CLOSE, (1011, ""))
    assert rig.take()[1]["order"] == 2  # its acknowledgement counts all the same


@pytest.mark.parametrize("answer", [{"ack": "1"}, {"ack": 1.0, "lost": True}])
def test_an_acknowledgement_of_no_event_closes_an_open_socket_with_1011(rig, answer):
    owner, client = rig.open()
    rig.reply(owner, answer)
    assert client.read_frame() == (CLOSE, (1011, ""))
    assert rig.counters.invalid_answers_count == 1


@pytest.mark.parametrize("answer", INVALID_ACCEPTS)
def test_an_invalid_answer_to_a_handshake_is_a_500(rig, answer):
    owner, client = rig.connect()
    rig.reply(owner, answer)
    assert client.read_to_end().startswith(b"HTTP/1.1 500 ")
    assert rig.counters.invalid_answers_count == 1


@pytest.mark.parametrize("content", [{"text": 5}, {"bytes": "text"}, {"bytes": None, "text": 1.5}])
def test_an_invalid_group_message_closes_its_members_and_no_others(rig, content):
    owner, client = rig.open()
    _, other = rig.open()
    rig.layer.group_add("g", owner.reply_channel)
    rig.layer.send_group("g", content)
    assert client.read_frame() == (CLOSE, (1011, ""))
    rig.server.stop(1012)
    assert other.read_frame() == (CLOSE, (1012, ""))


def test_an_answer_with_text_and_bytes_is_ignored_counted_and_logged(rig, caplog):
    owner, client = rig.open()
    rig.reply(owner, {"text": "a", "bytes": b"a", "close": True})
    rig.reply(owner, {"text": "next"})
    assert client.read_frame() == (TEXT, b"next")
    assert rig.counters.invalid_answers_count == 1
    assert caplog.text.count("an answer for /chat was ignored") == 1


def test_a_close_code_that_may_not_be_sent_is_counted_and_logged(rig, caplog):
    owner, client = rig.open()
    rig.reply(owner, {"close": 1005})
    assert client.read_frame() == (CLOSE, (1011, ""))
    assert rig.counters.invalid_answers_count == 1
    assert "bad close code" in caplog.text


@pytest.mark.parametrize("place", [{"epoch": b"e", "offset": 1}, {"epoch": "e", "offset": "1"}])
def test_a_group_message_whose_place_is_none_takes_no_others_with_it(rig, place):
    owner, client = rig.open()
    rig.layer.group_add("g", owner.reply_channel)
    rig.layer.send_group("g", {"text": "a", **place})
    rig.reply(owner, {"text": "b"})
    assert [client.read_frame() for _ in range(2)] == [(TEXT, b"a"), (TEXT, b"b")]
