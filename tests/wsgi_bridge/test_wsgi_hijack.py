"""Responses that go elsewhere: collected, or left to an app that took the connection."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.wsgi_apps import (
    HIJACKS,
    TEXT,
    TEXT_BYTES,
    Closing,
    head,
    raises,
    returns,
    sized,
)
from tests.wsgi_bridge.wsgi_fakes import exchange
from wsgi_bridge import wsgi
from wsgi_bridge.wsgi import collect_response


@pytest.mark.parametrize("app", HIJACKS.values(), ids=HIJACKS.keys())
def test_nothing_is_sent_or_logged_when_the_app_took_the_connection(app, caplog):
    assert exchange(app, hijacked=lambda: True) == []
    assert caplog.records == []


def test_an_app_that_did_not_take_the_connection_is_answered():
    assert exchange(returns([b"x"]), hijacked=lambda: False) == [head(b"x")]


def test_an_iterable_is_closed_after_a_hijack():
    blocks = Closing(b"x")
    exchange(returns(blocks), hijacked=lambda: True)
    assert blocks.closes == 1


# collect_response

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}


def test_a_response_is_collected():
    app = returns(iter([b"a", b"b"]), status="404 Not Found")
    assert collect_response(app, dict(ENVIRON)) == (404, [TEXT_BYTES], b"ab")


def test_a_collected_failure_is_a_500(caplog):
    status, _, content = collect_response(raises(ValueError("x")), dict(ENVIRON))
    assert (status, content[:3]) == (500, b"500")
    assert "the app failed" in caplog.text


def test_collected_content_past_the_limit_is_left_out_and_the_iterable_closed(monkeypatch):
    monkeypatch.setattr(wsgi, "COLLECT_LIMIT", 3)
    blocks = Closing(b"ab", b"cd", b"ef", b"gh")
    result = collect_response(returns(blocks, TEXT, sized(8)), dict(ENVIRON))
    assert result == (200, [TEXT_BYTES], b"")
    assert (blocks.taken, blocks.closes) == (2, 1)


def test_a_whole_response_past_the_limit_is_left_out_too(monkeypatch):
    monkeypatch.setattr(wsgi, "COLLECT_LIMIT", 3)
    assert collect_response(returns([b"abcd"], sized(4)), dict(ENVIRON)) == (200, [], b"")


def test_collected_content_that_is_too_short_has_no_content_length():
    result = collect_response(returns([b"ab"], TEXT, sized(4)), dict(ENVIRON))
    assert result == (200, [TEXT_BYTES], b"ab")


@pytest.mark.parametrize("app", HIJACKS.values(), ids=HIJACKS.keys())
def test_the_collected_status_is_0_when_the_app_took_the_connection(app, caplog):
    assert collect_response(app, dict(ENVIRON), hijacked=lambda: True) == (0, [], b"")
    assert caplog.records == []
