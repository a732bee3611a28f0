"""The access log: gunicorn's own Logger, given what stands in for its response and environ."""

from __future__ import annotations

import logging
import re
import types

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from gunicorn_asgi.access_log import open_access_log
from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.reader import RequestReader

CLIENT = ["192.0.2.7", 40000]
ATOMS = "%(h)s %(l)s %(u)s %(r)s %(s)s %(m)s %(U)s %(q)s %(H)s %(b)s %(B)s %(f)s %(a)s"


@pytest.fixture
def lines():
    """Collect what gunicorn writes to its access log."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    logger = logging.getLogger("gunicorn.access")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def make_log(**settings):
    cfg = Config()
    for name, value in {"accesslog": "-", **settings}.items():
        cfg.set(name, value)
    return open_access_log(Logger(cfg), cfg)


def read_request(data):
    found = []
    receiver = types.SimpleNamespace(take_request=found.append)
    RequestReader(receiver, RequestPolicy()).feed(data)
    return found[0]


REQUEST = (
    b"GET /a%20b?q=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: tests/1\r\nX-Two: 1\r\n"
    b"Referer: http://a.example/\r\nAuthorization: Basic QWRhOnNlY3JldA==\r\n\r\n"
)


def test_the_default_line_is_gunicorns(lines):
    make_log()((read_request(REQUEST), CLIENT), 200, [], 5, 0.25)
    assert re.fullmatch(
        r'192\.0\.2\.7 - Ada \[.*\] "GET /a%20b\?q=1 HTTP/1\.1" 200 5 '
        r'"http://a\.example/" "tests/1"',
        lines[0],
    )


def test_every_atom_has_its_value(lines):
    make_log(access_log_format=ATOMS)((read_request(REQUEST), CLIENT), 404, [], 5, 0.25)
    assert lines == [
        "192.0.2.7 - Ada GET /a%20b?q=1 HTTP/1.1 404 GET /a%20b q=1 HTTP/1.1 5 5 "
        "http://a.example/ tests/1"
    ]


def test_fields_of_request_response_and_environ_can_be_asked_for(lines):
    log = make_log(access_log_format="%({x-two}i)s %({x-out}o)s %({raw_uri}e)s %({none}i)s")
    log((read_request(REQUEST), CLIENT), 200, [[b"X-Out", b"\xe9"]], 5, 0.25)
    assert lines == ["1 \xe9 /a%20b?q=1 -"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.25, "0 250000 250 0.250000"), (90_000.5, "90000 90000500000 90000500 90000.500000")],
)
def test_a_duration_is_right_beyond_a_day(lines, seconds, expected):
    log = make_log(access_log_format="%(T)s %(D)s %(M)s %(L)s")
    log((read_request(REQUEST), CLIENT), 101, [], 5, seconds)
    assert lines == [expected]


@pytest.mark.parametrize("status", [0, 299, 999])
def test_a_status_without_a_phrase_is_logged(lines, status):
    log = make_log(access_log_format="%(s)s")
    log((read_request(REQUEST), None), status, [], 0, 0.0)
    assert lines == [str(status)]


def test_nothing_is_made_up_when_nobody_reads_it():
    assert make_log(accesslog=None) is None
    assert make_log(accesslog=None, statsd_host="localhost:8125") is not None
