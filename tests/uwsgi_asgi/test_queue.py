"""The queue of connections between workers and terminators."""

from __future__ import annotations

import os
import socket

import pytest

from uwsgi_asgi import queue as module
from uwsgi_asgi.queue import MAX_PACKET, ConnectionQueue


@pytest.fixture
def queue():
    made = ConnectionQueue.make()
    yield made
    made.close()


def test_a_connection_comes_out_as_it_was_put_in(queue):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert queue.put(b"a request", [theirs.fileno()])
        packet, [descriptor] = queue.take()
        with socket.socket(fileno=descriptor) as taken:
            assert packet == b"a request"
            taken.send(b"hello")
            assert ours.recv(5) == b"hello"


def test_packets_come_one_by_one_in_order(queue):
    with open(os.devnull) as file:
        for packet in (b"a", b"b" * 60_000, b"c"):
            assert queue.put(packet, [file.fileno()])
    taken = [queue.take() for _ in range(3)]
    assert [packet for packet, _ in taken] == [b"a", b"b" * 60_000, b"c"]
    for _, [descriptor] in taken:
        os.close(descriptor)
    assert queue.take() is None


def test_a_full_queue_says_so_and_goes_on_when_there_is_room(queue, monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    count = 0
    while queue.put(b"x" * 50_000, []):
        count += 1
    assert count > 2
    queue.take()
    assert queue.put(b"x" * 50_000, [])
    assert not queue.put(b"x" * 50_000, [])


def test_too_large_a_request_is_none(queue):
    with pytest.raises(ValueError, match="expected"):
        queue.put(b"x" * (MAX_PACKET + 1), [])


def test_it_is_found_by_its_name_as_long_as_it_is_there(queue):
    name = str(queue)
    found = ConnectionQueue.find(name)
    queue.put(b"a", [])
    assert found.take() == (b"a", [])
    found.close()
    queue.close()
    with socket.socket(), socket.socket():  # which have its descriptors' numbers now
        assert ConnectionQueue.find(name) is None


def test_no_room_for_a_descriptor_is_an_error_that_loses_none(queue, monkeypatch):
    class Reader:
        def fileno(self):
            return -1

    def recv_fds(sock, size, most, flags):
        return b"a", [kept], socket.MSG_CTRUNC, None

    kept = os.open(os.devnull, os.O_RDONLY)
    monkeypatch.setattr(module.socket, "recv_fds", recv_fds)
    with pytest.raises(OSError, match="Too many open files"):
        queue.take()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept)
