"""The pump between a client's socket and an app's: whole, bounded, and over when it should be."""

from __future__ import annotations

import pytest
from gevent import socket as gevent_socket

from tests.wsgi_bridge.server.rig import Client, Rig, settle, wait_for
from wsgi_bridge.server.linger import LINGER_TIMEOUT
from wsgi_bridge.server.pump import MAX_WAITING, Pump, make_pair

CLOSE_TIMEOUT = 3.0
MEGABYTE = 1 << 20
# What the pump holds of one direction, with all that the kernel does: four of its buffers.
BOUND = MAX_WAITING + 65536 + 4 * 425_984


@pytest.fixture
def rig():
    with Rig(close_timeout=CLOSE_TIMEOUT) as made:
        yield made


def connect(rig, early=b""):
    """Return the client and the app at the two ends of a pump."""
    client, app, _ = connect_by(rig, early)
    return client, app


def connect_by(rig, early=b""):
    """Return the pump, too."""
    raw, client = rig.pair()
    near, far = make_pair()
    pump = Pump(rig.server, raw, near, early)
    app = Client(gevent_socket.socket(far.family, far.type, far.proto, fileno=far.detach()))
    rig._clients.append(app)
    return client, app, pump


def fill(client):
    """Send until nothing more is taken; return how many bytes were."""
    client.sock.settimeout(0.05)
    sent = 0
    while True:
        try:
            sent += client.sock.send(b"x" * 65536)
        except TimeoutError:
            return sent


def test_bytes_go_both_ways_and_the_early_ones_first(rig):
    client, app = connect(rig, b"early ")
    client.send(b"ping")
    wait_for(lambda: app.sock.recv(100, gevent_socket.MSG_PEEK) == b"early ping")
    app.send(b"pong")
    assert client.sock.recv(100) == b"pong"


@pytest.mark.parametrize("whose", ["client", "app"])
def test_who_sends_to_one_that_does_not_read_is_held_back_and_nothing_is_lost(rig, whose):
    ends = connect(rig)
    sender, reader = ends if whose == "client" else reversed(ends)
    sent = fill(sender)
    assert 0 < sent < BOUND
    sender.close()
    assert len(reader.read_to_end()) == sent


def test_a_client_that_ends_may_still_be_answered(rig):
    client, app = connect(rig)
    client.send(b"last")
    client.sock.shutdown(gevent_socket.SHUT_WR)
    assert app.read_to_end() == b"last"
    app.send(b"answer")
    app.close()
    assert client.read_to_end() == b"answer"
    client.close()
    wait_for(rig.is_empty)


def test_what_an_app_said_before_it_closed_is_heard_by_a_client_that_talks(rig):
    client, app = connect(rig)
    app.send(b"bye")
    client.send(b"x" * 1000)
    app.close()  # with a thousand bytes unread
    client.send(b"y")
    assert client.read_to_end() == b"bye"
    client.close()
    wait_for(rig.is_empty)


def test_an_app_learns_that_its_client_is_gone(rig):
    client, app = connect(rig)
    client.close()
    assert app.read_to_end() == b""
    with pytest.raises(OSError):
        for _ in range(100):
            app.send(b"x" * 65536)
            settle()
    wait_for(rig.is_empty)


def test_a_client_that_takes_nothing_of_the_rest_is_cut_off(rig):
    _client, app, pump = connect_by(rig)
    fill(app)
    app.close()
    pump.leave()
    rig.advance(CLOSE_TIMEOUT + 0.1)
    assert rig.is_empty()


def test_a_client_that_takes_the_rest_slowly_gets_all(rig):
    client, app, pump = connect_by(rig)
    sent = fill(app)
    app.close()
    pump.leave()
    left = sent
    while left:
        rig.advance(CLOSE_TIMEOUT / 2)
        for _ in range(16):  # what the kernel holds goes first, and nobody sees that it does
            left -= len(client.sock.recv(65536)) if left else 0
        settle()
    assert client.read_to_end() == b""


def test_a_client_that_does_not_close_is_cut_off(rig):
    client, app = connect(rig)
    app.close()
    assert client.read_to_end() == b""
    rig.advance(LINGER_TIMEOUT + 0.1)
    assert rig.is_empty()
