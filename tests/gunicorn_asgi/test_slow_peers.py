"""HttpConnection and clients that send too slowly, read too slowly, or ask for too much at once."""

from __future__ import annotations

import socket

import gevent
import pytest

from gunicorn_asgi.addresses import AddressLimit, group_address
from gunicorn_asgi.server import MAX_UNSENT, Listener
from tests.gunicorn_asgi.rig import HttpRig, get, post, settle, wait_for
from wsgi_bridge.messages import BODY_WINDOW

BIG = 70_000  # a body past what comes inline
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HUGE = b"x" * 3_000_000  # more than a kernel takes for a client that reads nothing
CLOSED = {"content": b"", "more_content": False, "closed": True}


@pytest.fixture
def rig():
    """Ten bytes a second, over ten seconds, each way."""
    with HttpRig(
        body_timeout=10, min_body_rate=10, write_timeout=10, min_write_rate=10, write_buffer=1000
    ) as rig:
        yield rig


def drip(rig, client, data, seconds, piece=1):
    """Send a piece of `data` every other second; return whether the connection outlived that."""
    for at in range(0, seconds // 2 * piece, piece):
        client.send(data[at : at + piece])
        settle()
        rig.advance(2)
        settle()
        if not rig.http.connections:
            return False
    return True


# Bodies


@pytest.mark.parametrize("head", [post(1000), post(BIG), CHUNKED + b"fffff\r\n"])
def test_a_body_that_drips_is_a_408(rig, head):
    client = rig.accept(head)
    settle()
    assert not drip(rig, client, b"x" * 1000, 14)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")
    assert rig.counters.late_requests_count == 1


@pytest.mark.parametrize("head", [post(1000), post(BIG), CHUNKED + b"fffff\r\n"])
def test_a_body_at_the_least_rate_may_take_long(rig, head):
    client = rig.accept(head)
    settle()
    assert drip(rig, client, b"x" * 1000, 40, piece=25)


def test_a_body_clock_of_one_request_does_not_time_the_next(rig):
    client = rig.accept(post(4) + b"ha")
    settle()
    client.send(b"lf")
    request = rig.request()
    rig.advance(11)
    rig.answer(request, b"")
    assert client.read_head().startswith(b"HTTP/1.1 200 ")
    client.send(post(5) + b"ag")
    settle()
    rig.advance(9)
    client.send(b"ain")
    assert rig.request()["body"] == b"again"


def test_a_client_is_not_timed_while_its_body_waits_for_its_reader(rig):
    client = rig.accept(post(10 * BIG), buffer=1 << 20)
    client.send(b"x" * 2 * BODY_WINDOW)
    request = rig.request()
    wait_for(lambda: rig.pending() >= 1)
    settle()
    rig.advance(100)
    rig.send_on(request, body_window=10 * BIG)
    settle()
    rig.advance(9)
    assert len(rig.http.connections) == 1
    settle()  # what lay in the kernel has been counted now
    rig.advance(11)
    settle()
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_client_is_not_timed_before_it_is_told_to_continue(rig):
    client = rig.accept(post(BIG, "Expect: 100-continue"))
    request = rig.request()
    rig.advance(100)
    rig.send_on(request, body_window=BIG)
    assert client.read_head().startswith(b"HTTP/1.1 100 ")
    rig.advance(11)
    assert client.read_to_end().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_drips_under_its_answer_ends_both(rig):
    client = rig.accept(post(BIG))
    request = rig.request()
    rig.answer(request, b"so far", more_content=True, flow_channel="flow?a")
    client.read_head()
    rig.advance(11)
    settle()
    assert rig.chunks(request)[-1] == CLOSED
    assert rig.take("flow?a")[1] == {"closed": True}
    assert b"0\r\n\r\n" not in client.read_to_end()
    wait_for(lambda: rig.is_closed, "the connection's end")


# Answers


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_a_client_that_reads_nothing_is_given_up(rig, fields):
    rig.accept(get("/", *fields))
    rig.answer(rig.request(), HUGE)
    settle()
    rig.advance(1)
    rig.advance(9)
    assert len(rig.http.connections) == 1
    rig.advance(2)
    assert rig.is_closed
    assert rig.counters.slow_client_lost_count == 1


def test_a_client_that_reads_a_byte_now_and_then_is_given_up(rig):
    client = rig.accept(get())
    rig.answer(rig.request(), HUGE)
    for _ in range(8):
        settle()
        client.sock.recv(1)
        rig.advance(2)
    assert rig.is_closed


def test_a_client_that_reads_steadily_may_take_as_long_as_it_likes(rig):
    client = rig.accept(get())
    rig.answer(rig.request(), HUGE)
    total = 0
    while total < len(HUGE):
        settle()
        total += len(client.sock.recv(100_000))
        rig.advance(5)
    assert rig.counters.slow_client_lost_count == 0


def test_a_streams_consumer_is_told_of_a_client_that_reads_nothing(rig):
    rig.accept(get())
    rig.answer(rig.request(), HUGE, more_content=True, flow_channel="flow?a")
    settle()
    rig.advance(1)
    rig.advance(11)
    found = rig.take("flow?a")[1]
    assert found == {"closed": True}


def test_a_client_that_asks_and_does_not_read_is_not_asked_for_on(rig):
    client = rig.accept(get("/a") + get("/b") + get("/c"), buffer=4096)
    rig.answer(rig.request(), HUGE)
    settle()
    assert rig.poll("http.request") is None
    assert rig.server.timed == {rig.http.stalls, *rig.http.connections}
    size = 0
    while size < len(HUGE):
        size += len(client.sock.recv(65536))
    second = rig.request()
    assert second["path"] == "/b"
    rig.answer(second)
    assert rig.request()["path"] == "/c"


# Of one of these sizes the kernel takes the rest at once.
@pytest.mark.parametrize("more", range(0, 9000, 900))
def test_what_was_asked_before_a_bad_request_is_answered_to_one_who_reads_late(rig, more):
    client = rig.accept(get("/a") + get("/b") + b"no request\r\n\r\n", buffer=4096)
    rig.answer(rig.request(), HUGE + bytes(more))
    settle()
    size = 0
    while size < len(HUGE) + more:
        size += len(client.sock.recv(65536))
    second = rig.request()
    assert second["path"] == "/b"
    settle()
    rig.answer(second, b"the second")
    settle()
    rest = b""
    while part := client.sock.recv(65536):
        rest += part
    assert rest.index(b"the second") < rest.index(b"HTTP/1.1 400")


def test_one_who_has_read_its_answers_late_may_ask_again(rig):
    client = rig.accept(get("/a"), buffer=4096)
    rig.answer(rig.request(), HUGE)
    settle()
    client.send(get("/b"))
    settle()
    assert rig.poll("http.request") is None
    size = 0
    while size < len(HUGE):
        size += len(client.sock.recv(65536))
    assert rig.request()["path"] == "/b"


def test_a_kernel_holds_little_for_a_client_that_does_not_read(rig):
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = Listener(rig.http, sock)
        with socket.create_connection(sock.getsockname()):
            (connection,) = wait_for(lambda: rig.http.connections)
            option = (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            assert connection.sock.getsockopt(*option) == MAX_UNSENT
        listener.close()


# Many at once


def queued(rig):
    """How many requests wait behind those at work."""
    return sum(len(connection.queue or ()) for connection in rig.http.connections)


def read_body(rig, request):
    """Return a request's body, wherever it is."""
    if "body_channel" not in request:
        return request["body"]
    rig.send_on(request, body_window=1 << 30)
    content, has_more = request["body"], True
    while has_more:
        for chunk in wait_for(lambda: rig.chunks(request)):
            content, has_more = content + chunk["content"], chunk["more_content"]
    return content


@pytest.mark.parametrize("most", [0, 1, 3])
def test_more_requests_than_may_wait_wait_unread_and_are_answered_in_order(most):
    count = 100
    with HttpRig(max_pipelined=most) as rig:
        client = rig.accept(b"".join(get(f"/{number}") for number in range(count)))
        for number in range(count):
            request = rig.request()
            assert request["path"] == f"/{number}"
            assert queued(rig) <= max(1, most)
            rig.answer(request, b"")
        for _ in range(count):
            assert client.read_head().startswith(b"HTTP/1.1 200 ")
        client.send(get("/last"))
        assert rig.request()["path"] == "/last"


def test_who_sends_on_meanwhile_is_held_back_by_the_kernel():
    with HttpRig(max_pipelined=2) as rig:
        client = rig.accept(get("/a") * 3)
        rig.request()
        client.sock.setblocking(False)
        sent = 0
        with pytest.raises(BlockingIOError):
            while sent < 64 << 20:
                sent += client.sock.send(get("/a") * 1000)
                settle()
        assert queued(rig) <= 2


@pytest.mark.parametrize("size", [10, 200_000])
def test_a_body_among_those_that_wait_goes_to_its_own_request(size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    post = b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, body)
    with HttpRig(max_pipelined=1) as rig:
        client = rig.accept(get("/a"))
        first = rig.request()
        sender = gevent.spawn(client.send, get("/c") + post + get("/d"))
        settle()
        rig.answer(first, b"")
        request = rig.request()
        assert request["path"] == "/c"
        rig.answer(request, b"")
        request = rig.request()
        assert request["path"] == "/b"
        assert read_body(rig, request) == body
        rig.answer(request, b"")
        request = rig.request()
        assert request["path"] == "/d"
        rig.answer(request, b"")
        sender.join()
        for _ in range(4):
            assert client.read_head().startswith(b"HTTP/1.1 200 ")


def test_what_is_wrong_behind_those_that_wait_is_refused_after_them():
    with HttpRig(max_pipelined=1) as rig:
        client = rig.accept(get("/a") * 3 + b"bad\r\n\r\n" + get("/never"))
        for _ in range(3):
            rig.answer(rig.request(), b"")
        answers = client.read_to_end()
        assert answers.count(b"HTTP/1.1 200 ") == 3
        assert answers.count(b"HTTP/1.1 400 ") == 1
        assert rig.poll("http.request") is None


def test_half_a_request_behind_those_that_wait_has_its_time_and_no_more():
    with HttpRig(max_pipelined=1, head_timeout=3) as rig:
        client = rig.accept(get("/a") * 3 + b"GET /half")
        for _ in range(3):
            rig.answer(rig.request(), b"")
        settle()
        for _ in range(2):  # the time of an idle connection passes first
            rig.advance(rig.http.keepalive + 0.1)
        assert b"HTTP/1.1 408 " in client.read_to_end()


def test_a_stream_before_a_refusal_has_the_time_it_needs():
    with HttpRig(http_timeout=30) as rig:
        client = rig.accept(get("/a") + b"bad\r\n\r\n")
        request = rig.request()
        rig.answer(request, b"x", more_content=True, flow_channel="flow?a")
        settle()
        rig.advance(31)
        rig.send_on(request, content=b"end", more_content=False)
        answers = client.read_to_end()
        assert b"3\r\nend\r\n0\r\n\r\n" in answers
        assert b"HTTP/1.1 400 " in answers


def test_addresses_are_counted_one_by_one_and_proxies_not():
    limit = AddressLimit(2, lambda address: address == "10.0.0.1")
    keys = [limit.admit("192.0.2.7") for _ in range(2)]
    assert limit.admit("192.0.2.7") is None
    assert limit.admit("192.0.2.8") == "192.0.2.8"
    assert [limit.admit("10.0.0.1") for _ in range(5)] == [""] * 5
    limit.leave(keys[0])
    limit.leave("")
    assert limit.admit("192.0.2.7") == keys[0]


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_customers_addresses_are_one(address, group):
    assert group_address(address) == group


def test_an_address_with_too_many_connections_is_warned_of_once(caplog):
    limit = AddressLimit(1, lambda address: False)
    for told in (1, 2):
        key = limit.admit("192.0.2.7")
        assert [limit.admit("192.0.2.7") for _ in range(3)] == [None] * 3
        assert len(caplog.records) == told
        limit.leave(key)  # the last one: a burst is over
