"""A server that stops closes its sockets one after the other, and in no order."""

from __future__ import annotations

import gevent
import pytest

from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.protocols.states import CLOSING, OPEN
from wsgi_bridge.server import farewell


@pytest.fixture
def rig(monkeypatch):
    monkeypatch.setattr(farewell, "SLOWEST", 5)
    monkeypatch.setattr(farewell, "STEP", 0.001)
    with Rig(ping_interval=0.0) as made:
        yield made


def closing(owners):
    return [owner for owner in owners if owner.machine.state is CLOSING]


def test_the_sockets_are_closed_over_the_window_in_random_order(rig):
    pairs = [rig.open() for _ in range(40)]
    owners = [owner for owner, _ in pairs]
    rig.server.stop(1012, window=4.0)
    settle()
    assert not closing(owners)
    order = []
    for second in range(4):
        rig.clock.now += 1
        wait_for(lambda so_far=10 * (second + 1): len(closing(owners)) == so_far)
        order += [owner for owner in closing(owners) if owner not in order]
    assert order != owners
    for _, client in pairs:
        assert client.read_frame() == (CLOSE, (1012, ""))


def test_a_few_sockets_are_not_dragged_out(rig):
    owners = [rig.open()[0] for _ in range(5)]
    rig.server.stop(1012, window=60.0)
    settle()
    rig.clock.now += 1.01
    wait_for(lambda: len(closing(owners)) == 5)


def test_a_socket_that_waits_for_its_turn_works(rig):
    owner, client = rig.open()
    rig.server.stop(1012, window=4.0)
    settle()
    client.send(client_frame(TEXT, b"a"))
    assert rig.take()[1]["text"] == "a"
    rig.reply(owner, {"text": "b", "ack": 1})
    assert client.read_frame() == (TEXT, b"b")


def test_new_handshakes_are_refused_meanwhile_and_held_ones_at_once(rig):
    rig.open()
    _, client = rig.connect()
    rig.server.stop(1012, window=4.0)
    assert client.read_head().startswith(b"HTTP/1.1 503 ")
    with pytest.raises(HandshakeError, match="stopping"):
        rig.sockets.check_handshake({"headers": [], "http_version": "1.1"}, "GET")


def test_a_stop_without_a_window_hurries_one_that_is_under_way(rig):
    owners = [rig.open()[0] for _ in range(20)]
    rig.server.stop(1012, window=4.0)
    settle()
    assert all(owner.machine.state is OPEN for owner in owners)
    rig.server.stop(1012)
    assert len(closing(owners)) == 20
    rig.clock.now += 10
    gevent.sleep(0.01)


def test_a_socket_that_cannot_be_closed_does_not_keep_the_others(rig, caplog, monkeypatch):
    owners = [rig.open()[0] for _ in range(3)]
    rig.server.stop(1012, window=1.0)
    settle()
    monkeypatch.setattr(owners[1].machine.__class__, "close", broken_for(owners[1].machine))
    rig.clock.now += 1.01
    wait_for(lambda: len(closing(owners)) == 2)
    assert "a socket could not be closed" in caplog.text


def broken_for(machine):
    original = type(machine).close

    def close(self, code, reason=""):
        if self is machine:
            raise ValueError("cannot")
        original(self, code, reason)

    return close
