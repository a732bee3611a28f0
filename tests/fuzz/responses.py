"""Whatever a consumer answers, a client reads one response of it, or that it broke off.

The clients are h11 and llhttp.
"""

from __future__ import annotations

from typing import Any

import h11
import httptools
from hypothesis import strategies as st

from tests.fuzz.messages import bad_fields, fields, message
from tests.fuzz.target import Target
from wsgi_bridge.protocols.http import (
    BROKEN,
    CLOSE,
    DONE,
    EXCHANGES,
    LENGTH,
    NONE,
    WAITING,
    HttpExchange,
    ResponseError,
    error_response,
)

PREAMBLE = b"Server: s\r\nDate: d\r\n"
# Names of fields that the server writes.
OURS = {b"server", b"date", b"content-length", b"transfer-encoding", b"connection"}

contents = st.sampled_from([b"", b"abc", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 300])
statuses = st.sampled_from([200, 200, 200, 201, 204, 205, 299, 304, 404, 500, 999, 199, 1000])
firsts = message(
    {"status": statuses, "headers": fields | bad_fields, "content": contents,
     "more_content": st.booleans()}
)  # fmt: skip
right_firsts = st.builds(
    lambda rest, status, headers: {"status": status, "headers": headers, **rest},
    message({"content": contents, "more_content": st.just(True)}),
    statuses,
    fields,
)
laters = message({"content": contents, "more_content": st.just(True)})
others = st.one_of(
    message({"early_hints": fields | bad_fields}),
    message({"closed": st.just(True), "content": contents}),
    firsts,
)
wrong_answers = st.builds(
    lambda before, first, rest: [*before, first, *rest],
    st.lists(others, max_size=1),
    firsts | right_firsts,
    st.lists(laters | others, max_size=4),
)
right_answers = st.builds(
    lambda first, rest: [first, *rest], right_firsts, st.lists(laters, max_size=4)
)
answers = right_answers | right_answers | wrong_answers
# (method, whether it is HTTP/1.0, whether the connection is to be kept, the messages)
inputs = st.tuples(
    st.sampled_from(["GET", "GET", "POST", "HEAD", "CONNECT"]),
    st.booleans(), st.booleans(), answers,
)  # fmt: skip


def answer(exchange: HttpExchange, messages: list[dict[str, Any]]) -> bytes:
    """Do what the connection does; return the bytes."""
    sent = b""
    for each in messages:
        before = exchange.state
        if before in (DONE, BROKEN):
            break
        try:
            if "early_hints" in each and "status" not in each:
                sent += exchange.encode_hints(each["early_hints"])
            else:
                sent += exchange.encode(each, PREAMBLE)
        except ResponseError:
            assert exchange.state is before
            sent += exchange.encode(error_response(500), PREAMBLE)
            assert exchange.state in (DONE, BROKEN)
    return sent


class Client:
    """What h11 reads: the head, the body, and whether that is all."""

    def __init__(self, method: str, sent: bytes, is_ended: bool) -> None:
        self.response: h11.Response | None = None
        self.body = b""
        self.interim: list[int] = []
        self.is_complete = False
        self.connection = h11.Connection(h11.CLIENT)
        target = "a:1" if method == "CONNECT" else "/"
        self.connection.send(h11.Request(method=method, target=target, headers=[("Host", "a")]))
        self.connection.send(h11.EndOfMessage())
        self.connection.receive_data(sent)
        if is_ended:
            self.connection.receive_data(b"")
        try:
            self._read()
        except h11.RemoteProtocolError as exc:
            self.error = str(exc)
        else:
            self.error = ""

    def _read(self) -> None:
        while True:
            event = self.connection.next_event()
            if type(event) is h11.InformationalResponse:
                self.interim.append(event.status_code)
            elif type(event) is h11.Response:
                self.response = event
            elif type(event) is h11.Data:
                self.body += bytes(event.data)
            elif type(event) is h11.EndOfMessage:
                self.is_complete = True
                return
            else:
                return


def check_fields(response: h11.Response, messages: list[dict[str, Any]]) -> None:
    """Check that no field is there that nobody wrote."""
    written = {(b"content-type", b"text/plain; charset=utf-8")}
    for each in messages:
        for pair in each.get("headers") or () if isinstance(each.get("headers"), list) else ():
            if isinstance(pair, list) and len(pair) == 2 and {*map(type, pair)} == {bytes}:
                written.add((pair[0].lower(), pair[1].strip(b" \t")))
    for name, value in response.headers:
        assert name in OURS or (name, value) in written, (name, value)
    names = [name for name, _ in response.headers]
    assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1


def read_llhttp(sent: bytes) -> tuple[int, bytes]:
    """Return the status and the body of what llhttp reads."""
    parser: Any = None
    body = b""

    class Events:
        def on_body(self, data: bytes) -> None:
            nonlocal body
            body += data

        def on_status(self, data: bytes) -> None:
            nonlocal body
            body = b""

    parser = httptools.HttpResponseParser(Events())
    parser.feed_data(sent)
    return parser.get_status_code(), body


def check(value: tuple[str, bool, bool, list[dict[str, Any]]]) -> None:
    """See the module's docstring."""
    method, is_http10, keep_alive, messages = value
    exchange = EXCHANGES.get(method, HttpExchange)(method == "HEAD", is_http10, keep_alive)
    sent = answer(exchange, messages)
    assert keep_alive or not exchange.keep_alive
    is_over = exchange.state in (DONE, BROKEN)
    check_stream(method, sent, exchange, messages, is_over and not exchange.keep_alive)


def check_stream(method, sent, exchange, messages, is_ended) -> None:
    """Check what clients read of the bytes of one response."""
    client = Client(method, sent, is_ended)
    state = exchange.state
    if state is WAITING:
        assert client.response is None
        assert not client.error
        return
    if client.response is not None:
        assert client.response.status_code == exchange.status
        check_fields(client.response, messages)
        contents = b"".join(
            each["content"] for each in messages if isinstance(each.get("content"), bytes)
        )
        if exchange.status not in (500, 501):
            assert client.body in contents
        assert len(client.body) == exchange.content_sent
    if state is DONE:
        assert client.is_complete
        assert client.response is not None
        assert client.connection.trailing_data[0] == b""
        if exchange.keep_alive and not exchange.is_http10:
            assert client.connection.their_state is h11.DONE
        else:
            assert client.connection.their_state is not h11.DONE or exchange.is_http10
        if method != "HEAD":
            assert read_llhttp(sent) == (exchange.status, client.body)
    elif state is BROKEN:
        assert not client.is_complete or exchange.framing is CLOSE or not exchange.remaining
    else:
        has_all = exchange.framing is LENGTH and not exchange.remaining
        assert client.is_complete == (exchange.framing is NONE or has_all)
        assert not client.error


TARGET = Target("responses", inputs, check, examples=600)
