"""RequestReader: the same requests whole, byte by byte, in random splits, with trailing data."""

from __future__ import annotations

import contextlib
import ipaddress
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gunicorn_asgi import head
from gunicorn_asgi.policy import Peers, RequestPolicy
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import Request, RequestError

HOST = b"Host: site.example\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: "
BIG = 70_000  # past what is read before a consumer is asked


class Collector:
    """Takes requests as the connection does, and the body bytes that come after them."""

    def __init__(self):
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.ends: list[bool] = []
        self.proxies = []

    def take_request(self, request):
        self.requests.append(request)
        self.bodies.append(b"")
        self.ends.append(request.is_complete)
        self._take(request)

    def take_body(self, request, data):
        self.bodies[self.requests.index(request)] += data

    def take_proxy(self, header):
        self.proxies.append(header)

    def take_end(self, request):
        self.ends[self.requests.index(request)] = True

    def _take(self, request):
        self.bodies[-1] += request.take_body()

    @property
    def seen(self):
        """What every way of feeding must come to."""
        return [
            (request.method, request.target, request.version, request.headers, body, end)
            for request, body, end in zip(self.requests, self.bodies, self.ends, strict=True)
        ]


def behind_proxy(address, **settings):
    """Return the policy of a server that trusts one proxy."""
    return RequestPolicy(
        secure_headers={b"x-forwarded-proto": b"https", b"x-forwarded-ssl": b"on"},
        forwarders=Peers((ipaddress.ip_network(address),)),
        proxies=Peers((ipaddress.ip_network(address),)),
        forwarder_fields=frozenset((b"script_name", b"remote_user")),
        **settings,
    )


def read(data, cuts=(), policy=None, peer=""):
    """Feed ``data`` in pieces cut at ``cuts``; return the collector and the reader."""
    collector = Collector()
    reader = RequestReader(collector, policy or RequestPolicy(), peer)
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        reader.feed(data[start:end])
    return collector, reader


def refuse(data, policy=None, cuts=(), peer=""):
    """Return the status that ``data`` is refused with."""
    with pytest.raises(RequestError) as refusal:
        read(data, cuts, policy, peer)
    return refusal.value.status


def splits(data):
    """Ways to cut ``data``: whole, byte by byte, and twenty at random, the same in each run."""
    chance = random.Random(len(data))
    yield ()
    yield range(1, len(data))
    for _ in range(20):
        yield sorted(chance.sample(range(1, len(data)), min(5, len(data) - 1)))


GET = b"GET /a%20b?q=1 HTTP/1.1\r\n" + HOST + b"X-Two: 2\r\nx-two: 3\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    b"3;note=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-Trailer: t\r\n\r\n"
)
CONTINUED = b"POST /e HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
OLD = b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
H2C = (
    b"GET /h2c HTTP/1.1\r\n"
    + HOST
    + UPGRADE
    + b"h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
)
H2C_BODY = H2C + b"Content-Length: 4\r\n\r\nbody"
H2C_CHUNKED = H2C + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
HANDSHAKE = b"GET /ws HTTP/1.1\r\n" + HOST + UPGRADE + b"websocket\r\n" + KEY + b"\r\n"

