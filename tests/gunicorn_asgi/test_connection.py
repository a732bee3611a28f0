"""HttpConnection: the corners that a real client reaches once in a while, made to happen."""

from __future__ import annotations

import gevent
import pytest

from gunicorn_asgi.connection import GONE_TIMEOUT, STOP_GRACE
from tests.gunicorn_asgi.rig import HttpRig, get, post, settle, wait_for
from wsgi_bridge.messages import BODY_WINDOW, RESPONSE_WINDOW
from wsgi_bridge.server.linger import LINGER_TIMEOUT

BIG = 70_000  # a body past what comes inline
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
CLOSED = {"content": b"", "more_content": False, "closed": True}


@pytest.fixture
def rig():
    with HttpRig() as rig:
        yield rig


def read_content(client, size):
    data = b""
    while len(data) < size:
        data += client._reader.buffer or client.sock.recv(65536)
        client._reader.buffer.clear()
    return data


def test_one_request_is_sent_on_and_answered(rig):
    client = rig.accept(get("/a"))
    request = rig.request()
    assert (request["path"], request["client"]) == ("/a", ["192.0.2.7", 40000])
    assert request["reply_channel"].startswith(rig.server.reply_prefix)
    rig.answer(request)
    assert b"Content-Length: 2" in client.read_head()
    assert read_content(client, 2) == b"ok"
    assert len(rig.http.connections) == 1
    assert rig.server.connections == {}


def test_an_answer_to_a_request_that_is_over_is_dropped(rig):
    client = rig.accept(get("/a") + get("/b"))
    first = rig.request()
    rig.answer(first, b"")
    client.read_head()
    second = rig.request()
    rig.answer(first, b"late")
    rig.answer(second, b"")
    assert b"Content-Length: 0" in client.read_head()


def test_requests_behind_the_first_wait_for_its_answer(rig):
    rig.accept(get("/a") + get("/b"))
    first = rig.request()
    settle()
    assert rig.poll("http.request") is None
    rig.answer(first)
    assert rig.request()["path"] == "/b"


def test_a_group_message_may_be_the_answer(rig):
    client = rig.accept(get("/poll"))
    rig.layer.group_add("polls", rig.request()["reply_channel"])
    rig.layer.send_group("polls", {"status": 204})
    assert client.read_head().startswith(b"HTTP/1.1 204 ")
    rig.layer.send_group("polls", {"status": 204})
    wait_for(lambda: not rig.layer.group_channels("polls"), "the request to be forgotten")


def test_a_handshake_behind_a_request_takes_the_socket_over(rig):
    client = rig.accept(get("/a") + HANDSHAKE + b"\x81\x82\0\0\0\0hi")
    rig.answer(rig.request(), b"")
    client.read_head()
    channel, connect = rig.take()
    assert (channel, connect["path"]) == ("websocket.connect", "/chat")
    rig.layer.send(connect["reply_channel"], {"accept": True})
    assert client.read_head().startswith(b"HTTP/1.1 101 ")
    assert rig.take()[1]["text"] == "hi"
    assert rig.http.connections == set()


def test_a_refused_handshake_ends_the_connection(rig):
    client = rig.accept(HANDSHAKE.replace(b"Version: 13", b"Version: 8"))
    assert client.read_to_end().startswith(b"HTTP/1.1 426 ")


# Time


def test_a_connection_that_is_left_alone_is_closed_after_keepalive(rig):
    client = rig.accept(get())
    rig.answer(rig.request(), b"")
    client.read_head()
    rig.advance(1.9)
    assert len(rig.http.connections) == 1
    rig.advance(0.2)
    assert client.read_to_end() == b""
    assert rig.is_closed


def test_keepalive_is_counted_from_when_the_answer_has_gone_out(rig):
    client = rig.accept(get(), buffer=4096)
    rig.answer(rig.request(), b"x" * 250_000)
    settle()
    rig.advance(60)
    assert len(rig.http.connections) == 1
    client.read_head()
    assert read_content(client, 250_000) == b"x" * 250_000
    client.send(get("/again"))
    assert rig.request()["path"] == "/again"


def test_a_head_has_its_time_from_its_first_byte_on(rig):
    client = rig.accept(get()[:1])
    settle()
    rig.advance(6)
    client.send(get()[1:-1])
    settle()
    rig.advance(6)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")
    client.close()
    wait_for(lambda: rig.is_closed, "the connection's end")


