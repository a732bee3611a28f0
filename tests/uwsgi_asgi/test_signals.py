"""@signal, @timer, @rbtimer, @cron, @filemon: what has a function called, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from tests.wsgi_bridge.worker_loop import answers
from uwsgi_asgi.decorators import cron, filemon, rbtimer, send_signal, signal, timer
from uwsgi_asgi.decorators.signals import CHANNEL, MAX_LATE, _plans, _recurring
from wsgi_bridge import Bridge
from wsgi_bridge.testing import Client, FakeClock

PERIODS = 60.0  # seconds after which a releaser schedules again what recurs


class At(FakeClock):
    """A clock that begins at a time."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._start = datetime.fromisoformat(text).timestamp()

    @property
    def shown(self) -> str:
        return f"{datetime.fromtimestamp(self(), timezone.utc):%H:%M}"


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a function that runs the functions, on a clock."""
    clients: list[Client] = []

    def make(begin: str = "2026-05-05T12:00:30+00:00") -> Client:
        client = Client(Bridge(answers("200 OK")), clock=At(begin))
        clients.append(client)
        client.run()
        return client

    yield make
    for each in clients:
        each.close()


# Signals


def test_a_signal_calls_its_function_with_the_number(run, calls):
    @signal(17)
    def on_signal(number):
        calls.append(number)

    client = run()
    send_signal(17)
    send_signal(17)
    assert calls == []
    client.run()
    assert calls == [17, 17]


def test_a_signal_without_a_function_is_an_error(run):
    @signal(17)
    def on_signal(number): ...

    client = run()
    send_signal(18)
    with pytest.raises(LookupError, match="no function is decorated for the signal 18 here"):
        client.run()


def test_the_decorated_function_stays_itself(calls):
    def function(number):
        calls.append(number)

    for decorate in (signal(1), timer(1), rbtimer(1), cron(-1, -1, -1, -1, -1), filemon("/")):
        assert decorate(function) is function


def test_those_that_name_no_number_get_one_each(run, calls):
    @signal(1)
    def given(number): ...

    @timer(10)
    def first(number):
        calls.append(("first", number))

    @timer(10, signum=7)
    def second(number):
        calls.append(("second", number))

    @timer(10)
    def third(number):
        calls.append(("third", number))

    client = run()
    client.clock.advance(10)
    assert sorted(calls) == [("first", 0), ("second", 7), ("third", 2)]
    send_signal(7)
    client.run()
    assert calls[-1] == ("second", 7)


@pytest.mark.parametrize("target", ["workers", "worker1", "mule2", "mules", "farm_x"])
def test_a_target_that_means_nothing_here_is_told(caplog, target):
    @timer(10, target=target)
    def work(number): ...

    assert f"timer(target={target!r}) of" in caplog.text
    assert "runs once, in any process that runs consumers" in caplog.text


@pytest.mark.parametrize("target", ["", "worker", "mule", "spooler"])
def test_a_target_that_means_any_is_not(caplog, target):
    @signal(1, target=target)
    def work(number): ...

    assert caplog.text == ""


# Timers


@pytest.mark.parametrize("decorator", [timer, rbtimer])
def test_a_timer_runs_every_so_many_seconds(run, calls, decorator):
    @decorator(30)
    def work(number):
        calls.append(client.clock())

    client = run()
    begun = client.clock()
    for _ in range(9):
        client.clock.advance(10)
    assert calls == [begun + 30, begun + 60, begun + 90]


def test_a_function_may_have_several(run, calls):
    @timer(30)
    @timer(20)
    def work(number):
        calls.append(number)

    client = run()
    for _ in range(6):
        client.clock.advance(10)
    assert sorted(calls) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("secs", [0, -1, float("inf"), "5"])
def test_a_period_that_is_none_is_refused(secs):
    with pytest.raises((ValueError, TypeError), match="every is"):
        timer(secs)(print)


def test_a_timer_that_is_no_longer_in_the_code_ends(run, calls, caplog):
    caplog.set_level("INFO")

    @timer(10)
    def work(number):
        calls.append(number)

    client = run()
    client.clock.advance(10)
    _plans.clear()
    _recurring.clear()
    client.clock.advance(10)
    assert len(calls) == 1
    assert "work 10 is no longer in the code: cancelled" in caplog.text
    assert client.layer.storage.scheduled().number == 0


# Cron


def test_cron_runs_by_the_clock(run, calls):
    @cron(-15, -1, -1, -1, -1)
    def work(number):
        calls.append((client.clock.shown, number))

    client = run()
    for _ in range(100):
        client.clock.advance(30)
    assert calls == [("12:15", 0), ("12:30", 0), ("12:45", 0)]


def test_cron_that_is_due_at_every_minute_misses_none(run, calls):
    @cron(-1, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run("2026-05-05T12:00:00.500+00:00")
    for _ in range(10 * 60):
        client.clock.advance(1)
    assert calls == [f"12:{minute:02}" for minute in range(1, 11)]


def test_what_was_due_while_nobody_was_there_is_run_once_if_it_is_not_long_ago(run, calls):
    @cron(-1, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run()
    client.clock.advance(MAX_LATE)
    assert calls == ["12:05"]
    client.clock.advance(30)
    assert calls == ["12:05", "12:06"]


def test_what_was_due_longer_ago_is_left_out(run, calls):
    @cron(10, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run()
    client.clock.advance(9 * 60 + 30 + MAX_LATE + 1)
    assert calls == []
    client.clock.advance(3600 - 2)
    assert calls == ["13:14"]  # a second less than five minutes late


def test_a_message_that_comes_twice_runs_it_once(run, calls):
    @cron(1, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run()
    [key] = _plans
    client.clock.advance(30)
    message = {"key": key, "task": "x:y"}
    client.send(CHANNEL, message)
    client.clock.advance(5)
    client.send(CHANNEL, message)
    assert calls == ["12:01"]
    [plan] = client.layer.storage.plans()
    assert plan.due - client.clock() == 3600 - 5


def test_a_machine_whose_clock_is_ahead_makes_it_run_once(run, calls):
    @cron(1, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock())

    client = run()
    begun = client.clock()
    [key] = _plans
    client.clock.advance(22)
    client.send(CHANNEL, {"key": key, "task": "x:y"})  # 8 s early
    assert calls == [begun + 22]
    client.clock.advance(60)
    assert len(calls) == 1


def test_who_starts_leaves_what_is_due_now_to_be_run(run, calls):
    """A releaser schedules what recurs before it releases what is due."""

    @cron(1, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run()
    client.clock.advance(PERIODS + 1)
    assert calls == ["12:01"]


def test_a_function_may_have_several_crons_and_each_its_own_times(run, calls):
    @cron(5, -1, -1, -1, -1)
    @cron(10, -1, -1, -1, -1)
    def work(number):
        calls.append(client.clock.shown)

    client = run()
    for _ in range(12):
        client.clock.advance(60)
    assert calls == ["12:05", "12:10"]


def test_times_that_never_come_are_refused_where_they_are_written():
    with pytest.raises(ValueError, match="there is no such day"):
        cron(0, 0, 31, 2, -1)


# Files


def test_a_file_that_changes_has_its_function_called_once(run, calls, tmp_path):
    path = tmp_path / "watched"
    path.write_text("1")

    @filemon(str(path))
    def on_change(number):
        calls.append(path.read_text() if path.exists() else None)

    client = run()
    client.clock.advance(1)
    client.clock.advance(1)
    assert calls == []
    path.write_text("22")
    client.clock.advance(1)
    client.clock.advance(1)
    assert calls == ["22"]
    path.unlink()
    client.clock.advance(1)
    assert calls == ["22", None]
    path.write_text("3")
    client.clock.advance(1)
    assert calls == ["22", None, "3"]


def test_a_directory_has_changed_when_what_is_in_it_has(run, calls, tmp_path):
    @filemon(tmp_path)
    def on_change(number):
        calls.append(sorted(os.listdir(tmp_path)))

    client = run()
    client.clock.advance(1)
    (tmp_path / "a").write_text("1")
    client.clock.advance(1)
    (tmp_path / "a").rename(tmp_path / "b")
    client.clock.advance(1)
    (tmp_path / "b").write_text("22")
    client.clock.advance(1)
    client.clock.advance(1)
    assert calls == [["a"], ["b"], ["b"]]
