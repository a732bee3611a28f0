"""Deadlines of what runs in native threads."""

from __future__ import annotations

import os
import threading
import time

import pytest

from wsgi_bridge.deadlines import Deadlines, stack_of
from wsgi_bridge.layers.concurrency import is_cooperative

PATIENCE = 10.0


def test_a_block_that_takes_too_long_is_told_of_while_it_runs():
    late = threading.Event()
    idents = []
    deadlines = Deadlines()

    def on_late(ident):
        idents.append(ident)
        late.set()

    with deadlines.within(0.01, on_late):
        assert late.wait(PATIENCE)
    assert idents == [threading.get_ident()]


def test_a_block_that_has_ended_is_not():
    told = []
    deadline = Deadlines().within(PATIENCE, told.append)
    with deadline:
        pass
    deadline.expire()  # as the thread does that has just seen it pass
    assert told == []


def test_a_sooner_deadline_that_is_added_later_is_not_missed():
    told, late = [], threading.Event()
    deadlines = Deadlines()
    with (
        deadlines.within(60.0, told.append),
        deadlines.within(0.01, lambda ident: late.set()),
    ):
        assert late.wait(PATIENCE)
    assert told == []


def test_the_end_of_a_block_waits_for_who_is_told():
    begun, done = threading.Event(), []
    deadlines = Deadlines()

    def on_late(ident):
        begun.set()
        time.sleep(0.01)
        done.append(ident)

    with deadlines.within(0.001, on_late):
        assert begun.wait(PATIENCE)
    assert len(done) == 1


def test_a_deadline_that_fails_does_not_end_the_others(caplog):
    late = threading.Event()
    deadlines = Deadlines()
    with (
        deadlines.within(0.001, lambda ident: 1 / 0),
        deadlines.within(0.02, lambda ident: late.set()),
    ):
        assert late.wait(PATIENCE)
    assert "ZeroDivisionError" in caplog.text


def test_a_forked_child_watches_its_own_deadlines():
    deadlines = Deadlines()
    with deadlines.within(PATIENCE, lambda ident: None):
        child = os.fork()
        if not child:
            late = threading.Event()
            with deadlines.within(0.01, lambda ident: late.set()):
                os._exit(0 if late.wait(PATIENCE) else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(is_cooperative(), reason="a greenlet has no stack while another runs")
def test_the_stack_of_a_thread_is_what_it_is_doing():
    assert "test_the_stack_of_a_thread" in stack_of(threading.get_ident())
    assert stack_of(0) == ""
