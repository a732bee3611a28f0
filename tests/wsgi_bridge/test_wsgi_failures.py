"""An app that fails, a client that goes away, a layer that is gone: one answer, and close()."""

from __future__ import annotations

import logging

import pytest

from tests.wsgi_bridge.wsgi_apps import (
    BROKEN,
    TEXT,
    Closing,
    head,
    raises,
    returns,
    sized,
    sized_bytes,
)
from tests.wsgi_bridge.wsgi_fakes import REPLY, RecordingLayer, exchange, make_request
from wsgi_bridge import wsgi_reply
from wsgi_bridge.exceptions import ChannelLayerUnavailable, RequestAborted


def starts_then_raises(environ, start_response):
    start_response("200 OK", [TEXT])
    raise ValueError("before the first byte")


def starts_twice(environ, start_response):
    start_response("200 OK", [TEXT])
    start_response("200 OK", [TEXT])
    return [b"x"]


def never_starts(environ, start_response):
    return [b"x"]


def returns_none(environ, start_response):
    start_response("200 OK", [TEXT])


FAILURES = {
    "raises": raises(ValueError("x")),
    "exits": raises(SystemExit(3)),
    "raises StopIteration without a hijack": raises(StopIteration()),
    "raises after start_response": starts_then_raises,
    "starts twice": starts_twice,
    "never starts": never_starts,
    "never starts, and ends": lambda environ, start_response: [],
    "never starts, and streams": lambda environ, start_response: iter([b"x"]),
    "returns None": returns_none,
    "raises at the first block": returns(Closing(ValueError("x"))),
    "raises after an empty block": returns(Closing(b"", ValueError("x"))),
    "returns str": returns(["x"]),
    "returns several str": returns(["x", "y"]),
    "yields str": returns(iter(["x"])),
    "returns bytes itself": returns(b"several"),
    "a status that is none": returns([b"x"], status="OK"),
    "an informational status": returns([b"x"], status="101 Switching"),
    "a status that splits the head": returns([b"x"], status="200 OK\r\nX: y"),
    "a header that splits the head": returns([b"x"], ("X", "a\r\nY: b")),
    "headers that are no pairs": returns([b"x"], ("a", "b", "c")),
    "a Content-Length that is none": returns([b"x"], ("Content-Length", "-1")),
}


@pytest.mark.parametrize("app", FAILURES.values(), ids=FAILURES.keys())
def test_an_app_that_fails_before_the_first_byte_is_a_500_and_logged(app, caplog):
    (message,) = exchange(app, make_request(path="/here"))
    assert (message["status"], message["more_content"]) == (500, False)
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "the app failed at GET '/here'")


@pytest.mark.parametrize("app", [raises(ValueError("x"))])
def test_a_failed_head_request_has_no_content(app):
    (message,) = exchange(app, make_request("HEAD"))
    assert (message["status"], message["content"]) == (500, b"")


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit()], ids=["Exception", "SystemExit"])
def test_an_app_that_fails_after_the_first_byte_is_broken_off_and_logged(error, caplog):
    assert exchange(returns(Closing(b"a", error))) == [head(b"a", True), BROKEN]
    assert "the app failed" in caplog.text


def test_an_app_that_fails_after_its_last_byte_is_only_logged(caplog):
    app = returns(Closing(b"abc", ValueError("x")), sized(3))
    assert exchange(app) == [head(b"abc", headers=[sized_bytes(3)])]
    assert "the app failed" in caplog.text


