"""A WebSocket on a descriptor: handshake, events in order, the end, and what goes wrong."""

from __future__ import annotations

import gevent
import pytest

from tests.wsgi_bridge.protocols.frames import BINARY, CLOSE, PONG, TEXT, client_frame, close_frame
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge import open_layer
from wsgi_bridge.server.held_handshake import MAX_HELD
from wsgi_bridge.server.server import RETRY_DELAY


@pytest.fixture(params=[False, True], ids=["direct", "gathering"])
def gathers(request):
    """Whether events are put on the layer together."""
    return request.param


@pytest.fixture
def rig(gathers):
    with Rig(gathers=gathers) as made:
        yield made


def test_a_handshake_is_held_until_a_consumer_answers(rig):
    owner, client = rig.connect(subprotocols=("chat",))
    channel, message = rig.take()
    assert (channel, message["path"], message["order"]) == ("websocket.connect", "/chat", 0)
    assert (message["subprotocols"], message["reply_channel"]) == (["chat"], owner.reply_channel)
    assert rig.counters.websockets == rig.counters.websocket_connects_count == 1
    rig.reply(owner, {"accept": True, "subprotocol": "chat"})
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in client.read_head()


def test_a_refused_handshake_is_answered_logged_and_forgotten(rig):
    owner, client = rig.connect()
    rig.reply(owner, {"accept": False, "status": 401, "content": b"who?"})
    answer = client.read_to_end()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b"\r\n\r\nwho?")
    client.close()
    wait_for(rig.is_empty)
    [(request, status, _, _, _)] = rig.logged
    assert (request, status) == (("GET /chat", None), 401)
    assert rig.poll("websocket.disconnect") is None


def test_nobody_answers_the_handshake_in_time_504(rig):
    _, client = rig.connect()
    rig.advance(19)
    rig.advance(1.1)
    assert client.read_to_end().startswith(b"HTTP/1.1 504 ")


def test_the_layer_is_full_503():
    with Rig(open_layer("memory://", capacity=1)) as rig:
        rig.connect()
        _, client = rig.connect()
        answer = client.read_to_end()
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert rig.counters.refused_full_count == 1


@pytest.mark.parametrize("answer", [{"accept": True}, {"text": "hello"}])
def test_who_accepts_a_client_that_has_left_hears_that_it_has(rig, answer):
    owner, client = rig.connect()
    rig.take()
    client.close()
    settle()
    rig.reply(owner, answer)
    channel, message = rig.take()
    assert (channel, message["code"]) == ("websocket.disconnect", 1006)
    wait_for(rig.is_empty)


@pytest.mark.parametrize("answer", [{"accept": False}, {"close": True}])
def test_who_refuses_a_client_that_has_left_hears_no_more(rig, answer):
    owner, client = rig.connect()
    rig.take()
    client.close()
    settle()
    rig.reply(owner, answer)
    wait_for(rig.is_empty)
    assert rig.poll() is None


def test_a_client_that_leaves_is_forgotten_when_nobody_answers(rig):
    _, client = rig.connect()
    rig.take()
    client.close()
    settle()
    assert not rig.is_empty()
    rig.advance(rig.layer.expiry + 1)
    wait_for(rig.is_empty)
    assert rig.poll() is None


def test_frames_that_come_with_the_handshake_are_handled_after_the_answer(rig):
    owner, client = rig.connect()
    owner.resume(client_frame(TEXT, b"first"))
    client.send(client_frame(TEXT, b"second"))
    assert rig.take()[0] == "websocket.connect"
    settle()
    assert rig.poll() is None
    rig.reply(owner, {"accept": True})
    assert rig.take()[1]["text"] == "first"
    rig.acknowledge(owner, 1)
    assert rig.take()[1]["text"] == "second"


# Group messages and the handshake


def test_a_group_message_before_the_accept_is_delivered_after_it(rig):
    owner, client = rig.connect()
    rig.layer.group_add("g", owner.reply_channel)
    rig.layer.send_group("g", {"text": "early"})
    settle()
    rig.reply(owner, {"accept": True, "text": "hello"})
    client.read_head()
    assert [client.read_frame(), client.read_frame()] == [(TEXT, b"hello"), (TEXT, b"early")]


def test_a_group_message_to_a_refused_socket_is_dropped(rig):
    owner, client = rig.connect()
    rig.layer.group_add("g", owner.reply_channel)
    rig.layer.send_group("g", {"text": "early"})
    rig.reply(owner, {"close": True})
    assert b"early" not in client.read_to_end()


