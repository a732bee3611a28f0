"""Clients that do not read: the three policies of MESSAGES.md section 3, all of them bounded."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
)
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.server.backlog import BLOCK_FACTOR, PONG_ROOM

BUFFER = 20_000  # bytes that may wait
MESSAGE = b"x" * 5000
MANY = 60  # of MESSAGE: several times BUFFER and what the kernel takes


def make_rig(policy, write_buffer=BUFFER):
    return Rig(write_buffer=write_buffer, slow_client=policy, compression=False)


def broadcast_to_a_slow_and_a_quick_client(rig, is_bounded):
    """Send MANY group messages; return the slow client's owner, its client and the quick one's."""
    slow, slow_client = rig.open(buffer=4096)
    quick, quick_client = rig.open()
    for owner in (slow, quick):
        rig.layer.group_add("g", owner.reply_channel)
    for number in range(MANY):
        rig.layer.send_group("g", {"bytes": b"%03d" % number + MESSAGE})
        assert quick_client.read_frame() == (BINARY, b"%03d" % number + MESSAGE)
        assert slow.out.size <= is_bounded
    return slow, slow_client, quick_client


def test_drop_loses_messages_for_the_slow_client_alone_and_counts_them():
    with make_rig("drop") as rig:
        limit = BUFFER + len(MESSAGE) + 100
        _, client, quick = broadcast_to_a_slow_and_a_quick_client(rig, limit)
        lost = rig.counters.slow_client_lost_count
        assert 0 < lost < MANY
        numbers = [int(client.read_frame()[1][:3]) for _ in range(MANY - lost)]
        assert numbers == sorted(numbers)
        rig.layer.send_group("g", {"text": "after"})
        assert client.read_frame() == quick.read_frame() == (TEXT, b"after")


def test_close_ends_the_slow_client_with_1013_and_nobody_else():
    with make_rig("close") as rig:
        limit = BUFFER + len(MESSAGE) + 100
        _, client, quick = broadcast_to_a_slow_and_a_quick_client(rig, limit)
        while (frame := client.read_frame())[0] is BINARY:
            pass
        assert frame == (CLOSE, (1013, "client too slow"))
        client.send(close_frame(1013))
        assert rig.take()[1]["code"] == 1013
        rig.layer.send_group("g", {"text": "after"})
        assert quick.read_frame() == (TEXT, b"after")


def test_a_slow_client_that_does_not_even_read_the_close_is_cut_off():
    with make_rig("close") as rig:
        slow, _, _ = broadcast_to_a_slow_and_a_quick_client(rig, BUFFER + len(MESSAGE) + 100)
        assert slow.out.size
        rig.advance(5.1)
        assert slow.out.size == 0
        assert rig.take()[1]["code"] == 1006


def test_block_keeps_every_message_up_to_four_buffers_and_then_closes():
    with make_rig("block") as rig:
        limit = BLOCK_FACTOR * BUFFER + len(MESSAGE) + 100
        _, client, _ = broadcast_to_a_slow_and_a_quick_client(rig, limit)
        numbers = []
        while (frame := client.read_frame())[0] is BINARY:
            numbers.append(int(frame[1][:3]))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) * len(MESSAGE) > BLOCK_FACTOR * BUFFER
        assert frame == (CLOSE, (1013, "client too slow"))


def test_block_loses_nothing_for_a_client_that_reads_late():
    with make_rig("block") as rig:
        owner, client = rig.open(buffer=4096)
        rig.layer.group_add("g", owner.reply_channel)
        for number in range(12):
            rig.layer.send_group("g", {"bytes": b"%03d" % number + MESSAGE})
            settle()
        assert owner.out.size > BUFFER
        assert [int(client.read_frame()[1][:3]) for _ in range(12)] == list(range(12))
        assert rig.counters.slow_client_lost_count == 0


@pytest.mark.parametrize("policy", ["drop", "close", "block"])
def test_a_consumers_own_answers_are_bounded_under_every_policy(policy):
    with make_rig(policy) as rig:
        owner, client = rig.open(buffer=4096)
        for _ in range(MANY):
            rig.reply(owner, {"bytes": MESSAGE})
            settle()
            assert owner.out.size <= BLOCK_FACTOR * BUFFER + 2 * len(MESSAGE)
        while (frame := client.read_frame())[0] is BINARY:
            pass
        assert frame == (CLOSE, (1013, "client too slow"))


def test_the_pongs_of_a_client_that_only_pings_are_bounded():
    with make_rig("drop", write_buffer=1 << 20) as rig:
        owner, client = rig.open(buffer=4096)
        flood = 2 * PONG_ROOM // 131 * client_frame(PING, b"x" * 125)
        for number in range(10):
            client.send(flood + client_frame(PING, b"%d" % number))
            settle()
            assert owner.out.size <= 2 * PONG_ROOM
        while client.read_frame() != (PONG, b"9"):  # the latest is answered, whatever was left out
            pass
        assert not owner.machine.is_stalled
        client.send(client_frame(PING, b"again"))
        assert client.read_frame() == (PONG, b"again")


def test_a_client_that_dies_with_messages_waiting_leaves_nothing():
    with make_rig("drop") as rig:
        owner, client = rig.open(buffer=4096)
        rig.layer.group_add("g", owner.reply_channel)
        for _ in range(MANY):
            rig.layer.send_group("g", {"bytes": MESSAGE})
        wait_for(lambda: owner.out.size)
        client.close()
        assert rig.take()[1]["code"] == 1006
        wait_for(rig.is_empty)
        assert owner.out.size == 0


def test_a_group_message_to_a_client_that_has_gone_is_no_error(caplog):
    with make_rig("drop") as rig:
        owner, client = rig.open()
        rig.layer.group_add("g", owner.reply_channel)
        client.close()
        rig.layer.send_group("g", {"bytes": MESSAGE})
        rig.layer.send_group("g", {"bytes": MESSAGE})
        assert rig.take()[1]["code"] == 1006
        wait_for(rig.is_empty)
        assert caplog.records == []
