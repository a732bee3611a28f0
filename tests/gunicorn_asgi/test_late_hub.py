"""A hub that was held up sees the clock before its sockets: what has come in time is in time."""

from __future__ import annotations

import pytest

from gunicorn_asgi.connection import STOP_GRACE
from tests.gunicorn_asgi.rig import HttpRig, get, settle

HEAD_TIMEOUT = 5.0
KEEPALIVE = 2.0


@pytest.fixture
def rig():
    with HttpRig(keepalive=KEEPALIVE, head_timeout=HEAD_TIMEOUT) as rig:
        yield rig


def test_a_request_that_is_there_when_a_stopping_server_waits_no_longer_is_answered(rig):
    client = rig.accept()
    settle()
    rig.http.stop()
    client.send(get("/a"))
    rig.advance(STOP_GRACE + 0.1)
    rig.answer(rig.request())
    assert client.read_to_end().endswith(b"ok")


@pytest.mark.parametrize("read_before", [0, 10])
def test_a_request_that_is_there_when_its_time_is_up_is_answered(rig, read_before):
    data = get("/a", "Connection: close")
    client = rig.accept(data[:read_before])
    settle()
    client.send(data[read_before:])
    rig.advance(HEAD_TIMEOUT + 0.1)
    rig.answer(rig.request())
    assert client.read_to_end().endswith(b"ok")


def test_a_request_that_is_there_when_keepalive_is_over_is_answered(rig):
    client = rig.accept(get())
    rig.answer(rig.request(), b"")
    client.read_head()
    client.send(get("/again", "Connection: close"))
    rig.advance(KEEPALIVE + 0.1)
    rig.answer(rig.request())
    assert client.read_to_end().endswith(b"ok")


def test_a_head_that_is_still_not_whole_is_late(rig):
    client = rig.accept(get()[:5])
    settle()
    client.send(get()[5:10])
    rig.advance(HEAD_TIMEOUT + 0.1)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_head_that_begins_when_keepalive_is_over_has_its_time(rig):
    client = rig.accept(get())
    rig.answer(rig.request(), b"")
    client.read_head()
    client.send(get("/again")[:5])
    rig.advance(KEEPALIVE + 0.1)
    assert len(rig.http.connections) == 1
    rig.advance(HEAD_TIMEOUT + 0.1)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_client_that_has_left_when_its_time_is_up_is_let_go(rig):
    client = rig.accept(get()[:5])
    settle()
    client.close()
    rig.advance(HEAD_TIMEOUT + 0.1)
    settle()
    assert rig.is_closed
