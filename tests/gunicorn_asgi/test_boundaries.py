"""Where messages end: neither side is led to read one as another, whatever the other side does.

Behind each odd request comes a plain one. Its answer comes next, or the connection has ended.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gunicorn_asgi.site_rig import SiteRig
from tests.integration.wire import Wire, chunked, post, request

NEXT = request("/next")
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
BIG = 300_000  # past what a window takes of a body that nobody reads
HINT = ("Link", "</a.css>; rel=preload")


class Site:
    """Answers ``/`` as the test says, anything else with its path; notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = "200 OK"
        self.fields: list[tuple[str, str]] = []
        self.blocks: list[bytes] = [b"ok"]
        self.is_stream = False
        self.reads = False
        self.hints: list[list[tuple[str, str]]] = []
        self.late_hints: list[tuple[str, str]] = []

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if path not in ("/", ""):
            start_response("200 OK", [("Content-Length", str(len(path)))])
            return [path.encode()]
        for hints in self.hints:
            environ["wsgi.early_hints"](hints)
        if self.reads:
            environ["wsgi.input"].read()
        start_response(self.status, self.fields)
        return self.stream(environ) if self.is_stream else self.blocks

    def stream(self, environ):
        for block in self.blocks:
            yield block
            if self.late_hints:
                environ["wsgi.early_hints"](self.late_hints)


@pytest.fixture(scope="module")
def rig() -> Iterator[SiteRig]:
    with SiteRig(lambda environ, start_response: None) as rig:
        yield rig


@pytest.fixture
def site(rig: SiteRig) -> Site:
    rig.app = site = Site()
    return site


@pytest.fixture
def wire(rig: SiteRig) -> Iterator[Wire]:
    with rig.connect() as sock:
        yield Wire(sock)


def length(number: int | str) -> tuple[str, str]:
    return "Content-Length", str(number)


TE = ("Transfer-Encoding", "chunked")
# what the app does: status, fields, blocks; what the client gets: status, content, complete or not
ANSWERS = {
    "its length": ("200 OK", [length(2)], [b"ok"], 200, b"ok", True),
    "more than its length": ("200 OK", [length(2)], [b"okHTTP/1.1 200 OK"], 200, b"ok", True),
    "more, in blocks": ("200 OK", [length(3)], [b"ok", b"ok", b"ok"], 200, b"oko", True),
    "less than its length": ("200 OK", [length(9)], [b"ok"], 200, b"ok", False),
    "nothing of its length": ("200 OK", [length(9)], [], 200, b"", False),
    "no length": ("200 OK", [], [b"o", b"k"], 200, b"ok", True),
    "a length of leading zeros": ("200 OK", [length("002")], [b"ok"], 200, b"ok", True),
    "one length twice": ("200 OK", [length(2), length(2)], [b"ok"], 200, b"ok", True),
    "two lengths": ("200 OK", [length(2), length(3)], [b"ok"], 500, None, True),
    "a list of lengths": ("200 OK", [length("2, 2")], [b"ok"], 500, None, True),
    "a negative length": ("200 OK", [length(-2)], [b"ok"], 500, None, True),
    "chunks of its own": ("200 OK", [TE], [CHUNKS], 200, CHUNKS, True),
    "chunks of its own, and a length": (
        "200 OK", [TE, length(len(CHUNKS))], [CHUNKS], 200, CHUNKS, True,
    ),
    "an upgrade": (
        "200 OK", [("Upgrade", "h2c"), ("Connection", "upgrade")], [b"ok"], 200, b"ok", True,
    ),
    "101": ("101 Switching Protocols", [("Upgrade", "h2c")], [b"ok"], 500, None, True),
    "100": ("100 Continue", [], [b"ok"], 500, None, True),
    "204 with content": ("204 No Content", [length(2)], [b"ok"], 204, b"", True),
    "205 with content": ("205 Reset Content", [length(2)], [b"ok"], 205, b"", True),
    "304 with content": ("304 Not Modified", [length(2)], [b"ok"], 304, b"", True),
    "a field with a line end": ("200 OK", [("X", "a\r\n\r\nHTTP/1.1 2")], [b""], 500, None, True),
    "a name with a line end": ("200 OK", [("X: a\r\nY", "a")], [b""], 500, None, True),
    "a status with a line end": ("200 OK\r\nX: a", [], [b""], 500, None, True),
}  # fmt: skip


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_an_app_answers_the_next_answer_is_the_next_ones(wire, site, name, is_stream):
    site.status, site.fields, site.blocks, status, content, is_complete = ANSWERS[name]
    site.is_stream = is_stream
    wire.send(request("/") + NEXT)
    response = wire.read_response()
    assert response.status == status
    assert content is None or response.content == content
    assert response.is_complete is is_complete
    assert not {"upgrade", "x", "y"} & {field for field, _ in response.fields}
    if is_complete:
        assert wire.read_response().content == b"/next"
    else:
        assert wire.is_ended()
        assert site.asked == ["/"]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_to_head_has_no_content_whatever_the_app_sends(wire, site, name):
    site.status, site.fields, site.blocks, status, _, _ = ANSWERS[name]
    wire.send(request("/", method="HEAD") + NEXT)
    assert wire.read_response(is_head=True).status == status
    assert wire.read_response().content == b"/next"


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "299 So"])
def test_a_tunnel_that_an_app_would_open_is_not(wire, site, status):
    site.status = status
    wire.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + SMUGGLED)
    assert wire.read_response().status == 501
    assert wire.is_ended()
    assert site.asked == [""]


