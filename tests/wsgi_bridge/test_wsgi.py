"""A WSGI app's response as messages: PEP 3333, a row per rule."""

from __future__ import annotations

import io
import sys

import pytest

from tests.wsgi_bridge.wsgi_apps import (
    BROKEN,
    TEXT,
    TEXT_BYTES,
    Closing,
    head,
    rest,
    returns,
    sized,
    sized_bytes,
    writes,
)
from tests.wsgi_bridge.wsgi_fakes import RecordingLayer, exchange, make_request


class OneItem:
    def __len__(self):
        return 1

    def __iter__(self):
        return iter([b"whole"])


SHAPES = {
    # What is at hand as a whole is one message
    "a list of one": (returns([b"hello"]), [head(b"hello")]),
    "a list of several": (returns([b"a", b"", b"b"]), [head(b"ab")]),
    "a tuple": (returns((b"a", b"b")), [head(b"ab")]),
    "an empty list": (returns([]), [head(b"")]),
    "a length of one": (returns(OneItem()), [head(b"whole")]),
    "Content-Length reached": (
        returns(iter([b"abc", b"de"]), sized(5)),
        [head(b"abc", True, headers=[sized_bytes(5)]), rest(b"de")],
    ),
    "Content-Length reached by the first block": (
        returns(iter([b"abc"]), sized(3)),
        [head(b"abc", headers=[sized_bytes(3)])],
    ),
    "Content-Length 0": (
        returns(iter([]), sized(0)),
        [head(b"", headers=[sized_bytes(0)])],
    ),
    # Streams
    "an iterator, block by block": (
        returns(iter([b"a", b"b"])),
        [head(b"a", True), rest(b"b", True), rest(b"")],
    ),
    "an empty block is not sent": (
        returns(iter([b"", b"a", b"", b"b"])),
        [head(b"a", True), rest(b"b", True), rest(b"")],
    ),
    "an empty iterator": (returns(iter([])), [head(b"")]),
    "a bytearray and a memoryview": (
        returns(iter([bytearray(b"a"), memoryview(b"b")])),
        [head(b"a", True), rest(b"b", True), rest(b"")],
    ),
    # No content, whatever the app says (RFC 9110 section 6.4.1)
    "204": (
        returns([b"never"], TEXT, status="204 No Content"),
        [head(b"", status=204)],
    ),
    "304 keeps its Content-Length": (
        returns(iter([b"never"]), sized(99), status="304 Not Modified"),
        [head(b"", status=304, headers=[sized_bytes(99)])],
    ),
    # Content-Length that lies
    "too long, in a list": (
        returns([b"abcdef"], sized(4)),
        [head(b"abcd", headers=[sized_bytes(4)])],
    ),
    "too long, in a later block": (
        returns(iter([b"abc", b"def", b"ghi"]), sized(4)),
        [head(b"abc", True, headers=[sized_bytes(4)]), rest(b"d")],
    ),
    "too long by a block": (
        returns(iter([b"abcd", b"e"]), sized(4)),
        [head(b"abcd", headers=[sized_bytes(4)])],
    ),
    "longer than 0": (
        returns(iter([b"abc"]), sized(0)),
        [head(b"", headers=[sized_bytes(0)])],
    ),
    "too short, in a list": (
        returns([b"abc"], sized(4)),
        [head(b"abc", True, headers=[sized_bytes(4)]), BROKEN],
    ),
    "too short, in an iterator": (
        returns(iter([b"a", b"b"]), sized(4)),
        [head(b"a", True, headers=[sized_bytes(4)]), rest(b"b", True), BROKEN],
    ),
    "too short by everything": (
        returns(iter([]), sized(4)),
        [head(b"", True, headers=[sized_bytes(4)]), BROKEN],
    ),
}


@pytest.mark.parametrize(("app", "expected"), SHAPES.values(), ids=SHAPES.keys())
def test_a_response_becomes_messages(app, expected):
    assert exchange(app) == expected


