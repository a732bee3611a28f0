"""The account of groups, on histories made by hand: what was for whom, and in which order.

Message n of the sender is sent from n to n + 0.1.
"""

import pytest

from tests.audit.group_account import (
    GroupHistory,
    Membership,
    Messages,
    read_group_history,
    settle_groups,
)

NUMBER = 10
ALL = list(range(1, NUMBER + 1))
SENT = Messages([float(n) for n in ALL], [n + 0.1 for n in ALL])


def settle(got, membership=None, killed=False, counted=0):
    """Settle what a member got, beside one that stayed and got everything."""
    member = membership or Membership(0.1, 0.2)
    history = GroupHistory(
        members={"h0.0!m0": Membership(0.1, 0.2), "h0.0!t1": member},
        messages={"s0.0": SENT},
        got={"h0.0": {"m0": {"s0.0": ALL}, "t1": {"s0.0": got}}},
        killed={"h0.0": 9.0} if killed else {},
        counted_lost=counted,
    )
    return settle_groups(history, vanish_within=2.0)


def test_who_stays_gets_everything():
    account = settle(ALL)
    assert account.is_balanced
    assert account.members_that_stayed == 2
    assert account.delivered == 2 * NUMBER


@pytest.mark.parametrize("missing", ALL)
def test_nothing_may_be_missing(missing):
    account = settle([n for n in ALL if n != missing])
    assert account.missed == 1
    assert not account.is_balanced


def test_nothing_comes_twice():
    assert settle([1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10]).twice == 1


def test_nothing_comes_out_of_order():
    assert settle([1, 3, 2, 4, 5, 6, 7, 8, 9, 10]).out_of_order == 1


@pytest.mark.parametrize("got", [[3, 4, 5, 6], [4, 5, 6], [4, 5, 6, 7], [3, 4, 5, 6, 7]])
def test_who_joins_or_leaves_while_one_is_sent_may_get_it(got):
    account = settle(got, Membership(3.05, 3.2, 7.05, 7.2))
    assert account.is_balanced
    assert account.members_that_came_and_went == 1


@pytest.mark.parametrize("got", [[5, 6], [4, 5], [4, 6], []])
def test_who_was_a_member_meanwhile_gets_it(got):
    assert settle(got, Membership(3.05, 3.2, 7.05, 7.2)).missed > 0


@pytest.mark.parametrize("got", [[2, 3, 4, 5, 6], [4, 5, 6, 7, 8]])
def test_who_was_no_member_does_not(got):
    assert settle(got, Membership(3.05, 3.2, 7.05, 7.2)).not_for_them == 1


def test_who_never_joined_gets_nothing():
    history = GroupHistory(
        members={"h0.0!m0": Membership(0.1, 0.2)},
        messages={"s0.0": SENT},
        got={"h0.0": {"m0": {"s0.0": ALL}, "stranger": {"s0.0": [1]}}},
    )
    assert settle_groups(history, 2.0).not_for_them == 1


class TestKilledHolders:
    def test_what_it_had_not_written_down_goes_with_it(self):
        history = GroupHistory(
            members={"h0.0!m0": Membership(0.1, 0.2), "h0.0!m1": Membership(0.1, 0.2)},
            messages={"s0.0": SENT},
            got={"h0.0": {"m0": {"s0.0": [1, 2, 3]}, "m1": {"s0.0": [1, 2]}}},
            killed={"h0.0": 3.5},
        )
        assert settle_groups(history, 2.0).is_balanced

    def test_nobody_else_misses_anything(self):
        history = GroupHistory(
            members={"h0.0!m0": Membership(0.1, 0.2), "h1.0!m0": Membership(0.1, 0.2)},
            messages={"s0.0": SENT},
            got={"h0.0": {"m0": {"s0.0": [1, 2]}}, "h1.0": {"m0": {"s0.0": [1, 2]}}},
            killed={"h0.0": 3.5},
        )
        account = settle_groups(history, 2.0)
        assert account.lost_at_capacity == 8
        assert not account.is_balanced

    def test_its_members_vanish_in_time(self):
        history = GroupHistory(vanished=[0.5, 2.5])
        assert settle_groups(history, 2.0).too_slow_to_vanish == 1


class TestCapacity:
    def test_what_a_whole_holder_did_not_get_was_lost_if_it_was_counted(self):
        assert self.settle(counted=1).is_balanced

    def test_otherwise_it_is_a_disagreement(self):
        account = self.settle(counted=0)
        assert account.disagreements == ["lost at capacity: 1, the layer has counted 0"]

    def test_what_was_counted_is_missing_somewhere(self):
        assert settle(ALL, counted=1).disagreements

    def settle(self, counted):
        history = GroupHistory(
            members={"h0.0!m0": Membership(0.1, 0.2)},
            messages={"s0.0": SENT},
            got={"h0.0": {"m0": {"s0.0": [n for n in ALL if n != 5]}}},
            counted_lost=counted,
        )
        return settle_groups(history, 2.0)


def test_what_all_that_stay_got_is_read_for_each(tmp_path):
    (tmp_path / "h0.0.members").write_text(
        "a 0.1 h0.0!m0\nA 0.2 h0.0!m0\na 0.1 h0.0!m1\nA 0.2 h0.0!m1\n"
    )
    (tmp_path / "c0.0.members").write_text("a 1.5 h0.0!t0\nA 1.6 h0.0!t0\nd 2.5 h0.0!t0\n")
    (tmp_path / "s0.0.sent").write_text("> 1.0 1\n+ 1.1 1\n> 2.0 2\n+ 2.1 2\n> 3.0 3\n")
    (tmp_path / "h0.0.got").write_text("1.1 s0.0 1 m1,m0\n2.1 s0.0 2 *,t0\n3.1 s0.0 3 *\n3.2 s")
    history = GroupHistory()
    read_group_history(str(tmp_path), history)
    numbers = {member: list(got["s0.0"]) for member, got in history.got["h0.0"].items()}
    assert numbers == {"m0": [1, 2, 3], "m1": [1, 2, 3], "t0": [2]}
    assert settle_groups(history, 2.0).is_balanced
