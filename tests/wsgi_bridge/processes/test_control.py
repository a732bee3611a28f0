"""What the watching thread of a worker process does when it looks."""

from __future__ import annotations

import pytest

from wsgi_bridge.processes import control as module
from wsgi_bridge.processes.control import ABANDONED, Control
from wsgi_bridge.processes.link import Event, Link
from wsgi_bridge.processes.options import Options
from wsgi_bridge.threads import Unfinished


class Ended(Exception):
    """In place of the end of the process."""


class Runner:
    def __init__(self):
        self.taken = 0
        self.is_stopped = False
        self.items = []

    def start(self):
        """Begin."""

    def stop(self):
        self.is_stopped = True

    def join(self, timeout=None):
        return not self.items

    def unfinished(self):
        return self.items

    def stack_of(self, item):
        return f"the stack of {item.ident}"


class Rig:
    def __init__(self, **options):
        self.now = 100.0
        self.parent, link = Link.pair()
        self.runner = Runner()
        self.control = Control(link, Options("site", **options), clock=lambda: self.now)

    def busy(self, *ages):
        self.runner.items = [
            Unfinished("jobs", f"jobs -> {at}", "/x", self.now - age, age, at)
            for at, age in enumerate(ages)
        ]


@pytest.fixture
def make(monkeypatch):
    def leave(status):
        raise Ended(status)

    monkeypatch.setattr(module, "_exit", leave)

    def make_rig(**options):
        rig = Rig(**options)
        rig.control.attend(rig.runner)
        return rig

    return make_rig


def test_to_stop_is_to_take_no_more(make):
    rig = make()
    rig.control.stop()
    rig.control.stop()
    assert rig.runner.is_stopped
    assert rig.control.is_stopping


def test_a_process_that_still_loads_its_site_ends_at_once(make):
    rig = make()
    rig.control._runner = None
    with pytest.raises(Ended, match="0"):
        rig.control.stop()


def test_what_is_unfinished_in_time_is_named_and_abandoned(make, caplog):
    rig = make(graceful_timeout=5.0)
    rig.busy(7.0, 1.0)
    rig.control.stop()
    rig.control.look()
    rig.now += 5.0
    with pytest.raises(Ended, match=str(ABANDONED)):
        rig.control.look()
    assert "abandoned: jobs -> 0 for /x, 7.0 s" in caplog.text
    assert "abandoned: jobs -> 1 for /x, 1.0 s" in caplog.text


def test_where_a_slow_consumer_is_gets_logged_once(make, caplog):
    rig = make(slow_after=30.0)
    rig.busy(31.0, 29.0)
    for _ in range(3):
        rig.control.look()
    assert caplog.text.count("the stack of 0") == 1
    assert "jobs -> 0 for /x, 31.0 s, and not finished" in caplog.text
    assert "the stack of 1" not in caplog.text
    rig.busy(40.0)  # the next message of the same thread
    rig.control.look()
    assert caplog.text.count("the stack of 0") == 2


def test_the_parent_is_told_once_that_there_were_enough_messages(make):
    rig = make(max_messages=100)
    rig.runner.taken = 99
    rig.control.look()
    assert rig.parent.hear() == []
    rig.runner.taken = 110
    rig.control.look()
    rig.control.look()
    assert rig.parent.hear() == [(Event.EXHAUSTED, "110 messages")]
    assert not rig.runner.is_stopped


def test_processes_that_began_together_do_not_end_together(make):
    limits = {make(max_messages=1000).control._most for _ in range(20)}
    assert len(limits) > 1
    assert min(limits) >= 1000
    assert max(limits) <= 1100


def test_the_parent_is_told_of_too_much_memory(make, monkeypatch):
    rig = make(max_memory=500 * 1024**2)
    monkeypatch.setattr(module, "memory", lambda: 500 * 1024**2)
    rig.control.look()
    assert rig.parent.hear() == []
    monkeypatch.setattr(module, "memory", lambda: 501 * 1024**2)
    rig.control.look()
    assert rig.parent.hear() == [(Event.EXHAUSTED, "501 MB of memory")]


def test_memory_is_what_the_process_has():
    assert 10 * 1024**2 < module.memory() < 10 * 1024**3


def test_the_parent_is_told_of_changed_files(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rig = make(reload=True)
    monkeypatch.setattr(rig.control.files, "changed", lambda: [str(tmp_path / "a.py")])
    rig.control.look()
    assert rig.parent.hear() == [(Event.CHANGED, "a.py")]
