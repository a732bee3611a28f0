"""HTTP by the test client: what a real server would send and answer, in the calling thread."""

from __future__ import annotations

import threading

import pytest

from tests.wsgi_bridge.testing.sites import make_site
from wsgi_bridge import Group
from wsgi_bridge.layers.concurrency import native
from wsgi_bridge.testing import Client, NothingReceived


def test_a_page_is_read(client):
    response = client.get("/")
    assert (response.status, response.text, response.is_complete) == (200, "home", True)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == "4"


def test_the_app_runs_in_the_calling_thread():
    get_ident = native("get_ident")  # where gevent has patched it, it names greenlets
    seen = []

    def app(environ, start_response):
        seen.append(get_ident())
        start_response("200 OK", [])
        return []

    with Client(app) as client:
        client.get("/")
    assert seen == [get_ident()]


def test_the_environ_is_a_servers(site):
    with Client(site[0], headers={"X-Token": "t"}, environ={"REMOTE_USER": "ada"}) as client:
        environ = client.get("/environ/caf%C3%A9 x?a=1", query={"b": ["2", "3"]}).json()
    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/environ/cafÃ© x",  # PEP 3333: latin-1
        "QUERY_STRING": "a=1&b=2&b=3",
        "HTTP_HOST": "testserver",
        "HTTP_X_TOKEN": "t",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": "ada",
        "SERVER_NAME": "testserver",
        "wsgi.url_scheme": "http",
    }
    assert environ.items() >= expected.items()


def test_fields_of_a_request_go_before_those_of_the_client(client):
    client.headers = type(client.headers)({"X-Token": "t"})
    environ = client.get("/environ", headers={"x-token": "u"}).json()
    assert environ["HTTP_X_TOKEN"] == "u"


@pytest.mark.parametrize(
    ("body", "kind", "echo"),
    [
        ({"content": b"\x00raw"}, "", b"\x00raw"),
        ({"content": "text"}, "", b"text"),
        ({"form": {"a": "1", "b": ["x y", "&"]}}, "application/x-www-form-urlencoded",
         b"a=1&b=x+y&b=%26"),
        ({"json": {"a": [1]}}, "application/json", b'{"a": [1]}'),
        ({"content": iter([b"in ", b"", b"pieces"])}, "", b"in pieces"),
    ],
)  # fmt: skip
def test_a_body_arrives(client, body, kind, echo):
    response = client.post("/echo", **body)
    assert (response.content, response.headers["Content-Type"]) == (echo, kind)


def test_a_request_has_one_body(client):
    with pytest.raises(TypeError, match="one body"):
        client.post("/echo", content=b"a", json={})


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}])
@pytest.mark.parametrize("size", [0, 65_536, 65_537, 3_000_000])
def test_a_body_of_any_size_arrives(client, size, headers):
    assert client.put("/size", content=b"x" * size, headers=headers).text == str(size)


def test_an_endless_body_is_read_no_further_than_the_app_does(client):
    made = []

    def blocks():
        while True:
            made.append(1)
            yield b"x" * 1000

    assert client.post("/deaf", content=blocks()).text == "not read"
    assert len(made) < 100


@pytest.mark.parametrize(("path", "size"), [("/large", 3_000_000), ("/many", 3000)])
def test_a_response_of_any_size_is_read(client, path, size):
    response = client.get(path)
    assert (len(response.content), response.is_complete) == (size, True)


def test_a_head_has_no_content(client):
    response = client.head("/")
    assert (response.content, response.is_complete) == (b"", True)


# Streams


def test_a_stream_goes_on_only_as_far_as_it_is_read(client, site):
    steps = site[1].steps
    response = client.get("/stream", stream=True)
    assert response.status == 200
    chunks = iter(response)
    assert [next(chunks), next(chunks)] == [b"0", b"1"]
    assert steps.made == [0, 1]
    assert list(chunks) == [b"2", b"3", b"4"]
    assert steps.is_closed


def test_closing_a_stream_closes_the_apps_iterable(client, site):
    _, app, journal = site
    with client.get("/stream", stream=True) as response:
        assert next(iter(response)) == b"0"
        assert not app.steps.is_closed
    assert app.steps.is_closed
    assert app.steps.made == [0]
    assert len(journal) == 1  # http.disconnect


