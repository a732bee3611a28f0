"""The hijack convention: the socket is the connection's until an app touches it."""

from __future__ import annotations

import pytest
from gevent import get_hub

from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge.server.hijack import LazySocket


@pytest.fixture
def rig():
    with Rig() as made:
        yield made


class Closes:
    """A C socket's `close`, counted, as gunicorn_asgi's accepted sockets do it."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


def connect(rig):
    """Return a held handshake's owner, its client, and a count of closed sockets."""
    from gunicorn_asgi.server import ClientSocket
    from wsgi_bridge.protocols.handshake import Handshake
    from wsgi_bridge.server.sockets import READ

    raw, client = rig.pair()
    sock = ClientSocket(raw.family, raw.type, raw.proto, raw.detach())
    sock.setblocking(False)
    closes = sock.on_close = Closes()
    watcher = rig.server.loop.io(sock.fileno(), READ)
    message = {"path": "/sock", "headers": [], "order": 0}
    owner = rig.sockets.open(sock, watcher, Handshake(b"KEY"), message, "request")
    return owner, client, closes


def test_a_socket_that_nobody_touches_stays_the_servers(rig):
    owner, client, _ = connect(rig)
    lazy = LazySocket(owner)
    assert not lazy.is_taken
    lazy.finish()
    rig.reply(owner, {"accept": True})
    assert client.read_head().startswith(b"HTTP/1.1 101 ")


def test_a_touched_socket_is_the_apps_alone(rig):
    owner, client, _ = connect(rig)
    lazy = LazySocket(owner)
    assert lazy.fileno() >= 0
    assert lazy.is_taken
    client.send(b"ping")
    assert lazy.recv(100) == b"ping"
    lazy.sendall(b"pong")
    assert client.sock.recv(100) == b"pong"
    rig.reply(owner, {"accept": True})
    settle()
    assert rig.server.connections == {}
    assert owner not in rig.server.timed


def test_an_app_in_a_native_thread_has_a_socket_that_blocks(rig):
    owner, client, closes = connect(rig)
    lazy = LazySocket(owner, rig.server.call)
    in_thread = get_hub().threadpool.apply
    client.send(b"ping")
    assert in_thread(lambda: lazy.recv(100)) == b"ping"
    in_thread(lambda: lazy.sendall(b"pong"))
    # Another thread still reads, as simple-websocket's does: nobody tells it of the end.
    reader = get_hub().threadpool.spawn(lambda: lazy.recv(100))
    in_thread(lazy.finish)
    assert client.read_to_end() == b"pong"
    wait_for(reader.ready, "the thread that reads")
    assert closes.count == 1


def test_what_a_thread_calls_in_the_hub_fails_in_the_thread(rig):
    with pytest.raises(ZeroDivisionError):
        get_hub().threadpool.apply(rig.server.call, (lambda: 1 / 0,))


def test_the_connection_counts_and_is_logged_until_the_app_is_done(rig):
    owner, client, closes = connect(rig)
    lazy = LazySocket(owner)
    lazy.sendall(b"x" * 10)
    settle()
    assert (rig.counters.websockets, closes.count, rig.logged) == (1, 0, [])
    lazy.finish()
    assert (rig.counters.websockets, closes.count) == (0, 1)
    [(request, status, _, _, _)] = rig.logged
    assert (request, status) == ("request", 101)
    assert client.read_to_end() == b"x" * 10


def test_no_deadline_and_no_stop_touches_what_was_taken(rig):
    owner, client, _ = connect(rig)
    lazy = LazySocket(owner)
    lazy.sendall(b"mine")
    rig.advance(30)
    rig.server.stop(1012)
    lazy.sendall(b"!")
    assert wait_for(lambda: client.sock.recv(100)) in (b"mine!", b"mine")
    assert rig.take()[0] == "websocket.connect"
    settle()
    assert rig.poll() is None


def test_bytes_that_came_with_the_handshake_are_the_apps_first(rig):
    owner, client, _ = connect(rig)
    owner.resume(b"with the handshake")
    client.send(b"after it")
    lazy = LazySocket(owner)
    assert lazy.recv(4) == b"with"
    buffer = bytearray(5)
    assert lazy.recv_into(buffer) == 5
    assert buffer == b" the "
    assert lazy.recv(100) == b"handshake"
    assert lazy.recv(100) == b"after it"
    client.send(b"and more")
    assert lazy.recv_into(buffer, 3) == 3
    assert buffer[:3] == b"and"


@pytest.mark.parametrize("how", ["it left", "504"])
def test_a_socket_that_is_gone_cannot_be_taken(rig, how):
    owner, client, closes = connect(rig)
    lazy = LazySocket(owner)
    if how == "504":
        rig.advance(30)
        assert client.read_head().startswith(b"HTTP/1.1 504 ")
    client.close()
    wait_for(lambda: closes.count)
    with pytest.raises(ConnectionAbortedError):
        lazy.recv(1)
    assert not lazy.is_taken
    lazy.finish()
    assert (closes.count, rig.counters.websockets) == (1, 0)
