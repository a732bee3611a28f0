"""How many connections the limit on open files has room for, and a listener that finds none."""

from __future__ import annotations

import errno
import itertools
import logging
import resource
import socket

import pytest

from gunicorn_asgi import server
from gunicorn_asgi.server import Listener
from tests.gunicorn_asgi.rig import HttpRig, settle, wait_for
from wsgi_bridge.server import descriptors
from wsgi_bridge.server.descriptors import RESERVE, limit_connections

LOG = logging.getLogger("tests")


@pytest.mark.parametrize(
    ("limit", "wanted", "room", "level"),
    [
        (1024, 500, 500, None),
        (1024, 1024 - 10 - RESERVE, 1024 - 10 - RESERVE, None),
        (1024, 1000, 1024 - 10 - RESERVE, "INFO"),
        (1024, 10_000, 1024 - 10 - RESERVE, "WARNING"),
        (16, 10, 1, "INFO"),
        (resource.RLIM_INFINITY, 10**6, 10**6, None),
    ],
)
def test_there_is_room_for_what_is_left(monkeypatch, caplog, limit, wanted, room, level):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(descriptors, "count_open", lambda: 10)
    assert limit_connections(wanted, LOG) == room
    assert [record.levelname for record in caplog.records] == ([level] if level else [])


def test_a_listener_that_finds_no_descriptor_tries_now_and_then(monkeypatch, caplog):
    monkeypatch.setattr(server, "ACCEPT_PAUSE", 0.01)
    tries = []
    with HttpRig() as rig, socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener(rig.http, sock)

        class Exhausted:
            def _accept(self):
                tries.append(rig.server.loop.now())
                raise OSError(errno.EMFILE, "Too many open files")

        real, listener._sock = listener._sock, Exhausted()
        with socket.create_connection(sock.getsockname()):
            wait_for(lambda: len(tries) >= 5)
            assert min(b - a for a, b in itertools.pairwise(tries)) > 0.005
            assert len(caplog.records) == 1, "a burst is said once"
            rig.clock.now += server.BURST
            wait_for(lambda: len(caplog.records) == 2)
            listener._sock = real
            wait_for(lambda: rig.counters.connections == 1)
        settle()
        listener.close()