def test_a_head_that_began_behind_the_last_request_has_its_time_too(rig):
    client = rig.accept(get() + get()[:-1])
    rig.answer(rig.request(), b"")
    client.read_head()
    settle()
    rig.advance(5)
    rig.advance(4)
    client.send(get()[-1:])
    rig.answer(rig.request(), b"")
    client.send(get()[:-1])
    client.read_head()
    settle()
    rig.advance(11)
    settle()
    rig.advance(11)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_an_answer_has_its_time():
    with HttpRig(http_timeout=30) as rig:
        client = rig.accept(get())
        request = rig.request()
        rig.advance(29)
        settle()
        rig.advance(2)
        assert client.read_to_end().startswith(b"HTTP/1.1 504 ")
        # A stream that begins now is told.
        rig.answer(request, more_content=True, flow_channel="flow?a")
        assert rig.take("flow?a")[1] == {"closed": True}


def test_an_upload_takes_as_long_as_it_takes_and_the_answer_has_its_time_after_it():
    with HttpRig(http_timeout=30, body_timeout=0) as rig:
        client = rig.accept(post(BIG))
        request = rig.request()
        for piece in (b"as", b"slow", b"as", b"can be"):
            rig.advance(20)
            client.send(piece)
            chunk = rig.take(request["body_channel"])[1]
            assert chunk["content"] == piece
        rig.advance(31)
        assert client.read_to_end().startswith(b"HTTP/1.1 504 ")


def test_a_short_body_is_awaited_as_long_as_it_grows():
    with HttpRig(min_body_rate=0) as rig:
        client = rig.accept(post(6))
        for piece in (b"sl", b"ow", b"ly"):
            settle()
            rig.advance(40)
            client.send(piece)
        assert rig.request()["body"] == b"slowly"


def test_a_short_body_that_grows_no_more_is_a_408():
    with HttpRig() as rig:
        client = rig.accept(post(6) + b"slo")
        settle()
        rig.advance(59)
        rig.advance(2)
        assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_consumer_that_still_reads_the_body_is_told_of_the_504():
    with HttpRig(http_timeout=30) as rig:
        rig.accept(post(BIG) + b"half")
        request = rig.request()
        rig.advance(31)
        settle()
        assert rig.chunks(request)[-1] == CLOSED


# Clients that go away


def test_a_client_that_leaves_is_a_disconnect_with_the_paths_own_form(rig):
    client = rig.accept(get("/a%20b/%C3%A9?query"))
    request = rig.request()
    client.close()
    message = rig.take("http.disconnect")[1]
    assert message == {"reply_channel": request["reply_channel"], "path": "/a b/é"}
    assert message["path"] == request["path"]


def test_an_answer_that_never_comes_is_not_awaited_for_long_when_the_client_left(rig):
    client = rig.accept(get())
    rig.request()
    client.close()
    rig.take("http.disconnect")
    rig.advance(GONE_TIMEOUT + 0.1)
    wait_for(lambda: rig.is_closed, "the connection's end")


def test_a_half_closed_client_gets_its_answer(rig):
    client = rig.accept(get())
    client.sock.shutdown(1)
    rig.take("http.disconnect")
    rig.answer(rig.request())
    assert client.read_to_end().endswith(b"\r\n\r\nok")


def test_a_half_closed_client_gets_the_rest_of_an_answer_that_was_on_its_way(rig):
    client = rig.accept(get(), buffer=4096)
    rig.answer(rig.request(), b"x" * 250_000)
    settle()
    client.sock.shutdown(1)
    settle()
    assert client.read_to_end().endswith(b"x" * 250_000)


def test_a_request_whose_body_cannot_be_read_is_dropped_when_its_turn_comes(rig):
    client = rig.accept(get("/a") + CHUNKED + b"nonsense\r\n")
    rig.answer(rig.request())
    answers = client.read_to_end()
    assert b"ok" in answers
    assert b"HTTP/1.1 400 " in answers
    assert rig.poll("http.request") is None


def test_a_streaming_consumer_is_told_that_its_client_left(rig):
    client = rig.accept(get())
    request = rig.request()
    rig.answer(request, more_content=True, flow_channel="flow?a")
    client.read_head()
    client.close()
    assert rig.take("flow?a")[1] == {"closed": True}
    rig.send_on(request, closed=True)
    wait_for(lambda: rig.is_closed, "the connection's end")


# The request's body


