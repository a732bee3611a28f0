"""What a server counts of requests and of what it refuses, by cause."""

from __future__ import annotations

import pytest

from tests.gunicorn_asgi.rig import HttpRig, get, post, settle, wait_for
from wsgi_bridge.figures import bucket_end

HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip


@pytest.fixture
def rig():
    with HttpRig() as rig:
        yield rig


def durations(rig):
    """Return the (first digit, end of the bucket) of each request that was answered."""
    return [
        (digit, bucket_end(at))
        for digit, row in rig.server.answers.histograms().items()
        for at, number in enumerate(row)
        for _ in range(number)
    ]


@pytest.mark.parametrize(
    ("status", "seconds", "counted"),
    [
        (200, 0.0, ("2", 0.00025)),
        (304, 0.0015, ("3", 0.002)),
        (404, 0.7, ("4", 1.024)),
        (500, 100, ("5", 131.072)),
    ],
)
def test_a_request_counts_by_its_status_and_duration(rig, status, seconds, counted):
    rig.accept(get())
    request = rig.request()
    rig.clock.now += seconds
    rig.answer(request, status=status, content=b"")
    assert wait_for(lambda: durations(rig)) == [counted]
    assert rig.server.answers.seconds == pytest.approx(seconds)


def test_a_stream_counts_when_it_ends(rig):
    client = rig.accept(get())
    request = rig.request()
    rig.answer(request, more_content=True)
    assert client.read_head().startswith(b"HTTP/1.1 200 ")
    assert durations(rig) == []
    rig.clock.now += 10
    rig.send_on(request, content=b"")
    assert wait_for(lambda: durations(rig)) == [("2", 16.384)]


def test_a_stream_that_is_broken_off_counts_by_what_it_began_with(rig):
    client = rig.accept(get())
    request = rig.request()
    rig.answer(request, more_content=True)
    assert client.read_head().startswith(b"HTTP/1.1 200 ")
    rig.send_on(request, content=b"", closed=True)
    assert wait_for(lambda: durations(rig)) == [("2", bucket_end(0))]


def test_a_request_that_is_broken_off_has_no_status(rig):
    rig.accept(get())
    rig.send_on(rig.request(), content=b"", closed=True)
    assert wait_for(lambda: durations(rig)) == [("0", bucket_end(0))]


def test_answers_without_a_consumer_count_too(rig):
    client = rig.accept(get())
    rig.request()
    rig.advance(301)
    assert client.read_to_end().startswith(b"HTTP/1.1 504 ")
    assert [digit for digit, _ in durations(rig)] == ["5"]
    assert rig.counters.late_answers_count == 1


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", get("/", "Content-Length: x"), get("/") + b"nonsense\r\n\r\n"]
)
def test_what_cannot_be_read_counts_once(rig, data):
    client = rig.accept(data)
    settle()
    if rig.pending():
        rig.answer(rig.request())
    assert b"HTTP/1.1 400 " in client.read_to_end()
    assert rig.counters.invalid_requests_count == 1
    assert rig.counters.late_requests_count == 0


def test_who_is_late_is_not_invalid():
    with HttpRig(head_timeout=1, body_timeout=1, min_body_rate=10) as rig:
        slow_head = rig.accept(b"GET / HT")
        slow_body = rig.accept(post(100))
        settle()
        rig.advance(2)
        rig.advance(2)
        for client in (slow_head, slow_body):
            assert client.read_to_end().startswith(b"HTTP/1.1 408 ")
        assert rig.counters.late_requests_count == 2
        assert rig.counters.invalid_requests_count == 0


def test_a_handshake_that_the_server_refuses_counts(rig):
    client = rig.accept(get("/chat", "Origin: http://elsewhere.example", *HANDSHAKE))
    assert client.read_to_end().startswith(b"HTTP/1.1 403 ")
    assert rig.counters.refused_handshakes_count == 1


def test_a_handshake_that_nobody_answers_counts(rig):
    client = rig.accept(get("/chat", *HANDSHAKE))
    assert rig.take()[0] == "websocket.connect"
    rig.advance(21)
    assert client.read_to_end().startswith(b"HTTP/1.1 504 ")
    assert rig.counters.late_answers_count == 1


def test_messages_count_in_both_directions(rig):
    client = rig.accept(get("/chat", *HANDSHAKE))
    reply = rig.take()[1]["reply_channel"]
    for answer in ({"accept": True}, {"text": "hello"}, {"bytes": b"hello"}, {"ack": 0}):
        rig.layer.send(reply, answer)
    assert client.read_head().startswith(b"HTTP/1.1 101 ")
    assert [client.read_frame()[1] for _ in range(2)] == [b"hello", b"hello"]
    assert rig.counters.websocket_answers_count == 2