class GreenletExitLike(BaseException):
    """As gevent's: no Exception."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, GreenletExitLike])
def test_what_ends_the_greenlet_is_raised_again_after_the_answer(error):
    layer = RecordingLayer()
    blocks = Closing(error())
    with pytest.raises(error):
        exchange(returns(blocks), layer=layer)
    assert layer.replies[0]["status"] == 500
    assert blocks.closes == 1


def test_the_log_of_a_length_that_lies_names_the_path(caplog):
    exchange(returns([b"abc"], sized(2)), make_request(path="/long"))
    exchange(returns([b"abc"], sized(5)), make_request(path="/short"))
    long, short = (record.getMessage() for record in caplog.records)
    assert "'/long' is longer" in long
    assert "'/short' ended 2 bytes before" in short


# close()

CLOSES = {
    "at the end": Closing(b"a", b"b"),
    "when the first block fails": Closing(ValueError("x")),
    "when a later block fails": Closing(b"a", ValueError("x")),
    "when the content is too long": Closing(b"abc", b"defghij"),
    "when close itself fails": Closing(b"a", error=ValueError("x")),
    "when close exits": Closing(b"a", error=SystemExit()),
}


@pytest.mark.parametrize("blocks", CLOSES.values(), ids=CLOSES.keys())
def test_close_is_called_once(blocks):
    messages = exchange(returns(blocks, sized(4)))
    assert blocks.closes == 1
    assert messages


def test_close_is_called_after_the_last_message_is_sent():
    layer = RecordingLayer()
    seen = []
    blocks = Closing(b"a")
    blocks.close = lambda: seen.append(len(layer.sent))
    exchange(returns(blocks), layer=layer)
    assert seen == [2]


def test_close_is_called_when_the_response_was_never_started():
    blocks = Closing(b"a")
    exchange(lambda environ, start_response: blocks)
    assert blocks.closes == 1


def test_close_is_called_and_the_response_broken_off_when_the_client_went_away():
    layer = RecordingLayer()
    blocks = Closing(*[b"x" * 100_000] * 50)
    layer.on_send = lambda message: layer.flow.append({"closed": True})
    exchange(returns(blocks), layer=layer)
    assert blocks.closes == 1
    assert blocks.taken <= 4
    assert layer.replies[-1] == BROKEN
    assert layer.replies.count(BROKEN) == 1


def test_a_response_whose_end_finds_the_client_gone_is_broken_off(monkeypatch):
    monkeypatch.setattr(wsgi_reply, "CHECK_INTERVAL", 0.0)
    layer = RecordingLayer()
    layer.on_send = lambda message: layer.flow.append({"closed": True})
    assert exchange(returns(iter([b"only"])), layer=layer) == [head(b"only", True), BROKEN]


def test_a_client_that_went_away_is_no_error_of_the_app(caplog):
    layer = RecordingLayer()
    layer.on_send = lambda message: layer.flow.append({"closed": True})
    exchange(returns(iter([b"x" * 200_000] * 9)), layer=layer)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


# The layer


def test_a_layer_that_is_gone_ends_the_response_without_raising(caplog):
    layer = RecordingLayer()

    def fail(message):
        raise ChannelLayerUnavailable("gone")

    layer.on_send = fail
    blocks = Closing(b"a")
    exchange(returns(blocks), layer=layer)
    assert blocks.closes == 1
    assert "no answer to GET" in caplog.text


def test_an_aborted_upload_is_broken_off_and_no_error(caplog):
    def app(environ, start_response):
        raise RequestAborted("gone")

    assert exchange(app) == [BROKEN]
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_body_nobody_read_is_taken_off_the_layer():
    layer = RecordingLayer()
    layer.waiting["http.request.body?b1"].append({"content": b"x", "more_content": True})
    request = make_request("POST", body=b"start", body_channel="http.request.body?b1")
    assert exchange(returns([b"x"]), request, layer) == [head(b"x")]
    assert not layer.waiting["http.request.body?b1"]


def test_a_layer_that_is_gone_when_the_body_is_discarded_is_no_error():
    layer = RecordingLayer()

    def fail(channels, limit, timeout):
        raise ChannelLayerUnavailable("gone")

    layer.receive_many = fail
    request = make_request("POST", body_channel="http.request.body?b1")
    assert exchange(returns([b"x"]), request, layer) == [head(b"x")]


def test_extra_environ_has_the_last_word():
    seen = {}

    def app(environ, start_response):
        seen.update(environ)
        return returns([b""])(environ, start_response)

    exchange(app, extra_environ={"gunicorn.socket": 1, "REMOTE_ADDR": "198.51.100.1"})
    assert (seen["gunicorn.socket"], seen["REMOTE_ADDR"]) == (1, "198.51.100.1")


def test_the_answer_goes_to_the_reply_channel_of_the_request():
    layer = RecordingLayer()
    exchange(returns([b"x"]), layer=layer)
    assert [channel for channel, _ in layer.sent] == [REPLY]
