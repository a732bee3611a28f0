"""@mulefunc, @mulemsg, @farm, @mule, @muleloop: functions beside the site."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wsgi_bridge.worker_loop import answers
from uwsgi_asgi.decorators import farm, farm_msg, mule, mule_msg, mulefunc, muleloop, mulemsg
from uwsgi_asgi.decorators.leases import Lease
from uwsgi_asgi.decorators.mules import LEASE, LOOK_EVERY, _brains, _recurring
from wsgi_bridge import Bridge
from wsgi_bridge.testing import Client

PATIENCE = 20.0


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def run() -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def make() -> Client:
        clients.append(Client(Bridge(answers("200 OK"))))
        clients[0].run()
        return clients[0]

    yield make
    for each in clients:
        each.close()


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("decorator", [mulefunc, mulefunc(1), mulefunc("farm")])
def test_a_call_is_done_elsewhere(run, calls, decorator):
    @decorator
    def work(*args, **kwargs):
        calls.append((args, kwargs))

    client = run()
    assert work(1, {2}, three=None) is None
    assert calls == []
    client.run()
    assert calls == [((1, {2}), {"three": None})]
    assert work.__name__ == "work"


def test_messages_go_to_the_function_of_their_mule_or_farm(run, calls):
    @mulemsg(1)
    def first(message):
        calls.append(("first", message))

    @mulemsg(2)
    def second(message):
        calls.append(("second", message))

    @farm("geese")
    def of_farm(message):
        calls.append(("farm", message))

    client = run()
    mule_msg(b"\xff", 2)
    mule_msg("text", 1)
    mule_msg(b"any")
    mule_msg(b"to the farm", "geese")
    farm_msg("geese", b"too")
    client.run()
    assert calls == [
        ("second", b"\xff"),
        ("first", b"text"),
        ("first", b"any"),
        ("farm", b"to the farm"),
        ("farm", b"too"),
    ]


def test_a_message_that_nobody_receives_is_an_error(run):
    @mulemsg(1)
    def first(message): ...

    client = run()
    mule_msg(b"x", 3)
    with pytest.raises(LookupError, match="no function receives the messages to mule 3 here"):
        client.run()


# What runs all the time


def test_a_mule_runs_its_function_once(run, calls):
    @mule(1)
    def work():
        calls.append(threading.current_thread())

    client = run()
    for _ in range(20):
        client.clock.advance(LOOK_EVERY)
    wait_for(lambda: calls and not calls[0].is_alive())
    client.clock.advance(LOOK_EVERY)
    assert len(calls) == 1
    assert calls[0] is not threading.current_thread()


def test_one_that_raises_runs_again(run, calls, caplog):
    @mule(1)
    def work():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("not today")

    client = run()

    def look() -> bool:
        client.clock.advance(LOOK_EVERY)
        return len(calls) == 3

    wait_for(look)
    assert caplog.text.count("OSError: not today") == 2


def test_a_loop_runs_over_and_over_and_only_once_at_a_time(run, calls):
    end = threading.Event()

    @muleloop(1)
    def work():
        calls.append(threading.get_ident())
        if end.is_set():
            raise OSError
        time.sleep(0.001)

    client = run()
    client.clock.advance(LOOK_EVERY)
    client.clock.advance(LOOK_EVERY)
    wait_for(lambda: len(calls) > 20)
    end.set()
    wait_for(lambda: not any("mule 1" in each.name for each in threading.enumerate()))
    assert len(set(calls)) == 1


def test_what_another_process_has_is_left_to_it_until_that_is_dead(run, calls):
    @mule(1)
    def work():
        calls.append(1)

    client = run()
    [brain] = _brains._tasks.values()
    dead = Lease(client.layer, brain._key, LEASE)
    value = {"by": "another process"}
    assert client.layer.storage.save(dead.key, value, ttl=LEASE, expected_version=0)
    for _ in range(4):
        client.clock.advance(LOOK_EVERY)
    assert calls == []
    client.clock.advance(LEASE)
    wait_for(lambda: calls)


def test_one_that_is_no_longer_in_the_code_is_not_looked_after(run, caplog):
    caplog.set_level("INFO")

    @mule(1)
    def work(): ...

    client = run()
    _brains._tasks.clear()
    _recurring.clear()
    client.clock.advance(LOOK_EVERY)
    assert "work is no longer in the code: cancelled" in caplog.text
    assert client.layer.storage.scheduled().number == 0
