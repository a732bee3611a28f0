"""The account of sockets, on histories made by hand.

Frame n is begun at n and has ended at n + 0.5.
"""

from __future__ import annotations

import pytest

from tests.audit.socket_account import (
    Handled,
    SocketHistory,
    read_socket_history,
    settle_sockets,
)
from tests.audit.socket_clients import Socket

NUMBER = 10
ALL = list(range(1, NUMBER + 1))


def runs_of(numbers):
    return [Handled(number, float(number), number + 0.5) for number in numbers]


def settle(handled, answers=None, kills=(), counted=None, threads=4, **socket):
    """Settle a history of one socket, whose handled frames were answered unless told otherwise."""
    runs = handled if handled and isinstance(handled[0], Handled) else runs_of(handled)
    answers = [run.number for run in runs] if answers is None else answers
    history = SocketHistory(
        threads=threads,
        sockets=[Socket(0, NUMBER, answers, **{"is_settled": True, **socket})],
        handled={0: runs},
        kills=list(kills),
        counted_unacknowledged=NUMBER - len(answers) if counted is None else counted,
    )
    return settle_sockets(history)


def test_every_frame_once_and_in_order_is_balanced():
    account = settle(ALL)
    assert account.is_balanced
    assert (account.frames, account.handled, account.answered) == (NUMBER, NUMBER, NUMBER)


@pytest.mark.parametrize("missing", ALL)
def test_a_frame_may_be_missing_if_a_process_was_killed_meanwhile(missing):
    rest = [number for number in ALL if number != missing]
    kill = (missing - 0.1, missing + 0.1)
    account = settle(rest, kills=[kill])
    assert account.is_balanced
    assert account.missing_at_a_kill == 1
    assert settle(rest).unaccounted == 1
    assert settle(rest, kills=[(kill[0] + 30, kill[1] + 30)]).unaccounted == (missing < NUMBER)
    assert settle(rest, kills=[(0.1, 0.2)]).unaccounted == (missing > 1)


def test_each_missing_frame_needs_a_kill_of_its_own():
    rest = [1, 2, 5, 6, 7, 8, 9, 10]
    assert settle(rest, kills=[(3.0, 3.1)]).unaccounted == 1
    assert settle(rest, kills=[(3.0, 3.1), (4.0, 4.1)]).is_balanced


def test_no_more_are_missing_than_were_in_flight():
    rest = [1, 3, 4, 6, 7, 8, 9, 10]
    account = settle(rest, kills=[(1.9, 5.1)], threads=1)
    assert account.disagreements == ["missing at a kill: 2, in flight were 1 at the most"]


def test_what_was_handled_and_not_answered_is_counted_by_the_server():
    answers = [number for number in ALL if number != 4]
    runs = runs_of(ALL)
    runs[3].ended = None
    kills = [(4.1, 4.2)]
    account = settle(runs, answers, kills)
    assert account.is_balanced
    assert account.handled_without_answer == 1
    wrong = settle(runs, answers, kills, counted=0)
    assert wrong.disagreements == ["without an answer: 1, the server has counted 0"]


def test_who_waited_for_the_expiry_is_counted():
    runs = runs_of(ALL)
    runs[-1].begun, runs[-1].ended = 70.0, 70.5
    account = settle(runs)
    assert account.is_balanced
    assert account.waited_for_expiry == 1
    assert account.longest_gap == 61.0


def test_nothing_is_handled_twice():
    assert settle(runs_of([1, 2, 2, *ALL[2:]]), ALL).twice == 1


def test_nothing_is_answered_twice():
    assert settle(ALL, [*ALL, 10], counted=0).twice == 1


def test_nothing_is_handled_out_of_order():
    runs = runs_of(ALL)
    runs[3], runs[4] = runs[4], runs[3]
    assert settle(runs, ALL).out_of_order == 1


def test_nothing_is_answered_out_of_order():
    assert settle(ALL, [1, 2, 4, 3, *ALL[4:]]).out_of_order == 1


def test_a_frame_waits_for_the_end_of_the_one_before():
    runs = runs_of(ALL)
    runs[4].ended = 6.1
    assert settle(runs).at_once == 1


def test_a_frame_that_never_ended_was_killed_before_the_next_one_began():
    runs = runs_of(ALL)
    runs[4].ended = None
    assert settle(runs, kills=[(5.2, 5.4)]).at_once == 0
    assert settle(runs).at_once == 1
    assert settle(runs, kills=[(6.2, 6.4)]).at_once == 1


def test_nothing_is_handled_that_was_not_sent():
    assert settle(runs_of([*ALL, 11]), ALL).never_sent == 1


def test_no_socket_is_closed_or_stuck():
    assert settle(ALL, closed="1011").sockets_closed == 1
    assert settle(ALL, is_settled=False).sockets_stuck == 1


def test_logs_are_read_as_far_as_they_were_written(tmp_path):
    (tmp_path / "1-50.handled").write_text("b 1.0 0 1\nb 1.1 7 1\ne 1.2 0 1\nb 1.5 0 2\ne 1.")
    (tmp_path / "2-51.handled").write_text("b 2.0 0 3\ne 2.1 0 3\n")
    (tmp_path / "49.counters").write_text('{"unacknowledged_count": 2}\n')
    history = SocketHistory()
    read_socket_history(str(tmp_path), history)
    assert history.handled == {
        0: [
            Handled(1, 1.0, 1.2, "1"),
            Handled(2, 1.5, None, "1"),
            Handled(3, 2.0, 2.1, "2"),
        ],
        7: [Handled(1, 1.1, None, "1")],
    }
    assert history.counted_unacknowledged == 2
