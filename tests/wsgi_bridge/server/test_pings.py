"""Pings from one place: who gets one, who is given up, and who is not."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import BINARY, CLOSE, PING, PONG, TEXT, client_frame
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.server import pings


@pytest.fixture
def rig():
    with Rig(ping_interval=10.0, ping_timeout=4.0) as made:
        yield made


def pass_time(rig, seconds):
    """Let time pass, a tick after the other."""
    for _ in range(int(seconds * 4)):
        rig.advance(0.25)


def wait_for_ping(rig, owner):
    """Let time pass until a ping has gone out; return the seconds."""
    for ticks in range(45):
        rig.advance(0.25)
        if owner.silent_since:
            return (ticks + 1) * 0.25
    raise AssertionError("no ping came")


def test_every_socket_is_pinged_once_an_interval():
    with Rig(ping_interval=10.0, ping_timeout=0.0) as rig:
        clients = [rig.open()[1] for _ in range(20)]
        for _ in range(3):
            pass_time(rig, 10)
            for client in clients:
                assert client.read_frame() == (PING, b"")
                client.send(client_frame(PONG))
            settle()


def test_the_pings_are_spread_over_the_interval():
    with Rig(ping_interval=100.0) as rig:
        owners = [rig.open()[0] for _ in range(60)]
        turns = {id(owner._pings) for owner in owners}
        assert len(turns) > 20
        assert pings.STEPS == 100


def test_a_silent_client_is_given_up_and_the_consumer_learns_why(rig):
    owner, client = rig.open()
    rig.layer.group_add("present", owner.reply_channel)
    wait_for_ping(rig, owner)
    pass_time(rig, 3.75)
    assert rig.poll() is None
    pass_time(rig, 0.25)
    channel, message = rig.take()
    assert (channel, message["code"], message["reason"]) == (
        "websocket.disconnect",
        1006,
        "no pong in 4 s",
    )
    wait_for(rig.is_empty)
    assert rig.layer.group_channels("present") == []
    assert rig.counters.silent_clients_count == 1
    assert client.read_frame() == (PING, b"")
    with pytest.raises(EOFError):  # no close frame: every client reconnects after 1006
        client.read_frame()


@pytest.mark.parametrize("sign", [client_frame(PONG), client_frame(TEXT, b"a"), b"\x81"])
def test_any_sign_of_life_keeps_a_client(rig, sign):
    owner, client = rig.open()
    assert wait_for_ping(rig, owner) <= 10.25
    client.send(sign)
    wait_for(lambda: not owner.silent_since)
    pass_time(rig, 4)
    assert rig.counters.silent_clients_count == 0


def test_a_client_that_is_not_read_since_its_consumer_is_slow_is_not_given_up(rig):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") * 2)
    wait_for(lambda: not owner.is_reading)
    pass_time(rig, 30)
    assert rig.counters.silent_clients_count == 0
    client.send(client_frame(PONG))
    rig.take("websocket.receive")
    rig.acknowledge(owner, 1)
    rig.take("websocket.receive")
    wait_for(lambda: owner.is_reading)
    pass_time(rig, 3)
    assert rig.counters.silent_clients_count == 0


def test_a_client_that_takes_what_waits_for_it_is_not_given_up(rig):
    owner, client = rig.open(buffer=4096)
    rig.reply(owner, {"bytes": b"x" * 200_000})
    wait_for(lambda: owner.out.size)
    wait_for_ping(rig, owner)
    assert client.read_frame() == (BINARY, b"x" * 200_000)
    settle()
    assert not owner.silent_since
    pass_time(rig, 3)
    assert rig.counters.silent_clients_count == 0


def test_no_ping_goes_to_a_held_handshake_or_behind_a_close(rig):
    held, _ = rig.connect()
    closing, client = rig.connect()
    rig.reply(closing, {"accept": True, "close": 4000})
    client.read_head()
    assert client.read_frame() == (CLOSE, (4000, ""))
    assert not held.ping(1.0)
    assert not closing.ping(1.0)


def test_without_an_interval_nobody_is_pinged():
    with Rig(ping_interval=0.0) as rig:
        owner, _ = rig.open()
        assert owner.sockets.pinger is None
        pass_time(rig, 100)
        assert not owner.silent_since


def test_without_a_deadline_a_silent_client_stays():
    with Rig(ping_interval=1.0, ping_timeout=0.0) as rig:
        rig.open()
        pass_time(rig, 100)
        assert rig.counters.silent_clients_count == 0


def test_a_socket_that_closes_or_changes_hands_leaves_the_wheel(rig):
    owner, client = rig.open()
    other, _ = rig.open()
    client.close()
    wait_for(lambda: owner._pings is None)
    sock, _ = rig.sockets.release(other)
    assert not any(rig.sockets.pinger._wheel)
    sock.close()
