"""What parent and child share: a line of words, and a board that outlives the child."""

from __future__ import annotations

import os

import pytest

from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.link import Event, Link
from wsgi_bridge.processes.orphans import Orphan


@pytest.fixture
def ends():
    parent, child = Link.pair()
    yield parent, child
    parent.hang_up()
    child.hang_up()


def test_the_child_tells_one_thing_after_the_other(ends):
    parent, child = ends
    child.tell(Event.READY)
    child.tell(Event.FAILED, "two\nlines")
    assert parent.hear() == [(Event.READY, ""), (Event.FAILED, "two lines")]
    assert parent.is_open


def test_what_is_cut_in_two_is_one(ends):
    parent, child = ends
    child._socket.sendall(b"chan")
    assert parent.hear() == []
    child._socket.sendall(b"ged a.py\n")
    assert parent.hear() == [(Event.CHANGED, "a.py")]


def test_a_parent_with_nothing_to_hear_does_not_wait(ends):
    assert ends[0].hear() == []


@pytest.mark.parametrize("at", [0, 1])
def test_each_end_notices_that_the_other_has_hung_up(ends, at):
    ends[1 - at].hang_up()
    assert ends[at].hear() == []
    assert not ends[at].is_open
    ends[at].tell(Event.READY)  # to nobody


def test_the_board_shows_what_is_under_way():
    board = Board(3)
    first = board.begin("http.request /a")
    board.begin("jobs -> site.job")
    assert sorted(board.lines()) == ["http.request /a", "jobs -> site.job"]
    board.end(first)
    assert board.lines() == ["jobs -> site.job"]
    assert str(board) == "jobs -> site.job"


def test_a_long_line_is_cut_off_and_leaves_no_trace():
    board = Board(1)
    board.end(board.begin("é" * 1000))
    board.begin("short")
    assert board.lines() == ["short"]


def test_the_board_knows_who_waits_for_what_is_under_way():
    board = Board(3)
    frame = Orphan("websocket.receive", 7, "gunicorn.response.abc!12")
    at = board.begin("websocket.receive ^/x$ /x\0y", str(frame))
    board.begin("jobs -> site.job")
    assert board.orphans() == [frame]
    board.end(at)
    assert board.orphans() == []


def test_the_longest_names_fit_beside_a_line():
    board = Board(2)
    longest = Orphan("websocket.receive", 2**31 - 1, "n" * 98 + "!")
    board.begin("€" * 1000, str(longest))
    board.begin("another")
    assert board.orphans() == [longest]
    assert "another" in board.lines()


def test_what_there_is_no_place_for_is_left_out():
    board = Board(1)
    first, second = board.begin("first"), board.begin("second")
    assert board.lines() == ["first"]
    board.end(second)
    board.end(first)
    board.begin("third")
    assert board.lines() == ["third"]


def test_only_a_few_lines_are_shown():
    board = Board(10)
    for _ in range(8):
        board.begin("x")
    assert str(board) == "x; x; x; and 5 more"


def test_the_parent_sees_the_board_of_a_child_that_is_gone():
    board = Board(2)
    pid = os.fork()
    if pid == 0:
        board.begin("busy")
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.lines() == ["busy"]
    board.close()
