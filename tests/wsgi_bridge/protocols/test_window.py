"""The window of a connection: which acknowledgement lets which frames go out (section 3)."""

from __future__ import annotations

import itertools

import pytest

from tests.wsgi_bridge.protocols.frames import (
    PREAMBLE,
    TEXT,
    client_frame,
    connecting,
    opened,
)
from wsgi_bridge.messages import MAX_WINDOW
from wsgi_bridge.protocols.states import State


def talking(window, frames=9):
    """Return an open machine that has received so many frames, and given as many as it may."""
    machine = opened()
    machine.window = window
    machine.receive_data(b"".join(client_frame(TEXT, b"%d" % n) for n in range(1, frames + 1)))
    return machine, take(machine)


def take(machine):
    """Return the orders of what the machine gives now."""
    orders = []
    while (text := machine.next_message()) is not None:
        assert text == str(machine.order), "frames go out in order"
        orders.append(machine.order)
    return orders


# (window, then: an acknowledgement, and the frames that go out because of it)
ACKNOWLEDGED = {
    "one at a time": (1, [(1, [2]), (2, [3])]),
    "a window slides": (2, [(1, [3]), (2, [4]), (3, [5])]),
    "a later one frees one place, not two": (3, [(3, [4]), (1, [5]), (2, [6])]),
    "all in reverse": (3, [(3, [4]), (2, [5]), (1, [6]), (4, [7]), (6, [8]), (5, [9])]),
    "one twice": (3, [(2, [4]), (2, []), (1, [5]), (1, []), (2, [])]),
    "one that was not given": (3, [(4, []), (0, []), (-1, []), (99, []), (1, [4])]),
    "the first is lost": (3, [(2, [4]), (3, [5]), (4, [6]), (5, [7])]),
}


@pytest.mark.parametrize(("window", "steps"), ACKNOWLEDGED.values(), ids=ACKNOWLEDGED)
def test_each_acknowledgement_frees_the_place_of_its_own_event(window, steps):
    machine, given = talking(window)
    assert given == list(range(1, window + 1))
    for order, expected in steps:
        machine.acknowledge(order)
        assert take(machine) == expected
        assert machine.unacknowledged <= window


@pytest.mark.parametrize("orders", list(itertools.permutations(range(1, 5))))
def test_all_are_acknowledged_whatever_the_sequence(orders):
    machine, _ = talking(4, frames=4)
    for left, order in zip((3, 2, 1, 0), orders, strict=True):
        assert machine.acked != machine.order
        machine.acknowledge(order)
        assert machine.unacknowledged == left
    assert machine.acked == machine.order == 4
    assert machine.dump_state()["window"] == 4


# (acknowledged before, given up to, how many that are, the frames that go out then)
GIVEN_UP = {
    "all": ([], 3, 3, [4, 5, 6]),
    "the first": ([], 1, 1, [4]),
    "all but one that was done": ([2], 3, 2, [5, 6]),
    "none, all were done": ([1, 2, 3], 3, 0, []),
    "more than there are": ([], 99, 3, [4, 5, 6]),
}


@pytest.mark.parametrize(("before", "last", "lost", "expected"), GIVEN_UP.values(), ids=GIVEN_UP)
def test_only_what_was_not_acknowledged_is_lost(before, last, lost, expected):
    machine, _ = talking(3)
    for order in before:
        machine.acknowledge(order)
        take(machine)
    assert machine.give_up(last) == lost
    assert take(machine) == expected


def test_the_socket_is_read_until_a_frame_has_to_wait():
    machine, _ = talking(3, frames=3)
    assert machine.is_reading
    machine.receive_data(client_frame(TEXT, b"4"))
    assert take(machine) == []
    assert not machine.is_reading
    machine.acknowledge(2)
    assert take(machine) == [4]
    assert machine.is_reading


def test_what_is_taken_back_goes_out_again_under_its_order():
    machine, _ = talking(3, frames=3)
    machine.unsend("3")
    machine.acknowledge(1)
    assert take(machine) == [3]
    assert machine.unacknowledged == 2


# (the answers, the window then, the state)
ANSWERS = {
    "with the accept": ([{"accept": True, "window": 4}], 4, State.OPEN),
    "with data that accept": ([{"text": "a", "window": 4}], 4, State.OPEN),
    "after the accept": ([{"accept": True}, {"window": 4}], 4, State.OPEN),
    "before the accept": ([{"window": 4}, {"accept": True}], 1, State.OPEN),
    "with a refusal": ([{"accept": False, "window": 4}], 1, State.CLOSED),
    "not said": ([{"accept": True}], 1, State.OPEN),
    "none": ([{"accept": True, "window": None}], 1, State.OPEN),
    "too large": ([{"accept": True, "window": 10**6}], MAX_WINDOW, State.OPEN),
    "too small": ([{"accept": True, "window": 0}], 1, State.OPEN),
}


@pytest.mark.parametrize(("answers", "window", "state"), ANSWERS.values(), ids=ANSWERS)
def test_the_worker_says_the_window_in_an_answer(answers, window, state):
    machine = connecting()
    for answer in answers:
        machine.answer(answer, PREAMBLE)
    assert (machine.window, machine.state) == (window, state)