def test_a_body_beyond_its_window_is_not_read(rig):
    client = rig.accept(post(10 * BIG), buffer=1 << 20)
    client.send(b"x" * 3 * BIG)
    request = rig.request()
    wait_for(lambda: rig.pending() >= 1)
    settle()
    got = sum(len(chunk["content"]) for chunk in rig.chunks(request))
    assert BODY_WINDOW <= got < 2 * BODY_WINDOW + 1
    rig.send_on(request, body_window=3 * BIG)
    while got < 3 * BIG:
        got += len(rig.take(request["body_channel"])[1]["content"])


def test_a_body_that_came_with_a_100_continue_head_does_not_stop_the_reading(rig):
    client = rig.accept(post(b"body", "Expect: 100-continue"))
    request = rig.request()
    rig.send_on(request, body_window=1000)
    rig.answer(request, b"")
    head = client.read_head()
    assert head.startswith(b"HTTP/1.1 200 "), "the body was there, nobody had to be told"
    client.send(get("/next"))
    assert rig.request()["path"] == "/next"


def test_chunks_that_find_their_channel_full_come_later_with_the_end():
    with HttpRig(capacity=2) as rig:
        client = rig.accept(CHUNKED)
        request = rig.request()
        for _ in range(5):
            client.send(b"1\r\nx\r\n")
            settle()
        client.send(b"0\r\n\r\n")
        settle()
        found = []
        while not found or found[-1]["more_content"]:
            found.append(rig.take(request["body_channel"])[1])
        assert b"".join(chunk["content"] for chunk in found) == b"xxxxx"


def test_a_reader_learns_that_the_client_left_though_its_channel_is_full():
    with HttpRig(capacity=2) as rig:
        client = rig.accept(CHUNKED)
        request = rig.request()
        for _ in range(5):
            client.send(b"1\r\nx\r\n")
            settle()
        client.close()
        settle()
        while not rig.take(request["body_channel"])[1].get("closed"):
            pass


def test_a_body_that_cannot_be_read_is_a_400_and_its_reader_is_told(rig):
    client = rig.accept(CHUNKED + b"1\r\nx\r\n")
    request = rig.request()
    client.send(b"nonsense\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 400 ")
    assert rig.chunks(request)[-1] == CLOSED


def test_a_refusal_waits_for_the_answers_before_it_and_disturbs_none(rig):
    client = rig.accept(get("/a") + b"nonsense\r\n\r\n")
    request = rig.request()
    rig.answer(request, more_content=True, flow_channel="flow?a")
    settle()
    assert rig.poll("flow?a") is None
    rig.send_on(request, content=b"more", more_content=False)
    answers = client.read_to_end()
    assert answers.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400 " in answers


# What is left behind


def test_nothing_of_a_finished_stream_lies_in_the_layer(rig):
    client = rig.accept(get())
    request = rig.request()
    rig.answer(request, b"x" * RESPONSE_WINDOW, more_content=True, flow_channel="flow?a")
    client.read_head()
    wait_for(lambda: rig.pending() == 1, "a report")
    reader = gevent.spawn(client.sock.recv, 1 << 20)
    rig.send_on(request, content=b"", more_content=False)
    wait_for(lambda: not rig.pending(), "the report to be taken away")
    reader.kill()


def test_nothing_of_an_ignored_upload_lies_in_the_layer_but_its_end(rig):
    client = rig.accept(post(BIG) + b"x" * 1000)
    request = rig.request()
    rig.answer(request)
    assert client.read_to_end().endswith(b"ok")
    assert rig.chunks(request) == [CLOSED]


def test_a_client_that_does_not_read_is_given_up_when_its_consumer_knows_no_flow():
    with HttpRig(write_buffer=1000) as rig:
        rig.accept(get(), buffer=4096)
        request = rig.request()
        rig.answer(request, b"x" * 200_000, more_content=True)
        wait_for(lambda: rig.is_closed, "the connection's end")
        assert rig.counters.slow_client_lost_count == 1


# The layer, and the end


def test_a_full_channel_is_tried_again_when_the_workers_had_their_turn():
    with HttpRig(capacity=1) as rig:
        taken = []
        first, second = rig.accept(), rig.accept()

        def take_soon():
            rig.server.loop.run_callback(lambda: taken.append(rig.poll("http.request")))

        listener = rig.layer.listen(["http.request"], take_soon)
        first.send(get("/a"))
        second.send(get("/b"))
        wait_for(lambda: len([item for item in taken if item]) == 2, "both requests")
        listener.close()
        assert rig.counters.refused_full_count == 0


def test_a_channel_that_stays_full_is_a_503():
    with HttpRig(capacity=1) as rig:
        rig.accept(get("/a"))
        settle()
        response = rig.accept(get("/b")).read_to_end()
        assert response.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in response
        assert rig.counters.refused_full_count == 1


