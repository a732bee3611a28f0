"""Clients that send as fast as they can: everybody else has a turn, and limits hold back."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate

from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    TEXT,
    client_frame,
    opened,
    raw_frame,
    sent,
)
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.protocols.states import OPEN, TURN
from wsgi_bridge.protocols.websocket import FRAMES_A_TURN
from wsgi_bridge.server.pace import BURST, Pace

MEGABYTE = 1 << 20


# Turns


def test_a_flood_of_fragments_has_no_more_than_its_turn():
    machine = opened()
    flood = client_frame(TEXT, b"a", fin=False) + client_frame(CONT, b"b", fin=False) * 1000
    machine.receive_data(flood)
    assert (machine.hold, machine.is_reading) == (TURN, False)
    assert machine.barren == FRAMES_A_TURN
    turns = 0
    while machine.hold is TURN:
        machine.go_on()
        turns += 1
    assert turns == 1001 // FRAMES_A_TURN


def test_a_flood_of_pings_has_no_more_than_its_turn():
    machine = opened()
    machine.receive_data(client_frame(PING) * (FRAMES_A_TURN + 1))
    assert machine.hold is TURN
    assert len(sent(machine)) == FRAMES_A_TURN
    machine.go_on()
    assert (machine.hold, len(sent(machine))) == (None, 1)


def test_fragments_that_wait_for_their_turn_are_one_message():
    machine = opened()
    machine.receive_data(client_frame(TEXT, b"a", fin=False))
    machine.receive_data(client_frame(CONT, b"b", fin=False) * 1000)
    while machine.hold is TURN:
        machine.go_on()
    machine.receive_data(client_frame(CONT, b"c"))
    assert machine.next_message() == "a" + "b" * 1000 + "c"


def test_a_flood_of_fragments_is_read_to_its_end_over_a_socket():
    with Rig() as rig:
        _, client = rig.open()
        client.send(client_frame(TEXT, b"a", fin=False) + client_frame(CONT, fin=False) * 5000)
        client.send(client_frame(CONT, b"b"))
        assert rig.take("websocket.receive")[1]["text"] == "ab"


def test_fragments_take_as_much_memory_as_they_have_bytes():
    machine = opened()
    machine.max_size = MEGABYTE
    machine._protocol.max_message_size = MEGABYTE
    machine.receive_data(client_frame(BINARY, b"ab", fin=False))
    flood = client_frame(CONT, b"ab", fin=False) * 2000
    tracemalloc.start()
    for _ in range(20):
        machine.receive_data(flood)
        while machine.hold is TURN:
            machine.go_on()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(machine._library.fragments.payload) == 80_002
    assert kept < 300_000


# The rate


def test_a_pace_lets_a_burst_pass_and_then_its_rate():
    pace = Pace(100)
    assert pace.take(500, 1000.0) == 0
    assert pace.take(550, 1000.0) == pytest.approx(0.5)
    assert pace.take(550, 1000.5) == 0
    assert pace.take(1050, 1005.5) == pytest.approx(0)
    assert pace.take(1051, 1005.5) == pytest.approx(0.01)


@pytest.mark.parametrize("frame", [client_frame(PING), client_frame(CONT, fin=False)])
def test_a_socket_over_its_rate_is_read_no_more_until_it_is_within_it(frame):
    with Rig(max_frame_rate=100) as rig:
        owner, client = rig.open()
        client.send(client_frame(TEXT, b"a", fin=False))
        client.send(frame * int(100 * BURST + 100))
        wait_for(lambda: not owner.is_reading and owner.machine.hold is not TURN)
        client.send(client_frame(CONT, b"b"))
        settle()
        assert rig.poll("websocket.receive") is None
        rig.advance(0.9)
        settle()
        assert rig.poll("websocket.receive") is None
        rig.advance(0.3)
        assert rig.take("websocket.receive")[1]["text"] == "ab"
        assert owner.machine.state is OPEN


def test_messages_count_too_and_none_is_lost():
    with Rig(max_frame_rate=10) as rig:
        owner, client = rig.open()
        client.send(client_frame(TEXT, b"a") * 100)
        for number in range(100):
            rig.take("websocket.receive")
            rig.acknowledge(owner, number + 1)
        settle()
        client.send(client_frame(TEXT, b"late"))
        settle()
        assert rig.poll("websocket.receive") is None
        rig.advance(6)
        assert rig.take("websocket.receive")[1]["text"] == "late"


def test_a_client_that_leaves_while_it_is_held_back_is_forgotten():
    with Rig(max_frame_rate=10) as rig:
        owner, client = rig.open()
        client.send(client_frame(PING) * 100)
        wait_for(lambda: not owner.is_reading)
        client.close()
        rig.advance(10)
        assert rig.take("websocket.disconnect")[1]["code"] == 1006
        wait_for(rig.is_empty)


# Bombs


def bomb(size):
    """Return a frame that becomes ``size`` zero bytes."""
    packer = zlib.compressobj(9, wbits=-15)
    data = b"".join(packer.compress(bytes(MEGABYTE)) for _ in range(size // MEGABYTE))
    return raw_frame(0xC2, data + packer.flush(zlib.Z_SYNC_FLUSH)[:-4])


def test_a_bomb_is_refused_with_1009_and_never_unpacked():
    data = bomb(256 * MEGABYTE)
    machine = opened(PerMessageDeflate(True, True, 15, 15))
    machine.max_size = machine._protocol.max_message_size = MEGABYTE
    tracemalloc.start()
    machine.receive_data(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert machine.close_code == 1009
    assert peak < 4 * MEGABYTE


def test_a_bomb_in_fragments_is_refused_where_the_limit_is_passed():
    packer = zlib.compressobj(9, wbits=-15)
    pieces = [packer.compress(bytes(1000)) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(3)]
    machine = opened(PerMessageDeflate(True, True, 15, 15))
    machine.receive_data(raw_frame(0x42, pieces[0]))
    machine.receive_data(raw_frame(0x00, pieces[1]))
    assert machine.state is OPEN
    machine.receive_data(raw_frame(0x80, pieces[2][:-4]))
    assert machine.close_code == 1009


def test_a_fragment_past_the_limit_is_refused_by_its_head():
    machine = opened()
    machine.receive_data(client_frame(BINARY, bytes(1500), fin=False))
    machine.receive_data(client_frame(CONT, bytes(501))[:10])
    assert machine.close_code == 1009


def test_frames_behind_our_close_are_stepped_over():
    with Rig() as rig:
        owner, client = rig.open()
        rig.reply(owner, {"close": 4000})
        assert client.read_frame() == (CLOSE, (4000, ""))
        client.send(client_frame(PING) * 3000 + client_frame(TEXT, b"a", fin=False))
        client.send(client_frame(TEXT, b"\xff" * 200) * 100)
        client.answer_close(4000)
        assert rig.take("websocket.disconnect")[1]["code"] == 4000
