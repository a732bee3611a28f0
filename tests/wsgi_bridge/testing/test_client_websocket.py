"""WebSockets by the test client: the server's own machine, without a socket."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.testing.sites import make_site
from wsgi_bridge import Group
from wsgi_bridge.testing import Client, HandshakeRefused, NothingReceived, SocketClosed


@pytest.mark.parametrize("message", ["text", "é" * 100_000, b"\x00\xff", b"", ""])
def test_a_message_comes_back(client, message):
    with client.websocket("/echo/") as socket:
        socket.send(message)
        assert socket.receive() == message
        assert socket.receive_nothing()


def test_json_comes_back(client):
    with client.websocket("/echo/") as socket:
        socket.send_json({"a": [1, None]})
        assert socket.receive_json() == {"a": [1, None]}


def test_every_message_of_an_answer_is_received_in_order(client):
    with client.websocket("/chat/") as socket:
        socket.send("repeat 300")
        assert [socket.receive() for _ in range(300)] == [str(number) for number in range(300)]


def test_events_are_numbered_from_1(client, site):
    with client.websocket("/plain/") as socket:
        socket.send("a")
        socket.send(b"b")
    assert site[2] == [
        {"order": 1, "text": "a"},
        {"order": 2, "bytes": b"b"},
        {"order": 3, "code": 1000, "reason": ""},
    ]


def test_a_message_that_the_consumer_sends_at_once_is_received(client):
    with client.websocket("/chat/") as socket:
        socket.send("slow x")
        assert socket.receive() == "x"


# The handshake


def handshake_status(client, origin):
    try:
        with client.websocket("/echo/", origin=origin) as socket:
            return socket.status
    except HandshakeRefused as refusal:
        return refusal.status


def test_the_handshake_has_the_consumers_fields_and_subprotocol(client):
    with client.websocket("/echo/?a=1", subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.accepted_subprotocol == "chat.v2"
        assert (socket.status, socket.headers["X-Path"]) == (101, "/echo/")


def test_data_in_the_handshake_is_received(client):
    with client.websocket("/greeting/") as socket:
        assert socket.receive() == "welcome"


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [("/private/", 401, b"members only"), ("/", 404, b"404 Not Found\n")],
)
def test_a_refusal_has_status_headers_and_content(client, path, status, content):
    with pytest.raises(HandshakeRefused) as caught:
        client.websocket(path)
    assert (caught.value.status, caught.value.content) == (status, content)
    assert caught.value.headers["Content-Length"] == str(len(content))


def test_a_consumer_that_fails_in_the_handshake_is_raised(client):
    with pytest.raises(LookupError, match="x"):
        client.websocket("/broken/")


def test_a_peer_sees_500_when_a_consumer_fails_in_the_handshake(site):
    with Client(site[0], raise_exceptions=False) as client:
        with pytest.raises(HandshakeRefused) as caught:
            client.websocket("/broken/")
        assert caught.value.status == 500


@pytest.mark.parametrize(
    ("origin", "settings", "status"),
    [
        (None, {}, 101),
        ("http://testserver", {}, 101),
        ("http://elsewhere.example", {}, 403),
        ("http://elsewhere.example", {"allowed_origins": ["http://elsewhere.example"]}, 101),
        ("null", {}, 403),
    ],
)
def test_the_origin_is_checked(origin, settings, status):
    bridge, _, _ = make_site(**settings)
    with Client(bridge) as client:
        assert handshake_status(client, origin) == status


def test_a_socket_has_the_cookies_of_its_page(client):
    client.get("/visit")
    with client.websocket("/echo/") as socket:
        assert socket.headers["X-Cookie"] == "count=1"


def test_a_handshake_that_nobody_answers_says_so(site):
    with (
        Client(site[0], hold=["websocket.connect"], timeout=0.0) as client,
        pytest.raises(NothingReceived, match="no answer"),
    ):
        client.websocket("/echo/")


# The end


def test_the_consumers_close_is_seen(client, site):
    with client.websocket("/chat/") as socket:
        socket.send("close 4001")
        assert socket.receive() == "bye"
        with pytest.raises(SocketClosed) as caught:
            socket.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "asked")
        assert (socket.close_code, socket.close_reason) == (4001, "asked")
        with pytest.raises(SocketClosed):
            socket.send("too late")
    assert site[2] == [{"order": 2, "code": 4001, "reason": "asked"}]


def test_the_messages_of_a_socket_end_with_it(client):
    with client.websocket("/chat/") as socket:
        socket.send("repeat 2")
        socket.send("close")
        assert list(socket) == ["0", "1", "bye"]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (3001, "over")])
def test_the_tests_close_is_heard_by_the_consumer(client, site, code, reason):
    socket = client.websocket("/echo/")
    assert socket.close_code is None
    socket.close(code, reason)
    socket.close()
    assert socket.close_code == code
    assert site[2] == [{"order": 1, "code": code, "reason": reason}]


def test_a_connection_that_is_lost_is_1006(client, site):
    with client.websocket("/echo/") as socket:
        socket.abort()
        assert socket.close_code == 1006
    assert [event["code"] for event in site[2]] == [1006]


def test_a_consumer_that_fails_is_raised_where_the_message_was_sent(client):
    with client.websocket("/chat/") as socket:
        with pytest.raises(LookupError, match="this"):
            socket.send("fail this")
        assert socket.close_code == 1011


def test_a_peer_sees_1011_when_a_consumer_fails(site):
    with Client(site[0], raise_exceptions=False) as client, client.websocket("/chat/") as socket:
        socket.send("fail this")
        with pytest.raises(SocketClosed) as caught:
            socket.receive()
        assert caught.value.code == 1011


def test_a_message_past_the_limit_closes_with_1009():
    bridge, _, _ = make_site(max_message_size=1000)
    with Client(bridge) as client, client.websocket("/echo/") as socket:
        socket.send("x" * 1001)
        assert socket.close_code == 1009


def test_a_ping_needs_no_consumer(client):
    with client.websocket("/plain/") as socket:
        socket.ping(b"x")
        assert socket.receive_nothing()


def test_nothing_that_came_is_said(site):
    with (
        Client(site[0], timeout=0.01) as client,
        client.websocket("/chat/") as socket,
        pytest.raises(NothingReceived, match="no message came"),
    ):
        socket.receive()


# Order and flow


def test_the_next_event_waits_until_the_last_is_done_with(site):
    with Client(site[0], hold=["websocket.receive"]) as client:
        socket = client.websocket("/echo/")
        socket.send("a")
        socket.send("b")
        assert [message["text"] for message in client.messages("websocket.receive")] == ["a"]
        client.clock.advance(client.layer.expiry)  # nobody acknowledged it
        assert [message["text"] for message in client.messages("websocket.receive")] == ["b"]


def test_a_close_comes_after_the_events_before_it(site):
    with Client(site[0], hold=["websocket.receive"]) as client:
        socket = client.websocket("/plain/")
        socket.send("a")
        socket.close()
        assert site[2] == []
        assert client.run("websocket.receive") == 1
    assert site[2] == [{"order": 1, "text": "a"}, {"order": 2, "code": 1000, "reason": ""}]


# Groups, channels, time


def test_a_group_message_reaches_every_member(client):
    with client.websocket("/chat/") as one, client.websocket("/chat/") as two:
        one.send("all hello")
        assert (one.receive(), two.receive()) == ("hello", "hello")
        client.get("/notify")
        assert (one.receive(), two.receive()) == ("news", "news")
        Group("everybody").send({"text": "from the test"})
        assert (one.receive(), two.receive()) == ("from the test", "from the test")
        assert len(client.group("everybody").channels()) == 2
    assert client.group("everybody").channels() == []


def test_background_work_is_done_at_once(client):
    with client.websocket("/chat/") as socket:
        socket.send("work cat.png")
        assert socket.receive() == "thumbnail of cat.png"


def test_background_work_may_be_held_back(site):
    with Client(site[0], hold=["thumbnails"]) as client, client.websocket("/chat/") as socket:
        socket.send("work cat.png")
        assert socket.receive_nothing()
        assert client.run("thumbnails") == 1
        assert socket.receive() == "thumbnail of cat.png"


def test_what_nobody_takes_expires_by_the_tests_clock(site):
    with Client(site[0], hold=["thumbnails"]) as client:
        client.send("thumbnails", {"name": "cat.png", "for": "nobody"})
        client.clock.advance(59.9)
        assert len(client.messages("thumbnails")) == 1
        client.send("thumbnails", {"name": "cat.png", "for": "nobody"})
        client.clock.advance(60)
        assert client.messages("thumbnails") == []


def test_time_does_not_go_back(client):
    with pytest.raises(ValueError, match="less than 0"):
        client.clock.advance(-1)
