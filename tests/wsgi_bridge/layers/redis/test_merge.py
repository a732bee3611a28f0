"""Sends that go out as one call, and what each sender learns."""

import pytest

from wsgi_bridge.layers.redis.connection import command
from wsgi_bridge.layers.redis.merge import LARGEST, Merged
from wsgi_bridge.layers.redis.scripts import SCRIPTS


def send(channel, entry):
    keys = (channel, b"figures", b"totals", b"index")
    return SCRIPTS.send.prepare(keys).mergeable(channel, entry, 1.0, 2, 3.0, 4, "suffix")


def test_sends_to_one_channel_are_one_call_with_all_entries():
    merged = Merged([send(b"a", b"1"), send(b"b", b"2"), command("PING"), send(b"a", b"3")])
    assert len(merged.commands) == 3
    first = merged.commands[0]
    assert first.wire.startswith(b"*%d\r\n$7\r\nEVALSHA" % first.words)
    assert first.wire.endswith(b"$1\r\n1\r\n$1\r\n3\r\n")
    assert first.wire.count(b"\r\n$") == first.words


@pytest.mark.parametrize(
    ("reply", "shares"),
    [
        (3, [1, 1, 1]),
        ([3, [b"old"]], [[1, [b"old"]], [1, []], [1, []]]),
        ([2, []], [[1, []], [1, []], [0, []]]),
        ([0, []], [[0, []], [0, []], [0, []]]),
        (None, [None, None, None]),
    ],
)
def test_the_first_ones_are_put_and_the_last_refused(reply, shares):
    merged = Merged([send(b"a", b"1"), send(b"a", b"2"), send(b"a", b"3")])
    assert merged.spread([reply]) == shares


def test_other_replies_are_passed_on():
    merged = Merged([send(b"a", b"1"), command("LRANGE"), send(b"a", b"2")])
    assert merged.spread([2, [b"x", b"y"]]) == [1, [b"x", b"y"], 1]


def test_a_call_does_not_grow_without_bound():
    merged = Merged([send(b"a", bytes(LARGEST // 2)) for _ in range(6)])
    assert len(merged.commands) > 2
    assert merged.spread([1 for _ in merged.commands]) == [1] * 6
