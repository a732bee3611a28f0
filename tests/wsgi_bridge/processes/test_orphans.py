"""What is told to whom, of a message that was lost with a process."""

from __future__ import annotations

import pytest

from wsgi_bridge import Bridge, route
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.noted_worker import NotedWorker
from wsgi_bridge.processes.orphans import Orphan, Teller

REPLY = "gunicorn.response.abc!1"


def at_once(function):
    return function


@pytest.fixture
def layer():
    layer = MemoryLayer()
    layer.receive_many(["gunicorn.response.abc!"])
    return layer


def told(layer, orphan):
    Teller(layer, at_once).tell(orphan)
    return layer.receive(["gunicorn.response.abc!"])


@pytest.mark.parametrize(
    ("channel", "answer"),
    [
        ("websocket.receive", {"ack": 3, "lost": True}),
        ("websocket.connect", {"accept": False, "status": 500}),
        ("http.request", {"status": 500}),
    ],
)
def test_who_waits_is_answered(layer, channel, answer):
    orphan = Orphan.write(channel, {"reply_channel": REPLY, "order": 3})
    name, message = told(layer, Orphan.parse(orphan))
    assert name == REPLY
    assert message.items() >= answer.items()


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("websocket.disconnect", {"reply_channel": REPLY}),
        ("http.disconnect", {"reply_channel": REPLY}),
        ("jobs", {"reply_channel": REPLY}),
        ("websocket.receive", {}),
    ],
)
def test_of_what_nobody_waits_for_nobody_is_told(channel, message):
    assert Orphan.write(channel, message) == ""


def test_it_goes_through_a_line_of_text():
    orphan = Orphan("websocket.receive", 12, REPLY)
    assert Orphan.parse(str(orphan)) == orphan


def test_a_server_that_has_gone_is_told_nothing_and_the_next_one_is(layer, caplog):
    caplog.set_level("INFO")
    full = MemoryLayer(capacity=1)
    teller = Teller(full, at_once)
    for order in (1, 2):
        teller.tell(Orphan("websocket.receive", order, REPLY))
    assert f"{REPLY} waits in vain: ChannelFull" in caplog.text
    full.receive_many(["gunicorn.response.abc!"])
    teller.tell(Orphan("websocket.receive", 3, REPLY))
    assert full.receive(["gunicorn.response.abc!"])[1]["ack"] == 3


class TestNotes:
    """What was taken is on the board until its consumer has ended."""

    @pytest.fixture
    def noted(self, layer):
        self.board = Board(4)
        bridge = Bridge(lambda *_: [], [route("websocket.receive", self.consume, path="^/x$")])
        return NotedWorker(bridge, layer, at_once, self.board)

    def consume(self, message):
        self.seen = self.board.orphans()
        if message["text"] == "fail":
            raise ValueError("fail")

    def frame(self, order, text="x"):
        return {"reply_channel": REPLY, "path": "/x", "text": text, "order": order}

    def test_from_when_it_is_taken(self, noted):
        batch = [("websocket.receive", self.frame(order)) for order in (1, 2, 3)]
        noted.note_taken(batch)
        assert [each.order for each in sorted(self.board.orphans(), key=str)] == [1, 2, 3]
        noted.run(*batch[0])
        assert sorted(each.order for each in self.seen) == [1, 2, 3]
        assert sorted(each.order for each in self.board.orphans()) == [2, 3]
        for entry in batch[1:]:
            noted.run(*entry)
        assert self.board.lines() == []

    def test_also_when_it_fails(self, noted):
        batch = [("websocket.receive", self.frame(1, "fail"))]
        noted.note_taken(batch)
        noted.run(*batch[0])
        assert self.board.lines() == []

    def test_a_bell_is_none(self, noted):
        noted.note_taken([("wsgi-bridge.stop?abc", {})])
        assert self.board.lines() == []
