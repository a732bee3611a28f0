"""An event: a line for people, attributes for programs, and a storm that is a few lines."""

from __future__ import annotations

import gc
import logging
import os
import weakref

import pytest

from wsgi_bridge.events import Event, tell_suppressed
from wsgi_bridge.events.bursts import MAX_BURSTS, WINDOW, Bursts, bursts
from wsgi_bridge.events.event import EACH, LINES

LOG = logging.getLogger("wsgi_bridge.of_a_test")

FULL = Event("test.full", logging.WARNING, "It is full.", "Empty it.", ("path", "size"))
ONCE = Event("test.once", logging.ERROR, "It is bad.", "Mend it.", ("path",), lines=1)
BY_PATH = Event("test.by", logging.WARNING, "x.", "y.", ("path",), lines=1, by=("path",))
ALL = Event("test.all", logging.WARNING, "x.", "y.", ("n",), lines=EACH)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bursts, "clock", clock)
    return clock


def fill(**fields):
    FULL.log(LOG, "%(path)s is full: %(size)d, by %(cause)s", cause="limit", **fields)


def fail(cause, path="/a"):
    ONCE.log(LOG, "%(path)s failed: %(cause)r", cause=cause, path=path)


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_line_has_the_fields_and_the_record_has_them_too(caplog):
    fill(path="/a", size=7)
    (record,) = caplog.records
    assert record.getMessage() == "/a is full: 7, by limit"
    assert (record.event, record.cause, record.path, record.size) == ("test.full", "limit", "/a", 7)
    assert record.levelno == logging.WARNING
    assert not hasattr(record, "suppressed")


def test_a_record_names_the_line_that_called(caplog):
    fill(path="/a", size=7)
    (record,) = caplog.records
    assert (record.filename, record.funcName) == (os.path.basename(__file__), "fill")


def test_an_exception_is_a_cause_by_its_class_and_text(caplog):
    fail(ValueError("no\nway"))
    (record,) = caplog.records
    assert record.getMessage() == "/a failed: ValueError('no\\nway')"
    assert record.cause == "ValueError: no\nway"
    assert record.exc_info is None


def test_the_traceback_is_there_when_asked_for(caplog):
    try:
        raise ValueError("here")
    except ValueError as exc:
        ONCE.log(LOG, "failed", cause=exc, exc_info=True)
    assert "raise ValueError" in caplog.text


def test_a_field_that_is_an_object_is_its_text_on_the_record(caplog):
    ONCE.log(LOG, "%(path)s", cause="x", path=LOG)
    assert caplog.records[0].path == str(LOG)


def test_a_burst_has_its_lines_and_then_one_with_the_number(caplog, clock):
    for size in range(LINES + 100):
        fill(path="/a", size=size)
    assert len(caplog.records) == LINES
    clock.now += WINDOW - 0.1
    tell_suppressed()
    assert len(caplog.records) == LINES
    clock.now += 0.1
    tell_suppressed()
    tell_suppressed()
    assert len(caplog.records) == LINES + 1
    last = caplog.records[-1]
    assert last.getMessage() == "/a is full: 104, by limit (and 99 more like it in 10 s)"
    assert (last.event, last.size, last.suppressed) == ("test.full", 104, 99)
    fill(path="/a", size=0)
    assert len(caplog.records) == LINES + 2, "the next burst has its lines too"


def test_a_burst_that_nobody_ends_is_told_with_the_next(caplog, clock):
    for path in ("/a", "/b", "/c"):
        fail(ValueError(), path)
    clock.now += 3600
    fail(ValueError(), "/d")
    assert messages(caplog) == [
        "/a failed: ValueError()",
        "/c failed: ValueError() (and 1 more like it in 3600 s)",
        "/d failed: ValueError()",
    ]


def test_one_that_was_left_out_is_told_as_it_is(caplog, clock):
    fail(ValueError(), "/a")
    fail(ValueError(), "/b")
    tell_suppressed(at_once=True)
    assert messages(caplog)[-1] == "/b failed: ValueError()"
    assert not hasattr(caplog.records[-1], "suppressed")


def test_what_is_left_out_is_there_at_level_debug(caplog, clock):
    caplog.set_level(logging.DEBUG)
    for path in ("/a", "/b"):
        fail(ValueError(), path)
    assert [record.levelname for record in caplog.records] == ["ERROR", "DEBUG"]
    assert [record.event for record in caplog.records] == ["test.once", "test.once"]


def test_another_kind_of_cause_is_another_burst(caplog, clock):
    for cause in (ValueError(1), ValueError(2), KeyError(1), "word", "word", "other"):
        fail(cause)
    assert len(caplog.records) == 4


def test_what_an_event_says_tells_bursts_apart(caplog, clock):
    for path in ("/a", "/b", "/a", "/b"):
        BY_PATH.log(LOG, "%(path)s", cause="x", path=path)
    assert messages(caplog) == ["/a", "/b"]


def test_some_are_told_each_time(caplog, clock):
    for number in range(100):
        ALL.log(LOG, "%(n)d", cause="x", n=number)
    assert len(caplog.records) == 100


def test_what_is_left_out_holds_nothing(clock):
    class Cause(Exception):
        pass

    fail(Cause())
    cause = Cause()
    fail(cause)
    watched = weakref.ref(cause)
    del cause
    gc.collect()
    assert watched() is None


def test_bursts_are_bounded(caplog, clock):
    for number in range(3 * MAX_BURSTS):
        BY_PATH.log(LOG, "x", cause="x", path=str(number))
    assert len(bursts) == MAX_BURSTS


def test_a_child_tells_nothing_of_its_parents_burst(monkeypatch):
    of_parent = Bursts(Clock())
    assert of_parent.is_admitted("key", 1)
    assert not of_parent.is_admitted("key", 1)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert of_parent.is_admitted("key", 1)


def test_any_log_of_gunicorns_kind_will_do():
    written = []

    class Log:
        def log(self, level, text, *arguments, **options):
            written.append((level, text % arguments[0], options["extra"]["event"]))

    FULL.log(Log(), "%(path)s", cause="x", path="/a", size=1)
    assert written == [(logging.WARNING, "/a", "test.full")]