def test_the_group_messages_that_are_held_are_bounded_and_losses_counted(rig):
    owner, client = rig.connect()
    rig.layer.group_add("g", owner.reply_channel)
    for number in range(MAX_HELD + 3):
        rig.layer.send_group("g", {"text": str(number)})
        settle()
    rig.reply(owner, {"accept": True})
    client.read_head()
    assert [client.read_frame()[1] for _ in range(MAX_HELD)][-1] == b"99"
    assert rig.counters.slow_client_lost_count == 3


# Events, one at a time and in order


def test_the_keys_of_a_received_event(rig):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(BINARY, b""))
    base = {"reply_channel": owner.reply_channel, "path": "/chat"}
    assert rig.take() == ("websocket.receive", {**base, "text": "a", "order": 1})
    rig.acknowledge(owner, 1)
    assert rig.take() == ("websocket.receive", {**base, "bytes": b"", "order": 2})


def test_the_next_event_waits_for_the_acknowledgement(rig):
    owner, client = rig.open()
    for number in range(5):
        client.send(client_frame(TEXT, b"%d" % number))
    for number in range(5):
        assert rig.take()[1]["text"] == str(number)
        settle()
        assert rig.poll() is None
        rig.acknowledge(owner, number + 1)


def test_a_socket_whose_consumer_is_slow_is_not_read(rig):
    owner, client = rig.open(buffer=4096)
    client.sock.settimeout(0.05)
    frame = client_frame(BINARY, b"x" * 60000)
    with pytest.raises(TimeoutError):
        for _ in range(20):
            client.send(frame)
    assert not owner.is_reading
    assert len(owner.machine.inbox or ()) < 5


def test_an_event_that_finds_the_channel_full_is_not_dropped(gathers):
    layer = open_layer("memory://", channel_capacity={"websocket.receive": 1})
    with Rig(layer, gathers=gathers) as rig:
        owner, client = rig.open()
        other, other_client = rig.open()
        client.send(client_frame(TEXT, b"first"))
        settle()
        other_client.send(client_frame(TEXT, b"second"))
        settle()
        for _ in range(3):  # whatever else happens meanwhile, it is tried again once a time
            rig.reply(other, {"text": "x"})
            settle()
        wait_for(lambda: len(rig.server._retries) == 1)
        refusals = layer.channel_statistics("websocket.receive")["channel_full_count"]
        gevent.sleep(3 * RETRY_DELAY)
        tries = layer.channel_statistics("websocket.receive")["channel_full_count"] - refusals
        assert 1 <= tries <= 4  # one at a time, not as fast as it can
        assert rig.take()[1]["text"] == "first"
        assert rig.take()[1] | {"order": 1, "text": "second"} == rig_event(other, "second")
        assert owner.machine.order == other.machine.order == 1


def test_events_of_a_window_stay_in_order_when_the_channel_fills_up(gathers):
    layer = open_layer("memory://", channel_capacity={"websocket.receive": 2})
    with Rig(layer, gathers=gathers) as rig:
        owner, client = rig.open()
        owner.machine.window = 8
        client.send(b"".join(client_frame(TEXT, b"%d" % number) for number in range(8)))
        taken = [rig.take()[1] for _ in range(8)]
        assert [message["text"] for message in taken] == [str(number) for number in range(8)]
        assert [message["order"] for message in taken] == list(range(1, 9))


def rig_event(owner, text):
    return {"reply_channel": owner.reply_channel, "path": "/chat", "text": text, "order": 1}


def test_an_event_that_nobody_acknowledges_is_counted_and_the_next_goes_out(rig, caplog):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    rig.take()
    rig.advance(rig.layer.expiry - 1)
    assert rig.poll() is None
    rig.advance(2)
    assert rig.take()[1]["text"] == "b"
    assert rig.counters.unacknowledged_count == 1
    assert "not acknowledged" in caplog.text
    rig.acknowledge(owner, 2)
    settle()
    rig.advance(rig.layer.expiry + 1)
    assert rig.counters.unacknowledged_count == 1


def test_an_event_that_was_lost_with_its_worker_is_counted_and_the_next_goes_out(rig, caplog):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    rig.take()
    for _ in range(2):
        rig.layer.send(owner.reply_channel, {"ack": 1, "lost": True})
    assert rig.take()[1]["text"] == "b"
    assert rig.counters.unacknowledged_count == 1
    assert "lost with its worker process" in caplog.text


def test_an_event_that_was_acknowledged_is_not_counted_as_lost(rig):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    rig.take()
    rig.acknowledge(owner, 1)
    rig.layer.send(owner.reply_channel, {"ack": 1, "lost": True})
    assert rig.take()[1]["text"] == "b"
    settle()
    assert rig.counters.unacknowledged_count == 0
    assert rig.poll() is None


