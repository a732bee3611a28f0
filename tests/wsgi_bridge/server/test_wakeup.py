"""A wakeup runs its function soon in the hub, once for many calls, from any thread."""

from __future__ import annotations

import threading

import gevent
import gevent.event
from gevent import get_hub

from tests.wsgi_bridge.server.rig import settle, wait_for
from wsgi_bridge.server.wakeup import Wakeup


def test_a_call_runs_the_function_in_the_hub_and_not_at_once():
    seen = []
    wakeup = Wakeup(lambda: seen.append(gevent.getcurrent()))
    wakeup()
    assert seen == []
    settle()
    assert seen == [get_hub()]


def test_many_calls_are_one():
    seen = []
    wakeup = Wakeup(lambda: seen.append(1))
    for _ in range(10):
        wakeup()
    settle()
    assert seen == [1]


def test_a_call_while_the_function_runs_is_not_missed():
    seen = []

    def function():
        seen.append(1)
        if len(seen) < 3:
            wakeup()

    wakeup = Wakeup(function)
    wakeup()
    wait_for(lambda: len(seen) == 3)


def test_a_function_that_fails_is_run_again_at_the_next_call():
    seen = []

    def function():
        seen.append(1)
        if len(seen) == 1:
            raise ValueError("once")

    wakeup = Wakeup(function)
    wakeup()
    settle()
    wakeup()
    settle()
    assert seen == [1, 1]


def test_calls_from_another_thread_wake_a_sleeping_hub():
    seen = []
    woken = gevent.event.Event()

    def function():
        seen.append(gevent.getcurrent())
        woken.set()

    wakeup = Wakeup(function)
    thread = threading.Thread(target=lambda: [wakeup() for _ in range(1000)])
    thread.start()
    assert woken.wait(5)
    thread.join()
    settle()
    assert set(seen) == {get_hub()}
