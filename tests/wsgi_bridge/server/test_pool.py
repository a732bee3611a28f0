"""Pooled greenlets: reused, bounded, and surviving whatever a job does."""

from __future__ import annotations

import weakref
from contextvars import ContextVar

import gevent
import greenlet
import pytest
from gevent.event import Event

from tests.wsgi_bridge.server.rig import wait_for
from wsgi_bridge.exceptions import ConsumerTimeout
from wsgi_bridge.server.pool import GreenletPool

variable = ContextVar("variable", default="unset")


class Thing:
    """What a job holds."""


class Pool(GreenletPool):
    """Starts jobs from the hub, as its contract says, and waits for the hub to have done it."""

    __slots__ = ("freed",)

    def __init__(self, size):
        self.freed = 0
        super().__init__(size, self._count)

    def _count(self):
        self.freed += 1

    def run_in_hub(self, job, first=None, second=None):
        gevent.get_hub().loop.run_callback(self.start, job, first, second)
        gevent.sleep(0)
        gevent.sleep(0)


def test_a_job_gets_its_two_arguments():
    pool, seen = Pool(1), []
    pool.run_in_hub(lambda *arguments: seen.append(arguments), "first", 2)
    assert seen == [("first", 2)]


def test_a_greenlet_that_has_finished_is_used_again():
    pool, seen = Pool(5), []
    for _ in range(3):
        pool.run_in_hub(lambda *_: seen.append(greenlet.getcurrent()))
    assert len(set(seen)) == 1
    assert (pool.free, pool.running) == (5, 0)


def test_jobs_that_wait_run_beside_each_other():
    pool, door, done = Pool(2), Event(), []

    def wait(number, _):
        door.wait()
        done.append(number)

    pool.run_in_hub(wait, 1)
    pool.run_in_hub(wait, 2)
    assert (pool.free, pool.running) == (0, 2)
    door.set()
    wait_for(lambda: sorted(done) == [1, 2])
    assert (pool.free, pool.running) == (2, 0)


@pytest.mark.parametrize("ending", [lambda: None, greenlet.GreenletExit, ValueError])
def test_a_full_pool_says_when_there_is_room_again(ending):
    pool, door = Pool(1), Event()

    def wait(*_):
        door.wait()
        exc = ending()
        if exc is not None:
            raise exc

    pool.run_in_hub(wait)
    assert (pool.free, pool.freed) == (0, 0)
    door.set()
    wait_for(lambda: pool.freed == 1)
    assert pool.free == 1


def test_a_pool_with_room_says_nothing():
    pool = Pool(2)
    pool.run_in_hub(lambda *_: None)
    assert pool.freed == 0


@pytest.mark.parametrize(
    "exc", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), gevent.Timeout(1)]
)
def test_whatever_a_job_raises_is_logged_and_the_pool_goes_on(exc, caplog):
    pool, seen = Pool(1), []

    def fail(*_):
        raise exc

    pool.run_in_hub(fail)
    assert "a job of the pool failed" in caplog.text
    pool.run_in_hub(lambda *_: seen.append(1))
    assert seen == [1]


def test_a_job_that_ends_its_greenlet_leaves_room_for_another(caplog):
    pool, seen = Pool(1), []

    def leave(*_):
        raise greenlet.GreenletExit

    pool.run_in_hub(leave)
    pool.run_in_hub(lambda *_: seen.append(1))
    assert (seen, caplog.records) == ([1], [])


def test_each_job_has_a_context_of_its_own():
    pool, seen = Pool(1), []

    def job(*_):
        seen.append(variable.get())
        variable.set("set by an earlier job")

    pool.run_in_hub(job)
    pool.run_in_hub(job)
    assert seen == ["unset", "unset"]


def test_a_parked_greenlet_keeps_nothing_of_its_job_alive():
    pool, thing = Pool(1), Thing()
    reference = weakref.ref(thing)
    pool.run_in_hub(lambda given, _: variable.set(given), thing)
    del thing
    wait_for(lambda: reference() is None)


def test_the_greenlets_that_run_can_be_ended():
    pool, ended = Pool(3), []

    def wait(number, _):
        try:
            Event().wait()
        finally:
            ended.append(number)

    pool.run_in_hub(lambda *_: None)
    pool.run_in_hub(wait, 1)
    pool.run_in_hub(wait, 2)
    left = pool.unfinished()
    assert len(left) == 2
    for worker in left:
        gevent.kill(worker)
    wait_for(lambda: sorted(ended) == [1, 2])
    assert (pool.running, pool.free) == (0, 3)


def test_a_time_limit_interrupts_who_waits_and_nothing_catches_it_by_accident():
    pool = Pool(1)
    seen = []

    def job(first, second):
        try:
            with pool.time_limit(0.01):
                try:
                    gevent.sleep(60)
                except Exception:  # noqa: BLE001 - consumers do
                    seen.append("swallowed")
        except ConsumerTimeout as exc:
            seen.append(str(exc))

    pool.run_in_hub(job)
    wait_for(lambda: seen)
    assert seen == ["not done in 0.01 s"]


def test_a_time_limit_lets_go_of_who_is_in_time():
    pool = Pool(1)
    seen = []

    def job(first, second):
        with pool.time_limit(0.005):
            pass
        gevent.sleep(0.01)
        seen.append("went on")

    pool.run_in_hub(job)
    wait_for(lambda: seen)
    assert seen == ["went on"]