def test_a_ping_is_answered_while_the_consumer_is_slow(rig):
    _, client = rig.open()
    client.send(client_frame(9, b"before") + client_frame(TEXT, b"a"))
    assert client.read_frame() == (PONG, b"before")


# The end


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (close_frame(1000), 1000, ""),
        (close_frame(1001, "bye"), 1001, "bye"),
        (client_frame(CLOSE), 1005, ""),
        (b"", 1006, ""),
        (client_frame(TEXT, b"\xff"), 1007, "text is not UTF-8"),
    ],
)
def test_the_consumer_learns_of_the_end_once(rig, data, code, reason):
    owner, client = rig.open()
    client.send(data)
    client.close()
    expected = {"reply_channel": owner.reply_channel, "path": "/chat", "order": 1}
    channel, message = rig.take()
    assert (channel, message) == (
        "websocket.disconnect",
        {**expected, "code": code, "reason": reason},
    )
    wait_for(rig.is_empty)
    assert rig.poll() is None


def test_the_end_waits_for_every_event_before_it(rig):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(TEXT, b"b") + close_frame(1000))
    client.close()
    assert rig.take()[1]["order"] == 1
    settle()
    assert rig.poll() is None
    rig.acknowledge(owner, 1)
    assert rig.take()[1]["order"] == 2
    rig.acknowledge(owner, 2)
    channel, message = rig.take()
    assert (channel, message["order"], message["code"]) == ("websocket.disconnect", 3, 1000)


def test_the_end_comes_also_when_nobody_acknowledges(rig):
    _, client = rig.open()
    client.send(client_frame(TEXT, b"a") + close_frame(1000))
    client.close()
    rig.take()
    settle()
    rig.advance(rig.layer.expiry + 1)
    assert rig.take()[0] == "websocket.disconnect"


def test_the_end_that_finds_the_channel_full_comes_later():
    with Rig(open_layer("memory://", channel_capacity={"websocket.disconnect": 1})) as rig:
        clients = [rig.open()[1] for _ in range(2)]
        for client in clients:
            client.close()
        wait_for(lambda: rig.server._retries)
        assert rig.take()[0] == rig.take()[0] == "websocket.disconnect"
        wait_for(rig.is_empty)


def test_a_socket_that_ended_is_in_no_group(rig):
    owner, client = rig.open()
    rig.layer.group_add("g", owner.reply_channel)
    client.close()
    wait_for(rig.is_empty)
    assert rig.layer.group_channels("g") == []


def test_a_close_is_complete_when_the_peer_has_answered(rig):
    owner, client = rig.open()
    rig.reply(owner, {"close": 4000, "reason": "enough"})
    assert client.read_frame() == (CLOSE, (4000, "enough"))
    client.answer_close(4000)
    with pytest.raises(EOFError):
        client.read_frame()
    assert rig.take()[1]["code"] == 4000


def test_a_peer_that_does_not_answer_the_close_is_cut_off(rig):
    owner, client = rig.open()
    rig.reply(owner, {"close": 4000})
    assert client.read_frame() == (CLOSE, (4000, ""))
    rig.advance(5.1)
    with pytest.raises(EOFError):
        client.read_frame()
    assert rig.take()[1]["code"] == 1006
    wait_for(rig.is_empty)


def test_a_close_is_seen_though_frames_wait_for_a_consumer(rig):
    owner, client = rig.open()
    client.send(client_frame(TEXT, b"a") + client_frame(TEXT, b"b"))
    rig.take()
    wait_for(lambda: not owner.is_reading)
    rig.reply(owner, {"close": True, "ack": 1})
    assert client.read_frame() == (CLOSE, (1000, ""))
    client.answer_close(1000)
    with pytest.raises(EOFError):
        client.read_frame()  # at once, not after close_timeout


def test_a_stop_closes_what_is_open_and_refuses_what_connects(rig):
    _, opened = rig.open()
    _, connecting = rig.connect()
    rig.server.stop(1012)
    assert opened.read_frame() == (CLOSE, (1012, ""))
    answer = connecting.read_to_end()
    assert answer.startswith(b"HTTP/1.1 503 ")
    opened.answer_close(1012)
    rig.take("websocket.connect")
    assert rig.take()[1]["code"] == 1012


def test_the_access_log_has_status_bytes_and_seconds(rig):
    owner, client = rig.open()
    rig.reply(owner, {"text": "x" * 100})
    client.read_frame()
    rig.clock.now += 7
    sent = owner.out.total
    client.send(close_frame(1000))
    client.close()
    wait_for(rig.is_empty)
    [(request, status, _, size, seconds)] = rig.logged
    assert (request, status, seconds) == (("GET /chat", None), 101, 7)
    assert size == sent + 4  # the close frame
