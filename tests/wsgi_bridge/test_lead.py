"""Lead: kept over what is short, taken away from who keeps it for long."""

from __future__ import annotations

import threading
import time

import pytest

from wsgi_bridge.lead import Lead

LONG = 20.0


@pytest.fixture
def lead():
    lead = Lead(is_shared=True, name="test")
    lead.open()
    yield lead
    lead.close()
    lead.join(LONG)
    assert not lead._watch.is_alive()


def wait_for(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_kept_for_long_is_taken_away_and_another_has_it(lead):
    lead.acquire()
    lead.keep()
    lead.acquire()  # as another thread does; waits for the watch
    assert not lead.regain()
    lead.release()


def test_what_is_kept_for_a_moment_stays(monkeypatch):
    monkeypatch.setattr("wsgi_bridge.lead.PATIENCE", LONG)
    lead = Lead(is_shared=True, name="test")
    lead.open()
    lead.acquire()
    for _ in range(100):
        lead.keep()
        assert lead.regain()
    lead.close()


def test_each_keeping_is_watched_anew(lead):
    for _ in range(20):
        lead.acquire()
        lead.keep()
        wait_for(lambda: not lead._kept)
        assert not lead.regain()


def test_the_watch_sleeps_when_nobody_keeps_anything(lead):
    lead.acquire()
    lead.keep()
    assert lead._is_watched
    lead.regain()
    wait_for(lambda: not lead._is_watched)
    lead.keep()
    wait_for(lambda: not lead._kept)


def test_a_lead_that_nobody_shares_is_never_taken_away():
    lead = Lead(is_shared=False, name="test")
    lead.open()
    lead.acquire()
    lead.keep()
    assert lead.regain()
    assert not [thread for thread in threading.enumerate() if thread.name == "test-watch"]
    lead.close()
    lead.join(LONG)


def test_one_of_many_has_it_whoever_keeps_it_however_long(lead):
    inside, most, counts = set(), [], [0] * 4

    def work(at):
        has_lead = False
        while counts[at] < 200:
            if not has_lead:
                lead.acquire()
            inside.add(at)
            most.append(len(inside))
            inside.remove(at)
            counts[at] += 1
            lead.keep()
            if counts[at] % 50 == 0:
                time.sleep(0.005)
            has_lead = lead.regain()
        if has_lead:
            lead.release()

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert counts == [200] * 4
    assert max(most) == 1