STREAMS = {
    "one request": GET,
    "a body with a length": POST,
    "a chunked body with an extension and a trailer": CHUNKED,
    "a body that is waited for": CONTINUED,
    "HTTP/1.0": OLD,
    "an upgrade that is declined": H2C + b"\r\n",
    "an upgrade that is declined, with a body": H2C_BODY,
    "an upgrade that is declined, with a chunked body": H2C_CHUNKED,
    "an empty line before a request": b"\r\n" + GET,
    "all of them, pipelined": b"".join(
        (GET, POST, CHUNKED, H2C_BODY, CONTINUED, H2C + b"\r\n", H2C_CHUNKED, OLD, GET)
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_requests_are_the_same_however_they_are_cut(name):
    data = STREAMS[name]
    expected = read(data)[0].seen
    assert expected
    for cuts in splits(data):
        collector, reader = read(data, cuts)
        assert collector.seen == expected
        assert reader.is_idle


@pytest.mark.parametrize("name", STREAMS)
def test_a_request_is_the_same_whatever_follows_it(name):
    data = STREAMS[name]
    expected = read(data)[0].seen
    for rest in (
        b"G",
        b"GET / HTTP/1.1\r\nHos",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhal",
    ):
        collector, reader = read(data + rest)
        assert collector.seen == expected
        assert not reader.is_idle


def test_a_request_has_its_parts():
    (request,) = read(GET)[0].requests
    assert (request.method, request.version, request.target) == ("GET", "1.1", b"/a%20b?q=1")
    names = [b"host", b"x-two", b"x-two"]
    assert [name for name, _ in request.headers] == names
    assert request.keep_alive
    assert not request.has_body
    message = request.to_message("reply", "http", "", ["192.0.2.1", 5], ["192.0.2.2", 80])
    assert message == {
        "reply_channel": "reply",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "root_path": "",
        "query_string": b"q=1",
        "headers": [[b"host", b"site.example"], [b"x-two", b"2"], [b"x-two", b"3"]],
        "body": b"",
        "client": ["192.0.2.1", 5],
        "server": ["192.0.2.2", 80],
    }


def test_a_unix_sockets_message_has_no_addresses():
    (request,) = read(GET)[0].requests
    message = request.to_message("reply", "http", "", None, None)
    assert message.get("client") is None
    assert message.get("server") is None


@pytest.mark.parametrize(
    ("start", "path", "raw_path", "query"),
    [
        ("GET /", "/", b"/", b""),
        ("GET /?", "/", b"/", b""),
        ("GET /a?b?c=%20", "/a", b"/a", b"b?c=%20"),
        ("GET /%C3%A9", "/é", b"/%C3%A9", b""),
        ("GET /%FF", "/\ufffd", b"/%FF", b""),
        ("GET /a%2Fb", "/a/b", b"/a%2Fb", b""),
        ("GET //a//", "//a//", b"//a//", b""),
        ("GET http://site.example/a%20?b", "/a ", b"/a%20", b"b"),
        ("GET HTTPS://site.example", "/", b"/", b""),
        ("GET http://site.example?b=/", "/", b"/", b"b=/"),
        ("OPTIONS *", "*", b"*", b""),
    ],
)
def test_a_target_has_a_path_and_a_query(start, path, raw_path, query):
    (request,) = read(f"{start} HTTP/1.1\r\nHost: a\r\n\r\n".encode())[0].requests
    message = request.to_message("reply", "http", "", None, None)
    found = message["path"], message["raw_path"], message["query_string"]
    assert found == (path, raw_path, query)


REFUSED = [
    (400, b"nonsense\r\n\r\n"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),  # a TLS client
    (400, b"get / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nX : 1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nX: 1\r\n folded\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nX\r\n\r\n"),
    (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    (400, b"GET * HTTP/1.1\r\n\r\n"),
    (400, b"GET ftp://a/ HTTP/1.1\r\n\r\n"),
    (400, b"CONNECT a.example HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    (400, b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    (400, b"\r\n\r"),
    (400, b"GET http://u@/ HTTP/1.1\r\n\r\n"),
    (400, b"GET http://]a/ HTTP/1.1\r\n\r\n"),
    (400, b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n"),
    (400, b"GET /a b HTTP/1.1\r\n\r\n"),
    (400, b"AB / HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nContent-Type: a\r\nContent-Type: b\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\n: 1\r\n\r\n"),
    (400, b"CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    (400, b"CONNECT http://a.example/ HTTP/1.1\r\n\r\n"),
    (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (505, b"GET / HTTP/0.9\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
    (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n"),
    (501, b"POST / HTTP/1.1\r\nTransfer-Encoding: magic, chunked\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;\r\na\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: \0\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n"),
    (400, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"),
    (417, b"POST / HTTP/1.1\r\nExpect: a-miracle\r\nContent-Length: 1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
]


@pytest.mark.parametrize(("status", "data"), REFUSED)
def test_what_http_forbids_is_refused_however_it_is_cut(status, data):
    for cuts in splits(data):
        assert refuse(data, cuts=cuts) == status


SMALL = RequestPolicy(line=100, fields=3, field_size=60)
LIMITED = [
    (414, b"GET /" + b"a" * 87 + b" HTTP/1.1\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 4 + b"\r\n"),
    (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 60 + b"\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\n" + b"a" * 60 + b": 1\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 1000),  # one that never ends
    (431, b"GET / HTTP/1.1\r\n" + b"a" * 1000),
    (414, b"GET /" + b"a" * 1000),
]


@pytest.mark.parametrize(("status", "data"), LIMITED)
def test_a_head_past_its_limits_is_refused_however_it_is_cut(status, data):
    for cuts in splits(data):
        assert refuse(data, SMALL, cuts) == status


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 86 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 3 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 55 + b"\r\n\r\n",
    ],
)
def test_a_head_at_its_limits_is_read(data):
    for cuts in splits(data):
        assert len(read(data, cuts, SMALL)[0].requests) == 1


@pytest.mark.parametrize("cut", [1, 8_000, 16_000, 20_000, 30_000, 36_000])
def test_a_long_head_of_fields_that_may_be_is_read_however_it_comes(cut):
    data = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 700) for n in range(50))
    assert len(read(data + b"\r\n", (cut,))[0].requests) == 1


LONG_POST = b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + bytes(60_000)


@pytest.mark.parametrize("before", [GET * 200, POST * 200, LONG_POST])
def test_what_came_before_a_cut_head_does_not_count_towards_its_limits(before):
    data = before + GET
    for cut in (len(before) + 1, len(before) + 30, len(data) - 1):
        assert read(data, (cut,))[0].requests[-1].target == b"/a%20b?q=1"


@pytest.mark.parametrize(
    "tail", [b"0\r\nX: " + b"a" * 1000, b"0\r\n" + b"X: 1\r\n" * 170, b"1;" + b"e" * 1000]
)
def test_a_chunked_body_that_goes_on_without_content_is_refused(tail):
    reader = RequestReader(Collector(), RequestPolicy())
    reader.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + tail[:10])
    with pytest.raises(RequestError) as refusal:
        for _ in range(2000):
            reader.feed(tail[10:] if tail.startswith(b"0\r\nX: 1") else tail[-900:])
    assert refusal.value.status in (400, 431)


def test_a_small_body_is_there_when_the_request_is_taken():
    collector = Collector()
    reader = RequestReader(collector, RequestPolicy())
    reader.feed(POST[:-1])
    assert not collector.requests
    reader.feed(POST[-1:])
    assert collector.requests[0].is_complete


@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d\r\n" % BIG, b"Transfer-Encoding: chunked\r\n",
                b"Expect: 100-continue\r\nContent-Length: 1\r\n"]
)  # fmt: skip
def test_a_request_with_a_body_to_wait_for_is_taken_at_its_head(framing):
    (request,) = read(b"POST / HTTP/1.1\r\n" + HOST + framing + b"\r\n")[0].requests
    assert not request.is_complete
    assert request.expects_continue == framing.startswith(b"Expect")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_expectation_without_a_body_or_in_http_10_is_ignored(version):
    length = b"Content-Length: 1\r\n" if version == "1.0" else b""
    data = b"POST / HTTP/%b\r\nExpect: 100-Continue\r\n" % version.encode() + length + b"\r\na"
    assert not read(data[: len(data) - (version == "1.1")])[0].requests[0].expects_continue


@pytest.mark.parametrize("rest", [b"", b"\x81\x85", b"GET / HTTP/1.1\r\n\r\n"])
def test_bytes_behind_a_websocket_handshake_are_kept(rest):
    collector, reader = read(HANDSHAKE + rest)
    assert [request.is_upgrade for request in collector.requests] == [True]
    assert reader.rest == rest


def test_a_websocket_handshake_behind_other_requests_is_found():
    collector, reader = read(GET + H2C + b"\r\n" + HANDSHAKE + b"\x81\x80")
    assert [request.is_upgrade for request in collector.requests] == [False, False, True]
    assert reader.rest == b"\x81\x80"


def test_as_many_declined_upgrades_as_a_read_can_hold_are_read():
    upgrade = b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    data = upgrade * (65536 // len(upgrade))
    assert len(read(data)[0].requests) == 65536 // len(upgrade)


@pytest.mark.parametrize(
    ("start", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.1\r\nConnection: x, Close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_a_request_says_whether_its_connection_can_have_another(start, keep_alive):
    assert read(start + b"\r\n")[0].requests[0].keep_alive is keep_alive


@pytest.mark.parametrize(("value", "forwarded"), [(b"https", "https"), (b"http", "http")])
def test_what_a_proxy_says_of_the_scheme_is_kept(value, forwarded):
    policy = behind_proxy("127.0.0.1")
    data = b"GET / HTTP/1.1\r\nX-Forwarded-Proto: " + value + b"\r\n\r\n"
    assert read(data, policy=policy, peer="127.0.0.1")[0].requests[0].forwarded == forwarded
    assert read(GET, policy=policy, peer="127.0.0.1")[0].requests[0].forwarded is None
    assert read(data, policy=policy, peer="192.0.2.7")[0].requests[0].forwarded is None
    assert read(data, policy=policy, peer=None)[0].requests[0].forwarded == forwarded


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(sorted(STREAMS)), st.integers(0, 200), st.booleans())
def test_garbage_is_a_request_error_and_nothing_else(garbage, name, place, is_inserted):
    data = STREAMS[name]
    place %= len(data)
    rest = data[place if is_inserted else place + len(garbage) :]
    with contextlib.suppress(RequestError):
        read(data[:place] + garbage + rest)


# What gunicorn's settings change


@pytest.mark.parametrize(
    ("settings", "data", "found"),
    [
        ({"permits_folding": True}, b"X: a\r\n b\r\n\tc\r\n", [b"x", b"a b c"]),
        ({"permits_folding": True}, b"X:\r\n b\r\n", [b"x", b"b"]),
        ({"strips_spaces": True}, b"X \t: a\r\n", [b"x", b"a"]),
    ],
)
def test_a_head_is_put_in_order_where_that_is_permitted(settings, data, found):
    data = b"GET / HTTP/1.1\r\n" + data + b"\r\n"
    for cuts in splits(data):
        assert read(data, cuts, RequestPolicy(**settings))[0].requests[0].headers == [found]
        assert refuse(data, cuts=cuts) == 400


@pytest.mark.parametrize(
    "head", [b" folded: 1\r\n", b"\tfolded\r\n", b"X : 1\r\n", b"X: " + b"a\r\n " * 20 + b"\r\n"]
)
def test_what_is_put_in_order_is_still_within_the_rules(head):
    data = b"GET / HTTP/1.1\r\n" + head + b"\r\n"
    assert refuse(data, RequestPolicy(field_size=60, permits_folding=True)) in (400, 431)


@pytest.mark.parametrize(
    ("settings", "method", "found"),
    [
        ({}, b"-BLARGH", "-BLARGH"),
        ({}, b"-blargh", None),
        ({}, b"AB", None),
        ({}, b"A#B", None),
        ({"folds_method_case": True}, b"get", None),
        ({"permits_any_method": True}, b"get", "get"),
        ({"permits_any_method": True}, b"x", "x"),
        ({"permits_any_method": True, "folds_method_case": True}, b"get", "GET"),
        ({"permits_any_method": True}, b"a@b", None),
    ],
)
def test_methods_are_conventional_unless_others_are_permitted(settings, method, found):
    data, policy = method + b" / HTTP/1.1\r\n\r\n", RequestPolicy(**settings)
    if found is None:
        assert refuse(data, policy) == 400
    else:
        assert read(data, policy=policy)[0].requests[0].method == found


UNDERSCORED = (
    b"GET /m/a HTTP/1.1\r\nRemote_User: eve\r\nX_Other: 1\r\nX-Other: 2\r\nScript_Name: /m\r\n\r\n"
)


@pytest.mark.parametrize(
    ("header_map", "peer", "names", "variables"),
    [
        ("drop", "192.0.2.7", [b"x-other"], None),
        ("drop", "127.0.0.1", [b"remote_user", b"x-other", b"script_name"],
         {"HTTP_REMOTE_USER": "eve", "HTTP_SCRIPT_NAME": "/m"}),
        ("dangerous", "192.0.2.7", [b"remote_user", b"x_other", b"x-other", b"script_name"],
         {"HTTP_REMOTE_USER": "eve", "HTTP_X_OTHER": "1,2", "HTTP_SCRIPT_NAME": "/m"}),
    ],
)  # fmt: skip
def test_a_name_with_an_underscore_is_for_trusted_proxies(header_map, peer, names, variables):
    policy = behind_proxy("127.0.0.1", header_map=header_map)
    (request,) = read(UNDERSCORED, policy=policy, peer=peer)[0].requests
    assert [name for name, _ in request.headers] == names
    assert request.variables == variables
    message = request.to_message("reply", "http", "/env", None, None)
    assert message["root_path"] == ("/m" if peer == "127.0.0.1" else "/env")
    assert message.get("variables") == variables


def test_a_name_with_an_underscore_may_be_refused_or_be_anyones():
    assert refuse(UNDERSCORED, behind_proxy("127.0.0.1", header_map="refuse")) == 400
    policy = RequestPolicy(forwarder_fields=frozenset((b"*",)), forwarders=Peers(is_everyone=True))
    (request,) = read(UNDERSCORED, policy=policy)[0].requests
    assert set(request.variables) == {"HTTP_REMOTE_USER", "HTTP_X_OTHER", "HTTP_SCRIPT_NAME"}


def test_fields_that_are_dropped_count_towards_the_limit():
    assert refuse(b"GET / HTTP/1.1\r\n" + b"X_: 1\r\n" * 4 + b"\r\n", SMALL) == 431


@pytest.mark.parametrize("second", [b"X-Forwarded-Ssl: off", b"X-Forwarded-Proto: http"])
def test_proxies_that_contradict_each_other_about_the_scheme_are_refused(second):
    data = b"GET / HTTP/1.1\r\nX-Forwarded-Proto: https\r\n" + second + b"\r\n\r\n"
    policy = behind_proxy("127.0.0.1")
    assert refuse(data, policy, peer="127.0.0.1") == 400
    assert read(data, policy=policy, peer="192.0.2.7")[0].requests[0].forwarded is None


# Other rules


def test_the_host_of_an_absolute_target_counts():
    data = b"GET http://u:p@a.example:81/p?q HTTP/1.1\r\nX: 1\r\nHost: b.example\r\n\r\n"
    (request,) = read(data)[0].requests
    assert request.headers == [[b"host", b"a.example:81"], [b"x", b"1"]]


def test_a_fragment_is_no_part_of_a_target():
    assert read(b"GET /a?b#c HTTP/1.1\r\n\r\n")[0].requests[0].target == b"/a?b"


def test_connect_is_the_last_request_of_its_connection():
    (request,) = read(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")[0].requests
    message = request.to_message("reply", "http", "", None, None)
    assert (message["path"], message["raw_path"]) == ("", b"a.example:443")
    assert not request.keep_alive


def test_a_later_minor_version_is_read_as_the_one_that_is_known():
    (request,) = read(b"GET / HTTP/1.2\r\n\r\n")[0].requests
    assert (request.version, request.keep_alive) == ("1.1", True)


@pytest.mark.parametrize("codings", [b"gzip, chunked", b"identity,chunked", b"GZip\t,Chunked"])
def test_content_that_was_coded_before_it_was_chunked_is_passed_on_as_it_is(codings):
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: " + codings + b"\r\n\r\n1\r\na\r\n0\r\n\r\n"
    collector, _ = read(data)
    assert collector.bodies == [b"a"]
    assert not collector.requests[0].keep_alive


def test_a_body_of_a_byte_a_chunk_is_read_and_one_of_extensions_is_not():
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    many = b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"
    assert len(read(start + many)[0].bodies[0]) == 20_000
    long = b"1;" + b"e" * 1000 + b"\r\na\r\n"
    assert len(read(start + long * 10 + b"0\r\n\r\n")[0].bodies[0]) == 10
    assert refuse(start + long * 20) == 431


def test_trailers_are_dropped_and_count_as_fields_do():
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    (request,) = read(start + b"X: 1\r\n" * 3 + b"\r\n", policy=SMALL)[0].requests
    assert [name for name, _ in request.headers] == [b"transfer-encoding"]
    assert refuse(start + b"X: 1\r\n" * 4, SMALL) == 431
    assert refuse(start + b"X: " + b"a" * 60 + b"\r\n", SMALL) == 431


def test_a_name_that_is_seen_once_is_not_kept_for_ever():
    data = b"".join(b"GET / HTTP/1.1\r\nX-%d: 1\r\n\r\n" % n for n in range(head.NAMES_LIMIT + 9))
    read(data)
    assert len(head._names) <= head.NAMES_LIMIT
