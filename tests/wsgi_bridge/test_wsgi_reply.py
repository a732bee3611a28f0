"""The way back: pieces, the window, a full channel, a client that is gone."""

from __future__ import annotations

import time

import pytest

from tests.wsgi_bridge.wsgi_fakes import REPLY, RecordingLayer
from wsgi_bridge import wsgi_reply
from wsgi_bridge.exceptions import ChannelFull, RequestAborted
from wsgi_bridge.wsgi_reply import MESSAGE_COST, PIECE_SIZE, WINDOW, Reply

FLOW = "http.response.flow?new"


class Exchange:
    """A reply over a recording layer; reports come when the test says so, or from `reports`."""

    def __init__(self):
        self.layer = RecordingLayer()
        self.reply = Reply(self.layer, REPLY, 7.0)

    def send(self, content, more=True, **keys):
        self.reply.send({**keys, "content": content, "more_content": more})

    def report(self, sent):
        self.layer.flow.append({"sent": sent})

    @property
    def sent(self):
        return [(message["content"], message["more_content"]) for _, message in self.layer.sent]


def test_a_whole_response_is_one_message_without_flow_control():
    exchange = Exchange()
    exchange.send(b"x" * WINDOW, more=False, status=200, headers=[])
    assert exchange.layer.replies[0]["status"] == 200
    assert len(exchange.layer.sent) == 1
    assert "flow_channel" not in exchange.layer.sent[0][1]
    assert exchange.layer.receives == []


def test_a_stream_names_its_flow_channel_in_the_first_message_only():
    exchange = Exchange()
    exchange.send(b"a", status=200)
    exchange.send(b"b")
    exchange.send(b"", more=False)
    assert [message.get("flow_channel") for _, message in exchange.layer.sent] == [FLOW, None, None]
    assert exchange.sent == [(b"a", True), (b"b", True), (b"", False)]


def test_a_large_response_goes_in_pieces():
    exchange = Exchange()
    exchange.layer.on_send = lambda message: exchange.report(10**9)
    exchange.send(b"x" * (2 * PIECE_SIZE + 5), more=False, status=200)
    sizes = [(len(content), more) for content, more in exchange.sent]
    assert sizes == [(PIECE_SIZE, True), (PIECE_SIZE, True), (5, False)]
    assert "status" not in exchange.layer.sent[1][1]


def test_a_large_block_of_a_stream_goes_in_pieces_that_say_there_is_more():
    exchange = Exchange()
    exchange.send(b"x" * (PIECE_SIZE + 1), status=200)
    assert [(len(content), more) for content, more in exchange.sent] == [
        (PIECE_SIZE, True),
        (1, True),
    ]


def test_it_stops_at_the_window_until_the_server_reports():
    exchange = Exchange()
    with pytest.raises(RequestAborted, match="read nothing for 7.0 seconds"):
        exchange.send(b"x" * 10 * WINDOW, more=False)
    size = sum(len(content) for content, _ in exchange.sent)
    assert WINDOW <= size <= WINDOW + PIECE_SIZE
    assert exchange.layer.receives[-1] == ((FLOW,), 7.0)


def test_chunks_of_one_byte_are_bounded_too():
    exchange = Exchange()
    with pytest.raises(RequestAborted):
        for _ in range(10_000):
            exchange.send(b"x")
    assert len(exchange.sent) == -(-WINDOW // (1 + MESSAGE_COST))


def test_what_was_reported_makes_room():
    exchange = Exchange()
    exchange.layer.on_send = lambda message: exchange.report(len(exchange.sent) * 10_000)
    for _ in range(200):
        exchange.send(b"x" * 10_000)
    assert len(exchange.sent) == 200


def test_a_report_within_a_message_does_not_count_it():
    exchange = Exchange()
    exchange.send(b"x" * PIECE_SIZE)
    exchange.send(b"x" * PIECE_SIZE)
    exchange.report(PIECE_SIZE - 1)
    with pytest.raises(RequestAborted):
        exchange.send(b"y")


def test_reports_may_come_late_and_together():
    exchange = Exchange()
    exchange.send(b"x" * PIECE_SIZE)
    exchange.send(b"x" * PIECE_SIZE)
    exchange.report(PIECE_SIZE)
    exchange.report(2 * PIECE_SIZE)
    exchange.send(b"y" * PIECE_SIZE)
    exchange.send(b"y" * PIECE_SIZE)
    assert len(exchange.sent) == 4


def test_a_client_that_went_away_is_noticed_by_an_app_that_sends_seldom(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    exchange = Exchange()
    exchange.send(b"tick")
    exchange.layer.flow.append({"closed": True})
    exchange.send(b"tick")  # too soon to look
    now[0] += 2 * wsgi_reply.CHECK_INTERVAL
    with pytest.raises(RequestAborted, match="went away"):
        exchange.send(b"tick")
    assert len(exchange.sent) == 2


def test_breaking_off_is_said():
    exchange = Exchange()
    exchange.send(b"x")
    exchange.reply.break_off()
    assert exchange.layer.replies[-1] == {"closed": True}


def test_a_full_channel_is_waited_for_and_loses_nothing():
    exchange = Exchange()
    exchange.layer.full_for = 4
    exchange.send(b"a")
    exchange.layer.full_for = 2
    exchange.send(b"b", more=False)
    assert exchange.sent == [(b"a", True), (b"b", False)]


def test_a_channel_that_stays_full_is_given_up():
    layer = RecordingLayer()
    layer.full_for = 10**9
    with pytest.raises(ChannelFull):
        Reply(layer, REPLY, stall_timeout=0.02).post({"content": b""})