@pytest.mark.parametrize(
    "iterable",
    [[b"hello"], iter([b"he", b"llo"]), [], iter([b"", b"hello"]), (b"he", b"llo")],
    ids=["list", "iterator", "empty", "empty block first", "tuple"],
)
def test_a_response_to_head_has_no_content_but_its_length(iterable):
    app = returns(iterable, TEXT, sized(5))
    expected = head(b"", headers=[TEXT_BYTES, sized_bytes(5)])
    assert exchange(app, make_request("HEAD")) == [expected]


def test_a_head_request_does_not_run_an_endless_iterable():
    blocks = Closing(*[b"x"] * 1000)
    exchange(returns(blocks), make_request("HEAD"))
    assert (blocks.taken, blocks.closes) == (1, 1)


def test_each_block_is_sent_before_the_next_one_is_asked_for():
    layer = RecordingLayer()
    sent_before = []

    def blocks():
        for block in (b"a", b"b", b"c"):
            sent_before.append(len(layer.sent))
            yield block

    exchange(returns(blocks()), layer=layer)
    assert sent_before == [0, 1, 2]


def test_a_generator_that_starts_the_response_late_is_served():
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        yield b"late"

    assert exchange(app) == [head(b"late", True), rest(b"")]


def test_a_generator_runs_to_its_end_after_its_content_length_is_reached():
    ended = []

    def blocks():
        yield b"abc"
        ended.append(True)

    exchange(returns(blocks(), sized(3)))
    assert ended == [True]


def test_a_file_wrapper_is_streamed_and_closed():
    file = io.BytesIO(b"x" * 300_000)

    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](file, 8192)

    layer = RecordingLayer()
    layer.on_send = lambda message: layer.flow.append({"sent": 10**9})
    messages = exchange(app, layer=layer)
    assert b"".join(message["content"] for message in messages) == b"x" * 300_000
    assert messages[-1] == rest(b"")
    assert file.closed


# write()


WRITES = {
    "sends at once": (writes(b"a", b"b"), [head(b"a", True), rest(b"b", True), rest(b"")]),
    "comes before the iterable": (
        writes(b"a", then=[b"b"]),
        [head(b"a", True), rest(b"b")],
    ),
    "an empty write sends nothing": (writes(b"", then=[b"b"]), [head(b"b")]),
    "counts towards Content-Length": (
        writes(b"ab", then=[b"c"], headers=[sized(3)]),
        [head(b"ab", True, headers=[sized_bytes(3)]), rest(b"c")],
    ),
    "that reaches Content-Length ends the response": (
        writes(b"abc", headers=[sized(3)]),
        [head(b"abc", headers=[sized_bytes(3)])],
    ),
    "past Content-Length is cut": (
        writes(b"abcd", b"e", headers=[sized(3)]),
        [head(b"abc", headers=[sized_bytes(3)])],
    ),
}


@pytest.mark.parametrize(("app", "expected"), WRITES.values(), ids=WRITES.keys())
def test_write(app, expected):
    assert exchange(app) == expected


def test_write_at_a_head_request_sends_the_head_only():
    assert exchange(writes(b"a", b"b", then=[b"c"]), make_request("HEAD")) == [head(b"")]


def test_write_sends_before_it_returns():
    layer = RecordingLayer()
    sent_after = []

    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        write(b"a")
        sent_after.append(len(layer.sent))
        return []

    exchange(app, layer=layer)
    assert sent_after == [1]


# exc_info


def test_exc_info_replaces_a_head_that_is_not_out():
    def app(environ, start_response):
        start_response("200 OK", [TEXT])
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oops", [TEXT, ("X-Error", "1")], sys.exc_info())
        return [b"sorry"]

    assert exchange(app) == [head(b"sorry", status=500, headers=[TEXT_BYTES, [b"X-Error", b"1"]])]


def test_exc_info_is_raised_again_when_the_head_is_out(caplog):
    def app(environ, start_response):
        write = start_response("200 OK", [TEXT])
        write(b"partial")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oops", [TEXT], exc_info=sys.exc_info())
        return [b"never"]

    assert exchange(app) == [head(b"partial", True), BROKEN]
    assert "too late" in caplog.text


def test_exc_info_starts_a_response_that_was_not_started():
    def app(environ, start_response):
        try:
            raise ValueError
        except ValueError:
            start_response("503 Later", [TEXT], sys.exc_info())
        return [b"x"]

    assert exchange(app) == [head(b"x", status=503)]