def test_the_request_that_trips_max_requests_is_answered_as_the_last():
    with HttpRig(max_requests=2) as rig:
        client = rig.accept(get("/a") + get("/b") + get("/c"))
        for _ in range(2):
            rig.answer(rig.request())
        answers = client.read_to_end()
        assert answers.count(b"HTTP/1.1 200 ") == 2
        assert answers.count(b"Connection: close") == 1
        assert rig.exhausted == 1


def test_a_server_that_stops_closes_what_is_idle_and_finishes_the_rest(rig):
    idle = rig.accept(get("/a"))
    rig.answer(rig.request(), b"")
    idle.read_head()
    busy = rig.accept(get("/b"))
    request = rig.request()
    rig.http.stop()
    assert idle.read_to_end() == b""
    rig.answer(request)
    answer = busy.read_to_end()
    assert b"\r\nConnection: close\r\n" in answer
    for client in (idle, busy):
        client.close()
    wait_for(lambda: rig.is_closed, "the end of all connections")


@pytest.mark.parametrize("read_before", [0, 10])
@pytest.mark.parametrize("sent_before", [0, 10, 1000])
def test_a_server_that_stops_answers_a_request_that_is_on_its_way(rig, sent_before, read_before):
    data = get("/a")
    client = rig.accept(data[:read_before])
    settle()
    client.send(data[read_before:sent_before])
    rig.http.stop()
    client.send(data[max(read_before, sent_before) :])
    rig.answer(rig.request())
    assert b"\r\nConnection: close\r\n" in client.read_to_end()


def test_a_server_that_stops_does_not_wait_long_for_a_request(rig):
    fresh, begun = rig.accept(), rig.accept(get("/a")[:10])
    settle()
    rig.http.stop()
    rig.advance(STOP_GRACE + 0.1)
    assert fresh.read_to_end() == b""
    assert begun.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_server_that_stops_opens_no_websocket(rig):
    fresh = rig.accept()
    rig.http.stop()
    rig.server.stop()
    fresh.send(HANDSHAKE)
    assert fresh.read_to_end().startswith(b"HTTP/1.1 503 ")


def test_a_client_that_stays_after_its_last_answer_is_left_after_a_while(rig):
    client = rig.accept(get("/", "Connection: close"))
    rig.answer(rig.request())
    assert client.read_to_end().endswith(b"ok")
    assert rig.counters.connections == 1
    rig.advance(LINGER_TIMEOUT + 0.1)
    assert rig.is_closed


def test_a_finished_request_is_logged_with_what_was_sent(rig):
    client = rig.accept(get("/a"))
    request = rig.request()
    rig.clock.now += 1.5
    rig.answer(request, b"hello")
    client.read_head()
    ((entry, status, _, sent, seconds),) = rig.logged
    assert (entry[0].target, entry[1]) == (b"/a", ["192.0.2.7", 40000])
    assert (status, sent, seconds) == (200, 5, 1.5)


def test_an_answer_that_is_not_http_is_counted_and_logged_as_a_500(rig):
    client = rig.accept(get("/a") + get("/b"))
    rig.answer(rig.request(), headers=7)
    assert client.read_head().startswith(b"HTTP/1.1 500 ")
    rig.request()
    assert rig.counters.invalid_answers_count == 1
    assert [entry[1:3] for entry in rig.logged] == [(500, ())]


@pytest.mark.parametrize(
    "aside",
    [{"early_hints": 7}, {"early_hints": [[b"a"]]}, {"early_hints": [[b"a", b"b\r\nc"]]},
     {"body_window": "much"}, {"flow_channel": 7}, {"flow_channel": "a!b"}],
)  # fmt: skip
def test_an_aside_that_makes_no_sense_is_a_500_too_and_no_body_is_read_as_a_request(rig, aside):
    client = rig.accept(post(9, "Expect: 100-continue"))
    rig.send_on(rig.request(), **aside)
    client.send(b"GET /smuggled HTTP/1.1\r\n\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 500 ")
    assert rig.poll("http.request") is None
    assert rig.counters.invalid_answers_count == 1


def test_a_bad_aside_in_a_response_breaks_it_off(rig):
    client = rig.accept(post(100_000))
    request = rig.request()
    rig.answer(request, more_content=True)
    rig.send_on(request, body_window="more")
    assert client.read_to_end().endswith(b"2\r\nok\r\n")
