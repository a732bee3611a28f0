"""What excuses a failure."""

from __future__ import annotations

import pytest

from tests.soak.ledger import KILL, LATE, RELOAD, RESTART, Failure, Ledger, Mark


def excuse(failure: Failure, mark: str, window: float = 16.0) -> str:
    return Ledger(window, marks=[Mark(100.0, mark)]).excuse(failure)


@pytest.mark.parametrize(
    ("began", "ended", "is_excused"),
    [
        (95, 100.1, True),
        (100.5, 101, True),  # within a moment
        (80, 99.9, False),  # before it
        (102, 103, False),  # after it
    ],
)
def test_a_kill_excuses_what_was_under_way(began, ended, is_excused):
    assert bool(excuse(Failure("page", began, ended, "EOFError"), KILL)) is is_excused


def test_a_reload_excuses_no_request():
    assert not excuse(Failure("page", 95, 105, "EOFError"), RELOAD)


def test_a_reload_excuses_a_socket_that_was_told():
    assert excuse(Failure("echo", 95, 105, "closed", RESTART), RELOAD)
    assert not excuse(Failure("echo", 95, 105, "closed", 1011), RELOAD)
    assert not excuse(Failure("echo", 120, 125, "closed", RESTART), RELOAD)


def test_where_sockets_survive_a_reload_it_excuses_nothing():
    assert not excuse(Failure("echo", 95, 105, "closed", RESTART), RELOAD, window=0.0)


@pytest.mark.parametrize(
    ("marks", "what", "is_excused"),
    [
        ((RELOAD, LATE), "EOFError: ended", True),
        ((RELOAD, LATE), "WrongAnswerError: 500 in place of 200", False),
        ((RELOAD,), "EOFError: ended", False),
        ((LATE,), "EOFError: ended", False),
    ],
)
def test_visitors_who_were_late_may_miss_a_worker_that_stops(marks, what, is_excused):
    ledger = Ledger(16.0, marks=[Mark(100.0, mark) for mark in marks])
    assert bool(ledger.excuse(Failure("page", 99, 101, what))) is is_excused
