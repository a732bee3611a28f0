"""Shares of connections among workers, and the courtesy of letting another go first."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace

import pytest

from gunicorn_asgi import shares
from gunicorn_asgi.server import Listener, Pause
from gunicorn_asgi.shares import SEATS, SLACK, Board, Courtesy, Share
from tests.gunicorn_asgi.rig import HttpRig, wait_for


class Tmp:
    """gunicorn's temporary file of a worker, which is closed when that is reaped."""

    is_closed = False

    def fileno(self):
        if self.is_closed:
            raise ValueError
        return 0


def worker():
    return SimpleNamespace(tmp=Tmp())


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def two(board):
    """Two workers' shares; both know of each other."""
    both = [Share(board, board.take_seat(worker())) for _ in range(2)]
    for share in (*both, *both):
        share.set_count(0)
        share.give_sign()
    return both


def test_the_seat_of_a_worker_that_was_reaped_is_the_next_ones(board):
    workers = [worker() for _ in range(3)]
    assert [board.take_seat(each) for each in workers] == [0, 1, 2]
    workers[1].tmp.is_closed = True
    assert board.take_seat(worker()) == 1
    assert board.take_seat(worker()) == 3


def test_a_worker_without_a_seat_takes_what_comes(board):
    for _ in range(SEATS):
        assert board.take_seat(worker()) is not None
    share = Share(board, board.take_seat(worker()))
    share.give_sign()
    share.set_count(1000)
    assert not share.is_full(1000)
    share.leave()


def test_who_is_alone_is_never_full(board):
    share = Share(board, board.take_seat(worker()))
    share.give_sign()
    assert not share.is_full(10**6)


@pytest.mark.parametrize(
    ("own", "other", "is_full"),
    [
        (0, 0, False),
        (SLACK, 0, False),
        (SLACK + 1, 0, True),
        (5, 10, False),
        (1000, 980, False),
        (1100, 980, True),
    ],
)
def test_who_has_more_than_another_is_full(two, own, other, is_full):
    first, second = two
    second.set_count(other)
    assert first.is_full(own) is is_full


def test_one_that_gives_no_sign_counts_no_more(two, monkeypatch):
    first, second = two
    assert first.is_full(100)
    later = time.monotonic_ns() + int(shares.STALE * 1e9) + 1
    monkeypatch.setattr(shares.time, "monotonic_ns", lambda: later)
    first.give_sign()
    assert not first.is_full(100)
    second.give_sign()
    first.give_sign()
    assert first.is_full(100)


def test_one_that_leaves_counts_no_more_and_says_nothing_more(two):
    first, second = two
    second.leave()
    second.set_count(7)
    second.give_sign()
    first.give_sign()
    assert not first.is_full(100)


class Rig:
    """A courtesy in this thread's hub, and a backlog."""

    def __init__(self, loop):
        self.is_full = True
        self.is_paused = False
        self.waiting = 0
        self.courtesy = Courtesy(
            loop,
            lambda: self.is_full,
            pause=lambda: setattr(self, "is_paused", True),
            resume=lambda: setattr(self, "is_paused", False),
            accept=self.accept,
        )

    def accept(self):
        taken, self.waiting = self.waiting, max(0, self.waiting - 1)
        return taken > 0

    def serve(self):
        """Accept as a listener does that is readable; return how many were taken at once."""
        count = 0
        while self.waiting and not self.courtesy.should_wait():
            count += self.accept()
        return count


@pytest.fixture
def loop():
    with HttpRig() as rig:
        yield rig.server.loop


def test_a_sibling_goes_first_and_then_it_is_ones_own_turn(loop):
    rig = Rig(loop)
    rig.waiting = 1
    assert rig.serve() == 0
    assert rig.is_paused
    rig.waiting, rig.is_full = 0, False  # the sibling has taken it
    wait_for(lambda: not rig.is_paused)
    rig.waiting = 3
    assert rig.serve() == 3


def test_what_no_sibling_takes_is_taken_and_ever_more_at_once(loop):
    rig = Rig(loop)
    rig.waiting = 1000
    taken = []
    for _ in range(5):
        wait_for(lambda: not rig.is_paused)
        taken.append(rig.serve())
    assert taken == [0, 1, 2, 4, 4]
    rig.courtesy.close()


def test_patience_comes_back_with_a_sibling_that_takes_something(loop):
    rig = Rig(loop)
    rig.waiting = 1000
    for _ in range(4):
        wait_for(lambda: not rig.is_paused)
        rig.serve()
    rig.waiting = 0
    wait_for(lambda: not rig.is_paused)
    rig.waiting = 1000
    assert rig.serve() == 0
    rig.courtesy.close()


def test_a_server_that_is_full_takes_nothing_that_a_sibling_left():
    with HttpRig() as rig:
        sock = socket.create_server(("127.0.0.1", 0))
        listener = Listener(rig.http, sock)
        listener.pause(Pause.COURTESY)
        listener.pause(Pause.FULL)
        assert not listener._accept_left()
        listener.resume(Pause.COURTESY)
        assert not listener._watcher.active
        listener.resume(Pause.FULL)
        assert listener._watcher.active
        listener.close()
        sock.close()
