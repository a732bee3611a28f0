"""A lingering close: what is answered reaches a client that still sends."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.server.linger import LINGER_TIMEOUT
from wsgi_bridge.server.sockets import READ


@pytest.fixture
def rig():
    with Rig() as made:
        yield made


def linger(rig):
    """Return the server's socket, on which it has said that it writes no more, and the client."""
    sock, client = rig.pair()
    watcher = rig.server.loop.io(sock.fileno(), READ)
    sock.send(b"answer")
    sock.shutdown(1)
    rig.server.linger(sock, watcher)
    return sock, client


def test_what_comes_is_read_into_nothing_until_the_client_closes(rig):
    sock, client = linger(rig)
    for _ in range(10):
        client.send(b"x" * 60000)
    assert client.read_to_end() == b"answer"
    assert sock.fileno() >= 0
    client.close()
    wait_for(lambda: sock.fileno() < 0)
    assert not rig.server.timed


def test_the_client_has_a_limited_time(rig):
    sock, _ = linger(rig)
    rig.advance(LINGER_TIMEOUT - 0.1)
    assert sock.fileno() >= 0
    rig.advance(0.2)
    assert sock.fileno() < 0
    assert not rig.server.timed


def test_a_client_that_is_gone_already_is_no_error(rig):
    sock, client = linger(rig)
    client.close()
    wait_for(lambda: sock.fileno() < 0)
    rig.advance(LINGER_TIMEOUT + 1)
    settle()
