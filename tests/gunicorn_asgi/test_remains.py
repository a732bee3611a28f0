"""What the master of a split says of a worker that has died, and who is to be told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from gunicorn_asgi.remains import Remains
from tests.gunicorn_asgi.test_roles import Tmp
from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.orphans import Orphan

FRAME = Orphan("websocket.receive", 3, "gunicorn.response.abc!1")


@dataclass(eq=False)
class Worker:
    pid: int = 42
    tmp: Tmp = field(default_factory=Tmp)
    board: Board = field(default_factory=lambda: Board(2))


def watched():
    remains, worker = Remains(), Worker()
    remains.watch(worker, worker.board)
    return remains, worker


def test_who_lives_has_left_nothing(caplog):
    remains, worker = watched()
    worker.board.begin("websocket.receive ^/x$ /x", str(FRAME))
    assert remains.collect(logging.getLogger()) == []
    assert caplog.text == ""


def test_what_a_dead_one_was_busy_with_is_named_once_and_handed_on(caplog):
    remains, worker = watched()
    worker.board.begin("websocket.receive ^/x$ /x", str(FRAME))
    worker.tmp.closed = True
    assert remains.collect(logging.getLogger()) == [FRAME]
    assert "Worker (pid:42) ended while busy with websocket.receive ^/x$ /x" in caplog.text
    assert remains.collect(logging.getLogger()) == []


def test_who_ended_idle_is_not_mentioned(caplog):
    remains, worker = watched()
    worker.tmp.closed = True
    assert remains.collect(logging.getLogger()) == []
    assert caplog.text == ""