# What clients announce

IGNORED = {
    "a body in whole": post("/", SMUGGLED),
    "a body in chunks": chunked("/", [SMUGGLED]),
    "a body of a GET": request("/", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED,
    "a body behind an upgrade that is declined": request(
        "/", "Upgrade: h2c", "Connection: upgrade", f"Content-Length: {len(SMUGGLED)}"
    ) + SMUGGLED,
    "a body that was to wait": post("/", SMUGGLED, "Expect: 100-continue"),
    "a long body": post("/", SMUGGLED * (BIG // len(SMUGGLED))),
    "a long body in chunks": chunked("/", [SMUGGLED] * (BIG // len(SMUGGLED))),
}  # fmt: skip


# Short ones are read before the app is asked: the connection goes on.
KEPT = ("a body in whole", "a body of a GET", "a body behind an upgrade that is declined")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("name", IGNORED)
def test_a_body_is_never_read_as_a_request(wire, site, name, reads):
    site.reads = reads
    wire.send(IGNORED[name] + NEXT)
    assert wire.read_response().status == 200
    if reads or name in KEPT:
        assert wire.read_response().content == b"/next"
    wire.end_sending()
    rest = wire.read_rest()  # nothing, unless the whole body had come in time
    assert rest == b"" or (rest.count(b"HTTP/1.1 ") == 1 and rest.endswith(b"/next"))
    assert "/smuggled" not in site.asked


REFUSED = {
    "two framings": b"POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "a chunk that is longer": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    "a chunked body of HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "more than its length": post("/", b"body") + b"more",
}


@pytest.mark.parametrize("name", REFUSED)
def test_behind_a_request_that_is_refused_nothing_is_served(wire, site, name):
    site.reads = True
    wire.send(REFUSED[name] + SMUGGLED)
    answers = wire.read_rest()
    assert answers.count(b"HTTP/1.1 400 ") == 1
    assert answers.count(b"HTTP/1.1 ") == 1 + (name == "more than its length")
    assert "/smuggled" not in site.asked


@pytest.mark.parametrize("start", [post("/", b"half")[:-2], chunked("/", [b"half"])[:-2]])
def test_half_a_body_is_not_taken_for_a_whole_one(wire, site, start):
    site.reads = True
    wire.send(start)
    wire.end_sending()
    assert b"HTTP/1.1 200" not in wire.read_rest()


def test_behind_the_last_request_nothing_is_served(wire, site):
    wire.send(request("/", "Connection: close") + SMUGGLED)
    assert wire.read_response()["connection"] == "close"
    assert wire.is_ended()
    assert site.asked == ["/"]


def test_an_answer_to_an_upload_that_is_refused_is_read_each_time(rig, site):
    site.status = "413 Content Too Large"
    for _ in range(20):
        with rig.connect() as sock:
            wire = Wire(sock)
            wire.send(post("/", bytes(BIG)))
            response = wire.read_response()
            assert (response.status, response.content) == (413, b"ok")
            assert wire.is_ended()


# Early hints


def test_early_hints_come_before_the_response(wire, site):
    site.hints = [[HINT], [HINT, ("Link", "</b.js>; rel=preload"), length(9), TE]]
    site.late_hints, site.is_stream = [HINT], True
    wire.send(request("/") + NEXT)
    first, second = wire.read_head(), wire.read_head()
    assert (first.status, first.fields) == (103, [("link", HINT[1])])
    assert second.fields == [("link", HINT[1]), ("link", "</b.js>; rel=preload")]
    response = wire.read_response()
    assert (response.content, response.interim) == (b"ok", [])
    assert wire.read_response().content == b"/next"


def test_a_client_of_http_10_gets_no_early_hints(wire, site):
    site.hints = [[HINT]]
    response = wire.ask(request("/", version="1.0"))
    assert (response.status, response.interim) == (200, [])


@pytest.mark.parametrize("hint", [("Link", "a\r\nX: b"), ("L\r\nX", "a"), ("", "a")])
def test_early_hints_that_could_split_the_response_are_a_500(wire, site, hint):
    site.hints = [[hint]]
    response = wire.ask(request("/"))
    assert (response.status, response.interim) == (500, [])
