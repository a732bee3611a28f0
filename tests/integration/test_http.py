"""HTTP over real sockets: versions, keep-alive, pipelining, framing, targets, what is refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import ask, chunked, open_wire, post, request

pytestmark = pytest.mark.integration

SERVER = {"app": "tests.apps.site:application", "args": ["--keep-alive", "30"]}
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAI")


def environ_of(server: Server, data: bytes) -> dict[str, str]:
    return json.loads(ask(server, data).content)


def test_a_response_has_what_every_response_has(server: Server) -> None:
    with open_wire(server) as wire:
        response = wire.ask(request())
        assert (response.status, response.version) == (200, "1.1")
        assert response.content == b"Hello, world!\n"
        assert response["server"] == "gunicorn"
        assert response["date"].endswith(" GMT")
        assert "connection" not in response


def test_the_standard_librarys_client_is_content(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for body in (b"one", b"", b"x" * 200_000):
        connection.request("POST", "/echo", body, {"Content-Type": "text/plain"})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, body)
    connection.request("POST", "/echo", iter([b"a", b"b"]), encode_chunked=True)
    assert connection.getresponse().read() == b"ab"
    connection.close()


@pytest.mark.parametrize(
    ("version", "fields", "answer", "is_kept"),
    [
        ("1.1", [], None, True),
        ("1.1", ["Connection: keep-alive"], None, True),
        ("1.1", ["Connection: close"], "close", False),
        ("1.0", [], "close", False),
        ("1.0", ["Connection: keep-alive"], "keep-alive", True),
        ("1.0", ["Connection: close"], "close", False),
    ],
)
def test_a_connection_is_kept_as_version_and_field_say(
    server: Server, version: str, fields: list[str], answer: str | None, is_kept: bool
) -> None:
    with open_wire(server) as wire:
        response = wire.ask(request("/", *fields, version=version))
        assert response.status == 200
        assert dict(response.fields).get("connection") == answer
        if is_kept:
            assert wire.ask(request("/", *fields, version=version)).status == 200
        else:
            assert wire.is_ended()


def test_an_app_may_ask_for_the_connections_end(server: Server) -> None:
    with open_wire(server) as wire:
        fields = json.dumps([["Connection", "close"], ["Keep-Alive", "timeout=5"]])
        response = wire.ask(post("/fields", fields.encode()))
        assert response["connection"] == "close"
        assert "keep-alive" not in response
        assert wire.is_ended()


# Pipelining


def test_two_hundred_requests_in_one_write_are_answered_in_order(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(b"".join(request(f"/environ?{number}") for number in range(200)))
        for number in range(200):
            assert json.loads(wire.read_response().content)["QUERY_STRING"] == str(number)
        assert wire.ask(request()).status == 200


def test_more_requests_than_one_read_takes_are_answered(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/", "X-Padding: " + "x" * 500) * 400)
        for _ in range(400):
            assert wire.read_response().content == b"Hello, world!\n"


@pytest.mark.parametrize("size", [0, 1, 1000, 60_000, 66_000, 100_000, 140_000])
def test_pipelined_bodies_stay_with_their_requests(server: Server, size: int) -> None:
    with open_wire(server) as wire:
        bodies = [b"%d" % number * size for number in range(5)]
        wire.send(b"".join(post("/echo", body) for body in bodies) + request())
        assert [wire.read_response().content for _ in bodies] == bodies
        assert wire.read_response().content == b"Hello, world!\n"


def test_pipelined_chunked_bodies_stay_with_their_requests(server: Server) -> None:
    with open_wire(server) as wire:
        parts = [[b"a" * size, b"b"] for size in (1, 70_000, 3)]
        wire.send(b"".join(chunked("/echo", chunks) for chunks in parts) + request())
        assert [wire.read_response().content for _ in parts] == [b"".join(p) for p in parts]
        assert wire.read_response().content == b"Hello, world!\n"


def test_a_slow_request_is_answered_before_the_quick_one_behind_it(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/wait?gate=pipeline") + request("/environ?second"))
        assert ask(server, request("/open?gate=pipeline")).status == 200
        assert wire.read_response().content == b"the gate is open"
        assert b"second" in wire.read_response().content


def test_a_half_closed_client_gets_the_answers_to_all_it_asked(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/wait?gate=half") + post("/echo", b"body") + request())
        wire.end_sending()
        assert ask(server, request("/open?gate=half")).status == 200
        answers = [wire.read_response().content for _ in range(3)]
        assert answers == [b"the gate is open", b"body", b"Hello, world!\n"]
        assert wire.is_ended()


def test_a_refused_request_is_answered_after_those_before_it(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/stream?count=3") + request() + b"nonsense\r\n\r\n")
        assert wire.read_response().content == b"xxx"
        assert wire.read_response().content == b"Hello, world!\n"
        assert wire.read_response().status == 400
        assert wire.is_ended()


# Responses


@pytest.mark.parametrize(("count", "size"), [(0, 1), (1, 1), (3, 5), (50, 70_000)])
def test_a_stream_is_chunked_in_http_11(server: Server, count: int, size: int) -> None:
    with open_wire(server) as wire:
        response = wire.ask(request(f"/stream?count={count}&size={size}"))
        assert response.content == b"x" * count * size
        assert response.is_complete
        if count:
            assert response["transfer-encoding"] == "chunked"
        assert wire.ask(request()).status == 200


@pytest.mark.parametrize("field", ["Connection: close", "Connection: keep-alive"])
def test_a_stream_ends_with_the_connection_in_http_10(server: Server, field: str) -> None:
    with open_wire(server) as wire:
        response = wire.ask(request("/stream?count=3&size=5", field, version="1.0"))
        assert response.content == b"x" * 15
        assert not {"transfer-encoding", "content-length"} & {name for name, _ in response.fields}
        assert response["connection"] == "close"


def test_each_block_goes_out_before_the_next_is_asked_for(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/lines?gate=lines"))
        wire.read_head()
        assert wire.read_chunk() == b"one\n"
        ask(server, request("/open?gate=lines"))
        assert wire.read_chunk() == b"two\n"


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("HEAD", "/", 200),
        ("HEAD", "/stream?count=3", 200),
        ("HEAD", "/status:404", 404),
        ("GET", "/status:204", 204),
        ("GET", "/status:304", 304),
        ("POST", "/status:204", 204),
    ],
)
def test_a_response_that_has_no_content_has_none(
    server: Server, method: str, target: str, status: int
) -> None:
    with open_wire(server) as wire:
        wire.send(request(target, method=method) + request())
        assert wire.read_response(is_head=True).status == status
        assert wire.read_response().content == b"Hello, world!\n"


def test_head_says_how_long_the_content_would_be(server: Server) -> None:
    response = ask(server, request(method="HEAD"), is_head=True)
    assert response["content-length"] == "14"


@pytest.fixture(scope="module")
def careless(arrangement: str) -> Iterator[Server]:
    """A server whose site is found fault with in the log."""
    with run_server(**SERVER, may_log_errors=True) as running:
        yield running


@pytest.mark.parametrize(
    ("size", "count", "is_complete"), [(10, 1, True), (12, 1, True), (12, 4, True), (9, 1, False)]
)
def test_an_app_that_breaks_its_promised_length_never_shifts_the_next_answer(
    careless: Server, size: int, count: int, is_complete: bool
) -> None:
    with open_wire(careless) as wire:
        response = wire.ask(request(f"/promise?length=10&size={size}&count={count}"))
        assert response.is_complete is is_complete
        assert response.content == b"x" * min(size, 10)
        if is_complete:
            assert wire.ask(request()).content == b"Hello, world!\n"
        else:
            assert wire.is_ended()


def test_the_apps_own_date_and_server_are_the_only_ones(server: Server) -> None:
    fields = [["Server", "mine"], ["Date", "Thu, 01 Jan 1970 00:00:00 GMT"], ["X-Two", "1"]]
    response = ask(server, post("/fields", json.dumps([*fields, ["X-Two", "2"]]).encode()))
    assert response["server"] == "mine"
    assert response["date"].endswith("1970 00:00:00 GMT")
    assert [value for name, value in response.fields if name == "x-two"] == ["1", "2"]


# Requests


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("/environ:%C3%A9?a=%20", "/environ:Ã©", "a=%20", "site.example"),
        # RFC 9112 section 3.2.2: the Host field is ignored.
        ("http://other.example/environ:1?q", "/environ:1", "q", "other.example"),
        ("http://other.example:81/environ", "/environ", "", "other.example:81"),
        ("/environ:a%2Fb", "/environ:a/b", "", "site.example"),
    ],
)
def test_a_target_becomes_path_and_query(
    server: Server, target: str, path: str, query: str, host: str
) -> None:
    environ = environ_of(server, request(target))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["HTTP_HOST"] == host


def test_the_environ_says_who_and_where(server: Server) -> None:
    environ = environ_of(server, request("/environ", "X-One: 1", "X_Spoofed: 2", "X-One: 3"))
    assert environ["REMOTE_ADDR"] == environ["SERVER_NAME"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(server.port)
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["SERVER_SOFTWARE"].startswith("gunicorn/")
    assert environ["HTTP_X_ONE"] == "1,3"
    assert "HTTP_X_SPOOFED" not in environ


def test_options_of_the_server_as_a_whole_reaches_the_site(server: Server) -> None:
    assert ask(server, request("*", method="OPTIONS")).status == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PROPFIND", "PURGE"])
def test_any_method_reaches_the_site(server: Server, method: str) -> None:
    assert environ_of(server, request("/environ", method=method))["REQUEST_METHOD"] == method


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"nonsense\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nX : 1\r\n\r\n"),
        (417, b"POST / HTTP/1.1\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\n"),
        (501, b"POST / HTTP/1.1\r\nTransfer-Encoding: magic, chunked\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
        (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n"),
        (414, b"GET /" + b"a" * 300_000),
        (431, b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000),
    ],
)
def test_what_cannot_be_read_is_refused_and_the_connection_ended(
    server: Server, status: int, data: bytes
) -> None:
    with open_wire(server) as wire:
        response = wire.ask(data)
        assert (response.status, response["connection"]) == (status, "close")
        assert wire.is_ended()


@pytest.mark.parametrize(
    "data",
    [
        request("/environ", *H2C) + request(),
        request("/environ", *H2C, method="POST", body=b"body") + request(),
        chunked("/environ", [b"bo", b"dy"], *H2C) + request(),
        request("/environ", "Connection: upgrade", "Upgrade: TLS/1.3") + request(),
    ],
)
def test_an_upgrade_that_is_not_known_is_ignored(server: Server, data: bytes) -> None:
    with open_wire(server) as wire:
        wire.send(data)
        assert wire.read_response().status == 200
        assert wire.read_response().content == b"Hello, world!\n"


def test_the_body_of_a_declined_upgrade_is_read(server: Server) -> None:
    assert ask(server, request("/echo", *H2C, method="POST", body=b"body")).content == b"body"
    big = b"x" * 200_000
    assert ask(server, request("/echo", *H2C, method="POST", body=big)).content == big
    assert ask(server, chunked("/echo", [b"bo", b"dy"], *H2C)).content == b"body"


def test_a_request_byte_by_byte_is_read(server: Server) -> None:
    with open_wire(server) as wire:
        for number in (data := post("/echo", b"slow")):
            wire.send(bytes([number]))
        assert wire.read_response().content == b"slow"
        assert len(data) > 50
