"""GreenletWorker: consumers in pooled greenlets, without a server."""

from __future__ import annotations

import threading
import time

import gevent
import pytest
from gevent.event import Event

from tests.wsgi_bridge.server.rig import wait_for
from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import Bridge, open_layer, route
from wsgi_bridge.server.greenlet_worker import GreenletWorker
from wsgi_bridge.server.wakeup import Wakeup
from wsgi_bridge.worker import Worker


@pytest.fixture
def door():
    return Event()


@pytest.fixture
def layer():
    return open_layer("memory://")


@pytest.fixture
def worker(layer, door):
    bridge = Bridge(answers("200 OK"), [route("jobs", lambda message: door.wait())], layer=layer)
    return GreenletWorker(Worker(bridge, layer, Wakeup), greenlets=3)


def test_no_more_is_taken_than_there_are_greenlets(worker, layer, door):
    worker.start()
    for _ in range(5):
        layer.send("jobs", {})
    wait_for(lambda: worker.running == 3)
    assert (worker.taken, layer.channel_statistics("jobs")["messages_pending"]) == (3, 2)
    door.set()
    wait_for(lambda: worker.taken == 5 and not worker.running)
    assert worker.unfinished() == []


def test_what_was_taken_finishes_when_another_thread_says_stop(worker, layer, door):
    worker.start()
    layer.send("jobs", {})
    wait_for(lambda: worker.running == 1)
    threading.Thread(target=worker.stop).start()
    assert not worker.join(0.01)
    layer.send("jobs", {})
    gevent.get_hub().loop.run_callback(door.set)
    assert worker.join(10)
    assert (worker.taken, layer.channel_statistics("jobs")["messages_pending"]) == (1, 1)


def test_a_worker_that_was_stopped_before_it_began_takes_nothing(worker, layer):
    layer.send("jobs", {})
    worker.stop()
    worker.start()
    assert worker.join(10)
    assert worker.taken == 0


def test_a_worker_that_nobody_stops_is_waited_for(worker):
    worker.start()
    before = time.monotonic()
    assert not worker.join(0.01)
    assert time.monotonic() - before >= 0.01


def test_what_is_unfinished_is_told_with_where_it_is(worker, layer, door):
    worker.start()
    layer.send("jobs", {"path": "/x"})
    wait_for(lambda: worker.running == 1)
    [item] = worker.unfinished()
    assert str(item).startswith("jobs -> tests.wsgi_bridge.server.test_greenlet_worker.")
    assert "for /x, 0." in str(item)
    assert "door.wait()" in worker.stack_of(item)
    door.set()
    wait_for(lambda: not worker.running)
    assert worker.stack_of(item) == ""
