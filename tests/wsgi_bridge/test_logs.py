"""A record as one line of JSON."""

from __future__ import annotations

import json
import logging
import logging.config
import pickle
import threading
from datetime import datetime

import pytest

from wsgi_bridge.events import Event
from wsgi_bridge.logs import JsonFormatter

EVENT = Event("test.bad", logging.WARNING, "It is bad.", "Mend it.", ("path", "size", "time"))


class Lines(logging.Handler):
    """Keeps what was formatted."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def last(self) -> dict:
        line = self.lines[-1]
        assert "\n" not in line
        assert line.isascii()
        return json.loads(line)


@pytest.fixture
def lines():
    handler = Lines()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


log = logging.getLogger("wsgi_bridge.of_json")


def test_an_event_has_its_fields(lines):
    EVENT.log(log, "%(path)s: %(size)d", cause=KeyError("é"), path="/\x1b\n\u2028", size=3)
    line = lines.last()
    moment = line.pop("time")
    assert moment.endswith("Z")
    assert datetime.fromisoformat(moment.replace("Z", "+00:00")).tzinfo is not None
    assert line.pop("pid") > 0
    assert line == {
        "level": "WARNING",
        "logger": "wsgi_bridge.of_json",
        "thread": threading.current_thread().name,
        "message": "/\x1b\n\u2028: 3",
        "event": "test.bad",
        "cause": "KeyError: 'é'",
        "path": "/\x1b\n\u2028",
        "size": 3,
    }


def test_a_traceback_is_a_text(lines):
    try:
        raise ValueError("here")
    except ValueError as exc:
        EVENT.log(log, "failed", cause=exc, exc_info=True)
    assert lines.last()["exception"].endswith("ValueError: here")


def test_any_other_record_is_a_line_too(lines):
    log.warning("%s and %d", "a", 1, extra={"user": object})
    line = lines.last()
    assert (line["message"], line["user"]) == ("a and 1", "<class 'object'>")
    assert "event" not in line


def test_a_field_takes_no_key_of_the_line(lines):
    log.warning("x", extra={"time": "never", "level": "none"})
    assert lines.last()["level"] == "WARNING"
    assert lines.last()["time"] != "never"


def test_a_record_may_come_from_another_process():
    record = logging.makeLogRecord(
        {"msg": "x", "exc_text": "Traceback ...", "stack_info": "Stack ..."}
    )
    line = json.loads(JsonFormatter().format(pickle.loads(pickle.dumps(record))))
    assert (line["exception"], line["stack"]) == ("Traceback ...", "Stack ...")


def test_it_can_be_named_in_a_configuration():
    config = logging.config.DictConfigurator(
        {"version": 1, "formatters": {"json": {"()": "wsgi_bridge.logs.JsonFormatter"}}}
    )
    made = config.configure_formatter(config.config["formatters"]["json"])
    assert isinstance(made, JsonFormatter)
