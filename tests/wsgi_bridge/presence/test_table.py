"""The rules by which somebody comes and goes: a row for each."""

from __future__ import annotations

import pytest

from wsgi_bridge.presence.table import JOIN, LEAVE, Table, by_identity

NOW = 1000.0
GRACE = 15.0
ADA = {"id": "ada"}
HERE = by_identity({"p!1": ADA})
NOBODY = by_identity({})


def make_table(leaves_at):
    """Return a table in which Ada is there (0.0), is leaving, or is not (None)."""
    people = {} if leaves_at is None else {"ada": ["ada", ADA, leaves_at]}
    return Table({"people": people, "grace": GRACE, "order": 0, "swept": NOW})


def state_of(table):
    row = table.value["people"].get("ada")
    return None if row is None else row[2]


@pytest.mark.parametrize(
    ("before", "here", "after", "events"),
    [
        (None, HERE, 0.0, [JOIN]),
        (0.0, HERE, 0.0, []),
        (NOW + 1, HERE, 0.0, []),
        (NOW, HERE, 0.0, []),  # back in the last moment
        (None, NOBODY, None, []),
        (0.0, NOBODY, NOW + GRACE, []),
        (NOW + 1, NOBODY, NOW + 1, []),
        (NOW, NOBODY, None, [LEAVE]),
        (NOW - 1, NOBODY, None, [LEAVE]),
    ],
)
def test_what_a_look_finds(before, here, after, events):
    table = make_table(before)
    assert [channel for channel, _ in table.look("room", here, NOW)] == events
    assert state_of(table) == after
    assert table.is_changed is (before != after)
    assert table.next_due == (after or None)


def test_a_value_survives_being_stored():
    table = make_table(None)
    table.grace = 3.0
    table.look("room", by_identity({"p!1": ADA, "p!2": {"id": 7}}), NOW)
    again = Table(table.value)
    assert again.value == table.value
    assert list(again.people()) == ["ada", "7"]
    assert again.grace == 3.0
    assert not again.is_changed


def test_the_order_grows_whatever_the_clock_does():
    table = make_table(None)
    orders = []
    for here, now in [(HERE, NOW), (NOBODY, NOW), (NOBODY, NOW + GRACE), (HERE, NOW - 100)]:
        orders += [message["order"] for _, message in table.look("room", here, now)]
    assert len(orders) == 3
    assert orders == sorted(set(orders))


def test_of_several_sockets_always_the_same_one_describes_its_user():
    one, two = {"id": 7, "tab": 1}, {"id": "7", "tab": 2}
    for members in ({"p!1": one, "p!2": two}, {"p!2": two, "p!1": one}):
        assert by_identity(members) == {"7": (7, one)}
