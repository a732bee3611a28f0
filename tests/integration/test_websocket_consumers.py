"""Consumers behind real sockets: order, flow, failures, the end, generic classes, long polls."""

from __future__ import annotations

import json
import threading
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.sockets import RawSocket, get, open_socket
from tests.wsgi_bridge.protocols.frames import BINARY, CLOSE, TEXT, client_frame, close_frame

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
SERVER = {
    "app": "tests.apps.sockets:application",
    "may_log_errors": True,
    "env": {"ASGI_HANDSHAKE_TIMEOUT": "0.5"},
}


# Order and flow


def test_frames_are_handled_one_at_a_time_and_in_order(server):
    with RawSocket(server, "/order") as client:
        client.read_response()
        client.send(b"".join(client_frame(TEXT, b"%d" % number) for number in range(5)))
        server.wait_for(lambda: get(server, "/seen?name=order"), "the first frame")
        assert get(server, "/seen?name=order") == ["begin 1"]
        get(server, "/open?name=order")
        expected = [f"{what} {number}" for number in range(1, 6) for what in ("begin", "end")]
        server.wait_for(lambda: get(server, "/seen?name=order") == expected, "all frames, in order")


def test_a_slow_consumer_slows_its_own_client(server):
    with RawSocket(server, "/swallow") as client:
        client.read_response()
        client.wire.sock.settimeout(0.1)
        sent = 0
        with pytest.raises(TimeoutError):  # the socket is not read: the kernel's buffers fill up
            while sent < 2**26:
                sent += client.wire.sock.send(client_frame(BINARY, b"x" * 60000))
        assert get(server, "/seen?name=swallowed") == [1]
        with open_socket(server, "/echo") as other:
            other.send("others go on")
            assert other.recv() == "others go on"
    get(server, "/open?name=swallow")


# Failures


def test_a_consumer_that_raises_closes_its_socket_with_1011(server):
    with open_socket(server, "/fail") as client:
        client.send("echo")
        assert client.recv() == "echo"
        client.send("fail")
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1011
    assert "asked to fail" in server.wait_for_log("the consumer failed: websocket.receive path=")


def test_a_consumer_that_raises_goes_on_when_its_route_says_so(server):
    with open_socket(server, "/continue") as client:
        client.send("fail")
        client.send("echo")
        assert client.recv() == "echo"


def test_a_connect_that_raises_is_a_500(server):
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server, "/fail-connect")
    assert caught.value.response.status_code == 500


def test_a_connect_that_does_not_answer_is_a_504(server):
    with RawSocket(server, "/hold") as client:
        assert client.read_response().status == 504
    get(server, "/open?name=hold")


# The end


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        (close_frame(1000), 1000, ""),
        (close_frame(1001, "leaving"), 1001, "leaving"),
        (close_frame(4321), 4321, ""),
        (client_frame(CLOSE), 1005, ""),
        (b"", 1006, ""),
        (None, 1006, ""),
    ],
)
def test_the_disconnect_consumer_runs_once_with_the_code(server, end, code, reason):
    path = f"/gone/{code}-{end is None}-{len(end or b'')}"
    with RawSocket(server, path) as client:
        client.read_response()
        if end is None:
            client.wire.reset()
        else:
            client.send(end)
    find = lambda: [each for each in get(server, "/seen?name=disconnects") if each[0] == path]  # noqa: E731
    server.wait_for(find, "the disconnect")
    with open_socket(server, "/echo") as other:  # whatever would come twice has come by then
        other.send("x")
        other.recv()
    assert find() == [[path, code, reason]]


def test_nothing_is_left_of_sockets_that_ended(server):
    for _ in range(20):
        with RawSocket(server, "/echo", with_it=client_frame(TEXT, b"x")) as client:
            client.read_response()

    def is_idle():
        figures = get(server, "/statistics")
        return figures["websockets"] == 0 and figures["connections"] == 1

    server.wait_for(is_idle, "the sockets to be given up")


# The generic classes


def test_a_json_consumer_sees_values_and_is_in_its_groups(server):
    with open_socket(server, "/sums") as client:
        client.send("[1, 2, 3]")
        assert json.loads(client.recv()) == {"sum": 6}
        assert get(server, "/members?group=sums") == 1
        client.send("not JSON")
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1007
    server.wait_for(lambda: get(server, "/members?group=sums") == 0, "the group to be empty")


def test_a_demultiplexer_has_several_streams_on_one_socket(server):
    with open_socket(server, "/streams") as client:
        for stream in ("upper", "lower"):
            client.send(json.dumps({"stream": stream, "payload": {"say": "aB"}}))
        answers = [json.loads(client.recv()) for _ in range(2)]
        assert answers == [
            {"stream": "upper", "payload": {"say": "AB"}},
            {"stream": "lower", "payload": {"say": "ab"}},
        ]
        client.send(json.dumps({"stream": "other", "payload": 1}))
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1007


# Long polls


def test_long_polls_are_answered_through_a_group(server):
    answers = []

    def poll():
        with urllib.request.urlopen(f"{server.url}/poll", timeout=10) as response:
            answers.append((response.headers["X-Poll"], response.read()))

    polls = [threading.Thread(target=poll) for _ in range(5)]
    for each in polls:
        each.start()
    server.wait_for(lambda: get(server, "/members?group=polls") == 5, "the polls")
    get(server, "/answer-polls?text=now")
    for each in polls:
        each.join(10)
    assert answers == [("yes", b"now")] * 5
    get(server, "/answer-polls?text=nobody")
    server.wait_for(lambda: get(server, "/members?group=polls") == 0, "the group to be empty")