def test_other_pages_are_read_while_a_stream_is_open(client):
    with client.get("/stream", stream=True) as response:
        chunks = iter(response)
        next(chunks)
        assert client.get("/").text == "home"
        assert next(chunks) == b"1"


def test_what_is_left_of_a_stream_is_its_content(client):
    response = client.get("/stream", stream=True)
    next(iter(response))
    assert response.content == b"1234"


# Cookies and redirections


def test_cookies_are_kept_and_sent(client):
    assert [client.get("/visit").text for _ in range(3)] == ["0", "1", "2"]
    assert client.cookies["count"] == "3"
    assert client.get("/visit").cookies == {"count": "4", "other": "1"}


def test_a_cookie_may_be_set_and_forgotten_by_the_test(client):
    client.cookies["count"] = "7"
    assert client.get("/visit").text == "7"
    del client.cookies["count"]
    assert client.get("/visit").text == "0"


def test_a_visitor_has_cookies_of_their_own(client):
    client.get("/visit")
    assert client.visitor().get("/visit").text == "0"
    assert client.get("/visit").text == "1"


def test_a_redirection_is_followed_when_asked(client):
    assert client.post("/old", content=b"x").status == 302
    response = client.post("/old", content=b"x", follow_redirects=True)
    environ = response.json()
    assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"]) == ("GET", "moved=1")
    assert "CONTENT_LENGTH" not in environ
    assert [each.status for each in response.history] == [302]
    assert response.url == "http://testserver/environ?moved=1"


def test_a_temporary_redirection_repeats_the_request(client):
    assert client.post("/again", content=b"x", follow_redirects=True).text == "x"


def test_a_circle_of_redirections_is_an_error(client):
    with pytest.raises(NothingReceived, match="20 redirections"):
        client.get("/circle", follow_redirects=True)


# What goes wrong


@pytest.mark.parametrize("path", ["/fail", "/halfway"])
def test_what_the_app_raises_is_raised_to_the_test(client, path):
    with pytest.raises(LookupError, match="the app failed"):
        client.get(path)
    assert client.get("/").status == 200


def test_a_test_may_see_what_a_peer_would_see(site):
    with Client(site[0], raise_exceptions=False) as client:
        assert client.get("/fail").status == 500
        response = client.get("/halfway")
        assert (response.status, response.content, response.is_complete) == (200, b"half", False)


def test_a_response_that_is_too_short_is_not_complete(client):
    assert not client.get("/short").is_complete


def test_a_layer_that_is_full_is_a_503(site):
    with Client(site[0], layer="memory://?channel_capacity=http.request:0") as client:
        response = client.get("/")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


def test_no_answer_in_time_is_a_504(client):
    asked = client.start("GET", "/later")
    client.clock.advance(299)
    assert not asked.is_answered
    client.clock.advance(1)
    assert asked.response().status == 504


# Long polls


def test_a_consumer_may_answer_later(client):
    asked = client.start("GET", "/later")
    assert not asked.is_answered
    Group("waiting").send({"status": 200, "headers": [], "content": b"now"})
    assert asked.response().text == "now"


def test_a_view_may_wait_for_a_message(client):
    asked = client.start("GET", "/poll")
    assert not asked.is_answered
    client.send("news", {"what": "rain"})
    assert asked.response().text == "rain"


def test_a_view_waits_by_the_tests_clock(client):
    asked = client.start("GET", "/poll")
    client.clock.advance(30)
    assert asked.response().text == "nothing"


def test_what_has_no_answer_says_what_it_waits_for(site):
    with (
        Client(site[0], timeout=0.01) as client,
        pytest.raises(NothingReceived, match="a consumer waits for news"),
    ):
        client.get("/poll")


def test_what_another_thread_sends_is_waited_for(client):
    client.timeout = 10
    asked = client.start("GET", "/poll")
    threading.Timer(0.01, client.layer.send, ("news", {"what": "rain"})).start()
    assert asked.response().text == "rain"


def test_who_waits_is_ended_with_the_client(caplog):
    bridge, _, _ = make_site()
    client = Client(bridge)
    client.start("GET", "/poll")
    client.close()
    client.close()
    assert "GreenletExit" in caplog.text


def test_two_clients_one_after_the_other_have_nothing_in_common(site):
    for _ in range(2):
        with Client(site[0]) as client:
            assert client.messages("news") == []
            client.send("news", {"what": "rain"})
