"""Bytes on their way to a socket: in order, kept when the kernel is full, never blocking."""

from __future__ import annotations

import _socket

import pytest
from gevent import get_hub
from gevent import socket as gevent_socket

from tests.wsgi_bridge.server.rig import settle, wait_for
from wsgi_bridge.server.outbound import MAX_SEND, Outbound


class Sink:
    """An Outbound on one end of a socketpair, and what it said."""

    def __init__(self):
        ours, self.peer = gevent_socket.socketpair()
        ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, 4096)
        self.sock = _socket.socket(ours.family, ours.type, 0, ours.detach())
        self.sock.setblocking(False)
        self.progress = []
        self.lost = 0
        loop = get_hub().loop
        self.out = Outbound(loop, self.sock, self._on_progress, self._on_lost)

    def _on_progress(self):
        self.progress.append(self.out.size)

    def _on_lost(self):
        self.lost += 1

    def read(self, size):
        parts = []
        while size:
            parts.append(self.peer.recv(min(size, 65536)))
            size -= len(parts[-1])
        return b"".join(parts)


@pytest.fixture
def sink():
    made = Sink()
    made.peer.settimeout(5)
    yield made
    made.out.close()
    made.sock.close()
    made.peer.close()


def test_a_small_write_goes_out_at_once(sink):
    assert sink.out.write(b"hello")
    assert (sink.out.size, sink.out.total) == (0, 5)
    assert sink.read(5) == b"hello"
    assert sink.progress == []


def test_what_the_kernel_does_not_take_waits_in_order(sink):
    pieces = [bytes([number]) * 9999 for number in range(60)]
    for piece in pieces:
        assert sink.out.write(piece)
    assert 0 < sink.out.size < sink.out.total == 60 * 9999
    assert sink.read(60 * 9999) == b"".join(pieces)
    wait_for(lambda: sink.out.size == 0)
    assert sink.progress == sorted(sink.progress, reverse=True)
    assert sink.progress[-1] == 0


def test_a_write_larger_than_one_send_goes_out_whole(sink):
    data = bytes(range(256)) * (MAX_SEND // 128)
    sink.out.write(data)
    assert sink.read(len(data)) == data


def test_writes_during_progress_keep_the_order(sink):
    extra = []

    def more():
        if len(extra) < 3:
            extra.append(b"%d" % len(extra) * 5000)
            sink.out.write(extra[-1])

    sink.out._on_progress = more
    first = b"a" * 50_000
    sink.out.write(first)
    assert sink.read(50_000 + 15_000) == first + b"".join(extra)


def test_an_idle_socket_has_neither_watcher_nor_queue(sink):
    sink.out.write(b"x" * 50_000)
    assert sink.out._watcher is not None
    sink.read(50_000)
    wait_for(lambda: sink.out.size == 0)
    assert sink.out._watcher is sink.out._queue is None


def test_a_write_to_a_peer_that_has_gone_says_so(sink):
    sink.peer.close()
    assert not sink.out.write(b"x")
    assert not sink.out.write(b"x")
    assert (sink.out.is_lost, sink.lost) == (True, 0)


def test_a_peer_that_goes_while_bytes_wait_is_told_of_once(sink):
    sink.out.write(b"x" * 50_000)
    sink.peer.close()
    wait_for(lambda: sink.lost)
    settle()
    assert (sink.lost, sink.out.size, sink.out.is_lost) == (1, 0, True)


def test_close_forgets_what_waits_and_may_be_called_twice(sink):
    sink.out.write(b"x" * 50_000)
    sink.out.close()
    sink.out.close()
    assert (sink.out.size, sink.out.write(b"x")) == (0, False)
    settle()
    assert sink.progress == []


def test_shutdown_tells_the_peer(sink):
    sink.out.write(b"x")
    sink.out.shutdown()
    assert sink.read(1) + sink.peer.recv(1) == b"x"


def test_shutdown_of_a_socket_that_has_gone_is_no_error(sink):
    sink.sock.shutdown(_socket.SHUT_RDWR)
    sink.peer.close()
    sink.sock.close()
    sink.out.shutdown()
    assert sink.out.is_lost
