"""What a process knows of the members behind its readers, from what Redis tells it."""

import pytest

from wsgi_bridge.layers.redis.codec import Change
from wsgi_bridge.layers.redis.memberships import ADD, DISCARD, Fetched, Memberships

EXPIRY = 100.0
NOW = 1000.0
END = NOW + EXPIRY


def add(version, name, is_real=True):
    return Change(version, is_real, [ADD, "group", f"p!{name}", END])


def discard(version, name, is_real=True):
    return Change(version, is_real, [DISCARD, "group", f"p!{name}", 0.0])


def fetched(version, *changes, members=(), pending=0):
    return Fetched(
        pending, version, changes, [[ADD, "group", f"p!{name}", END] for name in members]
    )


def never():
    raise AssertionError("it knows already")


@pytest.fixture
def memberships():
    return Memberships(EXPIRY)


def members(memberships, version, found=None):
    """Return who is a member at a version; `found` is what Redis has if it is asked."""
    fetch = never if found is None else lambda: found
    names = memberships.expand("p!", "group", version, NOW, fetch)
    return "".join(sorted(name[2:] for name in names))


def test_who_begins_to_read_gets_the_members(memberships):
    assert members(memberships, 7.0, fetched(7.0, members="ab")) == "ab"


def test_changes_after_the_message_do_not_count_for_it(memberships):
    changes = (add(5.0, "c"), discard(6.0, "b"), add(7.0, "d"))
    found = fetched(7.0, *changes, members="acd")
    assert members(memberships, 4.0, found) == "ab"
    assert members(memberships, 5.0) == "abc"
    assert members(memberships, 6.0) == "ac"
    assert members(memberships, 7.0) == "acd"


def test_a_renewal_and_a_discard_of_nobody_change_nothing(memberships):
    changes = (add(5.0, "a", is_real=False), discard(6.0, "z", is_real=False))
    assert members(memberships, 4.0, fetched(6.0, *changes, members="a")) == "a"
    assert members(memberships, 6.0) == "a"


def test_only_what_is_new_is_fetched_afterwards(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    assert memberships.known("p!") == 4.0
    assert members(memberships, 5.0, fetched(5.0, add(5.0, "b"))) == "ab"
    assert memberships.known("p!") == 5.0


def test_what_two_threads_have_fetched_counts_once(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    memberships.hold("p!", fetched(6.0, add(5.0, "b"), discard(6.0, "b")))
    memberships.hold("p!", fetched(6.0, add(5.0, "b"), discard(6.0, "b")))
    assert members(memberships, 5.0) == "ab"
    assert members(memberships, 6.0) == "a"


def test_a_change_is_kept_until_a_message_comes_to_it(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    memberships.hold("p!", fetched(5.0, add(5.0, "b"), pending=1))
    assert members(memberships, 4.0) == "a"
    assert members(memberships, 5.0) == "ab"


def test_changes_that_were_fetched_during_a_turn_count_when_it_is_over(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    memberships.hold("p!", fetched(5.0, add(5.0, "b")))
    memberships.mark("p!", 1, 5.0)
    memberships.hold("p!", fetched(6.0, discard(6.0, "a")))
    memberships.mark("p!", 2, 6.0)
    memberships.catch_up("p!", 1)
    assert members(memberships, 4.0) == "a"
    memberships.catch_up("p!", 2)
    assert members(memberships, 4.0) == "ab"
    memberships.mark("p!", 2, 6.0)
    memberships.catch_up("p!", 3)
    assert members(memberships, 4.0) == "b"


def test_where_nothing_can_be_fetched_the_members_are_as_last_known(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    assert memberships.expand("p!", "group", 5.0, NOW, lambda: None) == ("p!a",)
    assert members(memberships, 5.0, fetched(5.0, add(5.0, "b"))) == "ab"


def test_who_has_lost_a_reader_knows_nothing_of_it(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    memberships.add("group", "p!b", END)
    memberships.lose("p!")
    assert memberships.known("p!") is None
    assert memberships.announced({"p!"}, NOW) == []
    assert members(memberships, 9.0, fetched(9.0, members="c")) == "c"


def test_whom_another_process_has_discarded_is_not_announced(memberships):
    memberships.add("group", "p!a", END)
    memberships.add("group", "p!b", END)
    memberships.hold("p!", fetched(4.0, add(2.0, "a"), add(3.0, "b"), discard(4.0, "a")))
    assert memberships.announced({"p!"}, NOW) == [("group", "p!b", END, b"")]


def test_what_has_expired_is_not_announced(memberships):
    members(memberships, 4.0, fetched(4.0, members="a"))
    assert memberships.announced({"p!"}, NOW) == [("group", "p!a", END, b"")]
    assert memberships.announced({"p!"}, END) == []
