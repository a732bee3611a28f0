"""What a mule that is started anew learns of the one before."""

from __future__ import annotations

import os

import pytest

from uwsgi_asgi.seats import FIRST_DELAY, LONGEST_DELAY, YOUNG, Seat, Seats
from wsgi_bridge.processes.orphans import Orphan
from wsgi_bridge.testing.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def seat(clock):
    return Seat(2, clock=clock)


def live(seat, clock, seconds):
    """Have a mule that becomes ready, and dies after so long."""
    delay = seat.take()
    seat.begin()
    clock.advance(seconds)
    return delay


def test_the_first_does_not_wait(seat):
    assert seat.take() == 0
    assert seat.deaths == 0


def test_who_dies_as_it_starts_is_tried_later_and_later(seat):
    delays = [seat.take() for _ in range(12)]
    assert delays[:4] == [0, FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]
    assert delays[-1] == LONGEST_DELAY
    assert seat.deaths == 11


def test_who_dies_right_after_it_was_ready_has_failed_as_well(seat, clock):
    assert [live(seat, clock, YOUNG / 2) for _ in range(3)] == [0, FIRST_DELAY, 2 * FIRST_DELAY]


def test_who_dies_late_is_replaced_at_once(seat, clock):
    assert [live(seat, clock, YOUNG + 1) for _ in range(3)] == [0, 0, 0]
    assert seat.deaths == 2


def test_who_ended_as_it_should_has_not_died(seat):
    seat.take()
    seat.leave()
    assert seat.take() == 0
    assert seat.deaths == 0


def test_what_it_was_busy_with_is_told_once(seat):
    seat.board.begin("a route", "websocket.receive 3 u!1")
    assert seat.orphans() == [Orphan("websocket.receive", 3, "u!1")]
    assert seat.orphans() == []


def test_a_seat_is_free_when_its_process_has_ended():
    seats = Seats(2, 1)
    begin, end = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        seats.claim().take()
        os.write(begin[1], b"x")
        os.read(end[0], 1)
        os._exit(0)
    os.read(begin[0], 1)
    other = seats.claim()
    assert other.take() == 0
    os.write(end[1], b"x")
    os.waitpid(pid, 0)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if seats.claim().take() == FIRST_DELAY else 1)
    assert os.waitpid(pid, 0)[1] == 0
    for descriptor in (*begin, *end):
        os.close(descriptor)
