"""HttpExchange and BodyFlow: sections 2 and 5 of the message formats as tables, a row per rule."""

from __future__ import annotations

import pytest

from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.protocols.http import (
    CONTINUE,
    KINDS_LIMIT,
    BodyFlow,
    HttpExchange,
    ResponseError,
    State,
    error_response,
)

PREAMBLE = b"Server: s\r\nDate: d\r\n"


def make(**options):
    return HttpExchange(**{"is_head": False, "is_http10": False, "keep_alive": True, **options})


def answer(status=200, content=b"", *fields, **keys):
    headers = [list(field) for field in fields]
    return {"status": status, "headers": headers, "content": content, **keys}


def more(content, more_content=True, **keys):
    return {"content": content, "more_content": more_content, **keys}


def encode(exchange, *messages):
    """Return head lines, sorted but for the first, and the content's bytes, framing and all."""
    data = b"".join(exchange.encode(message, PREAMBLE) for message in messages)
    head, _, content = data.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return [first, *sorted(rest)], content


OURS = ["Date: d", "Server: s"]
LENGTH_2 = (b"Content-Length", b"2")

# what the request was, the messages, fields beside ours, bytes after the head, state, kept alive
RESPONSES = {
    "one message has its length": (
        {}, [answer(200, b"hi")], ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "an empty one too": (
        {}, [answer(404)], ["Content-Length: 0"], b"", State.DONE, True,
    ),
    "content of several messages is chunked": (
        {}, [answer(200, b"a", more_content=True), more(b"bc"), more(b"", False)],
        ["Transfer-Encoding: chunked"], b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", State.DONE, True,
    ),
    "the last message may have content": (
        {}, [answer(200, b"", more_content=True), more(b"x" * 16, False)],
        ["Transfer-Encoding: chunked"], b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n", State.DONE, True,
    ),
    "an empty message in between ends nothing": (
        {}, [answer(200, b"a", more_content=True), more(b""), more(b"b", False)],
        ["Transfer-Encoding: chunked"], b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", State.DONE, True,
    ),
    "a length that the consumer gives is used": (
        {}, [answer(200, b"h", LENGTH_2, more_content=True), more(b"i", False)],
        ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "content past the length is cut": (
        {}, [answer(200, b"hi there", LENGTH_2)], ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "content past the length is cut in later messages too": (
        {}, [answer(200, b"h", LENGTH_2, more_content=True), more(b"i there"), more(b"!", False)],
        ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "content short of the length breaks the response off": (
        {}, [answer(200, b"h", LENGTH_2)], ["Content-Length: 2"], b"h", State.BROKEN, False,
    ),
    "the length may be given twice, if it is one": (
        {}, [answer(200, b"hi", LENGTH_2, LENGTH_2)],
        ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "HTTP/1.0 has no chunks: the connection's end is the content's": (
        {"is_http10": True}, [answer(200, b"a", more_content=True), more(b"b", False)],
        ["Connection: close"], b"ab", State.DONE, False,
    ),
    "HTTP/1.0 is told that its connection is kept": (
        {"is_http10": True}, [answer(200, b"a")],
        ["Connection: keep-alive", "Content-Length: 1"], b"a", State.DONE, True,
    ),
    "HTTP/1.0 is kept with a length": (
        {"is_http10": True}, [answer(200, b"h", LENGTH_2, more_content=True), more(b"i", False)],
        ["Connection: keep-alive", "Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "HTTP/1.1 is told that its connection is not kept": (
        {"keep_alive": False}, [answer(200, b"a")],
        ["Connection: close", "Content-Length: 1"], b"a", State.DONE, False,
    ),
    "the consumer may ask for the connection's end": (
        {}, [answer(200, b"a", (b"connection", b"Close"))],
        ["Connection: close", "Content-Length: 1"], b"a", State.DONE, False,
    ),
    "the other hop-by-hop fields are the server's": (
        {}, [answer(200, b"a", (b"Transfer-Encoding", b"gzip"), (b"Keep-Alive", b"timeout=5"),
                    (b"Connection", b"upgrade"), (b"Upgrade", b"h2c"), (b"TE", b"trailers"))],
        ["Content-Length: 1"], b"a", State.DONE, True,
    ),
    "a response to HEAD has no content, and the length that it is given": (
        {"is_head": True}, [answer(200, b"hi", LENGTH_2)],
        ["Content-Length: 2"], b"", State.DONE, True,
    ),
    "a length is not made up for HEAD": (
        {"is_head": True}, [answer(200)], [], b"", State.DONE, True,
    ),
    "a streamed response to HEAD has no content either": (
        {"is_head": True}, [answer(200, b"a", more_content=True), more(b"b", False)],
        [], b"", State.DONE, True,
    ),
    "a 204 has neither content nor length": (
        {}, [answer(204, b"hi", LENGTH_2)], [], b"", State.DONE, True,
    ),
    "a 304 has no content, and the length that it is given": (
        {}, [answer(304, b"hi", LENGTH_2)], ["Content-Length: 2"], b"", State.DONE, True,
    ),
    "a length is not made up for a 304": (
        {}, [answer(304)], [], b"", State.DONE, True,
    ),
    "a 304 of several messages has no content": (
        {}, [answer(304, b"a", more_content=True), more(b"b", False)], [], b"", State.DONE, True,
    ),
    "a response without a head's worth of keys is complete": (
        {}, [{"status": 200}], ["Content-Length: 0"], b"", State.DONE, True,
    ),
    "a second head breaks a response off": (
        {}, [answer(200, b"a", more_content=True), answer(500, b"failed")],
        ["Transfer-Encoding: chunked"], b"1\r\na\r\n", State.BROKEN, False,
    ),
    "a consumer that says so breaks its response off": (
        {}, [answer(200, b"a", more_content=True), {"closed": True}],
        ["Transfer-Encoding: chunked"], b"1\r\na\r\n", State.BROKEN, False,
    ),
    "what comes after the end is dropped": (
        {}, [answer(200, b"hi"), more(b"more"), answer(200, b"again")],
        ["Content-Length: 2"], b"hi", State.DONE, True,
    ),
    "what comes after the breaking off is dropped": (
        {}, [answer(200, b"a", more_content=True), {"closed": True}, more(b"b", False)],
        ["Transfer-Encoding: chunked"], b"1\r\na\r\n", State.BROKEN, False,
    ),
    "fields keep their order, their case and their duplicates": (
        {}, [answer(200, b"", (b"x-A", b"1"), (b"x-A", b"2"), (b"X-Latin", b"\xe9"))],
        ["Content-Length: 0", "X-Latin: \ufffd", "x-A: 1", "x-A: 2"], b"", State.DONE, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RESPONSES)
def test_messages_become_a_response(rule):
    asked, messages, fields, expected, state, keep_alive = RESPONSES[rule]
    exchange = make(**asked)
    data = b"".join(exchange.encode(message, PREAMBLE) for message in messages)
    head, _, content = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    assert first.startswith(f"HTTP/1.1 {messages[0]['status']} ")
    assert sorted(lines) == sorted([*OURS, *fields])
    assert content == expected
    assert (exchange.state, exchange.keep_alive) == (state, keep_alive)


@pytest.mark.parametrize(
    ("status", "line"), [(200, "200 OK"), (404, "404 Not Found"), (299, "299 "), (999, "999 ")]
)
def test_a_status_has_its_phrase_if_it_is_known(status, line):
    assert encode(make(), answer(status))[0][0] == "HTTP/1.1 " + line


def test_the_consumers_own_date_and_server_are_the_only_ones():
    head, _ = encode(make(), answer(200, b"", (b"server", b"mine"), (b"DATE", b"then")))
    assert head[1:] == ["Content-Length: 0", "DATE: then", "server: mine"]


WRONG = {
    "no status": {"content": b"hi"},
    "a status of text": answer("200 OK"),
    "a status that is a bool": answer(True),
    "an interim status": answer(100),
    "the status of a switched protocol": answer(101),
    "a status of four digits": answer(1000),
    "a value with a line end": answer(200, b"", (b"X", b"a\r\nY: b")),
    "a value with a lone line feed": answer(200, b"", (b"X", b"a\nb")),
    "a value with a zero": answer(200, b"", (b"X", b"a\0b")),
    "a name with a space": answer(200, b"", (b"X Y", b"a")),
    "a name with a colon": answer(200, b"", (b"X:", b"a")),
    "an empty name": answer(200, b"", (b"", b"a")),
    "a name with a line end": answer(200, b"", (b"X\r\nY", b"a")),
    "a length that is no number": answer(200, b"", (b"Content-Length", b"two")),
    "a negative length": answer(200, b"", (b"Content-Length", b"-2")),
    "two lengths": answer(200, b"", LENGTH_2, (b"content-length", b"3")),
    "content of text": answer(200, "text"),
    "content of none": answer(200, None),
    "a name of text": answer(200, b"", ("X", b"a")),
    "a value of text": answer(200, b"", (b"X", "a")),
    "a value that is a number": answer(200, b"", (b"Connection", 1)),
    "a field without a value": answer(200, b"", (b"X",)),
    "headers that are none": {"status": 200, "headers": 7, "content": b""},
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_response_is_an_error_before_anything_is_out(kind):
    exchange = make()
    with pytest.raises(ResponseError):
        exchange.encode(WRONG[kind], PREAMBLE)
    assert exchange.state is State.WAITING
    head, content = encode(exchange, error_response(500))
    assert head[0] == "HTTP/1.1 500 Internal Server Error"
    assert content == b"500 Internal Server Error\n"
    assert (exchange.state, exchange.content_sent) == (State.DONE, len(content))


@pytest.mark.parametrize("content", ["text", None, 7])
def test_wrong_content_in_a_stream_is_an_error_that_leaves_room_for_its_end(content):
    exchange = make()
    exchange.encode(answer(200, b"a", more_content=True), PREAMBLE)
    with pytest.raises(ResponseError):
        exchange.encode(more(content), PREAMBLE)
    assert exchange.encode(error_response(500), PREAMBLE) == b""
    assert (exchange.state, exchange.keep_alive) == (State.BROKEN, False)


def test_a_response_that_breaks_off_before_its_head_has_none():
    exchange = make()
    assert exchange.encode({"closed": True}, PREAMBLE) == b""
    assert (exchange.state, exchange.keep_alive) == (State.BROKEN, False)


@pytest.mark.parametrize(
    ("asked", "messages", "sent", "status"),
    [
        ({}, [answer(200, b"hello")], 5, 200),
        ({}, [answer(200, b"a", more_content=True), more(b"bcd", False)], 4, 200),
        ({}, [answer(200, b"hi there", LENGTH_2)], 2, 200),
        ({"is_head": True}, [answer(200, b"hello")], 0, 200),
        ({}, [answer(304, b"hello")], 0, 304),
    ],
)
def test_content_is_counted_without_framing_for_the_log(asked, messages, sent, status):
    exchange = make(**asked)
    encode(exchange, *messages)
    assert (exchange.content_sent, exchange.status) == (sent, status)


def test_made_up_field_names_are_not_remembered_for_ever():
    from wsgi_bridge.protocols import http

    for number in range(KINDS_LIMIT + 10):
        encode(make(), answer(200, b"", (b"X-Made-Up-%d" % number, b"")))
    assert len(http._kinds) <= KINDS_LIMIT


# What the server itself answers: section 5


@pytest.mark.parametrize(
    "status", [400, 403, 408, 413, 414, 417, 426, 431, 500, 501, 503, 504, 505]
)
def test_a_status_of_the_servers_own_is_plain_text_with_its_phrase(status):
    headers = [(b"Retry-After", b"1")]
    head, content = encode(make(), error_response(status, "the reason", headers))
    assert head[0].startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: text/plain; charset=utf-8" in head
    assert "Retry-After: 1" in head
    assert content.startswith(f"{status} ".encode())
    assert content.endswith(b"\nthe reason\n")


# The request's body


def test_a_body_flows_up_to_its_window():
    flow = BodyFlow(expects_continue=False)
    assert flow.is_open
    flow.taken += BODY_WINDOW - 1
    assert flow.is_open
    flow.taken += 1
    assert not flow.is_open
    assert flow.open(BODY_WINDOW + 1) == b""
    assert flow.is_open
    flow.taken += 65536  # one read may go past it
    assert not flow.is_open


def test_a_window_never_shrinks():
    flow = BodyFlow(expects_continue=False)
    flow.open(500_000)
    flow.open(400_000)
    assert flow.window == 500_000


def test_100_is_sent_once_when_the_reader_asks_first():
    flow = BodyFlow(expects_continue=True)
    assert not flow.is_open
    assert flow.open(0) == b""
    assert flow.open(262_144) == CONTINUE
    assert flow.is_open
    assert flow.open(524_288) == b""


def test_100_is_not_sent_when_the_body_came_unasked():
    flow = BodyFlow(expects_continue=True)
    flow.taken = 10
    assert flow.open(262_144) == b""
    assert flow.is_open
