"""A group with history: what a client that comes back gets, and what it is told."""

from __future__ import annotations

import json

import pytest

from tests.wsgi_bridge.testing.conftest import ipc_url, layer_url, redis_url
from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import Bridge, Group, InvalidMessage, route
from wsgi_bridge.layers.storage_base import Position
from wsgi_bridge.testing import Client

__all__ = ["ipc_url", "layer_url", "redis_url"]

KEEP = 5
TTL = 300.0


def orders(layer=None):
    return Group("orders", layer, history=KEEP, ttl=TTL)


def come_back(message):
    orders().subscribe(message, message["query_string"].decode())


def subscribe(message):
    orders().subscribe(message, message["text"])


@pytest.fixture
def client(layer_url):
    routing = [
        route("websocket.connect", come_back, path="^/orders$"),
        route("websocket.receive", subscribe, path="^/later$"),
        route("publish", lambda message: orders().send(dict(message["content"]))),
    ]
    with Client(Bridge(answers("200 OK"), routing), layer=layer_url) as client:
        client.layer.flush()
        yield client


def send(client, *texts):
    for text in texts:
        orders(client.layer).send({"text": text})
    client.run()


def open_at(client, since=""):
    """Return a socket that comes back, and the frame that it gets first."""
    socket = client.websocket(f"/orders?{since}")
    return socket, socket.receive_json()


def test_a_message_says_its_place(client):
    socket, first = open_at(client)
    send(client, "a", '{"b": 1}')
    assert first["offset"] == 0
    assert [socket.receive_json() for _ in range(2)] == [
        {"epoch": first["epoch"], "offset": 1, "data": "a"},
        {"epoch": first["epoch"], "offset": 2, "data": '{"b": 1}'},
    ]


def test_who_comes_back_gets_what_it_missed_and_then_what_is_new(client):
    socket, first = open_at(client)
    send(client, "a")
    place = socket.receive_json()
    socket.close()
    send(client, "b", "c")
    socket, first = open_at(client, f"{place['epoch']}:{place['offset']}")
    assert first == {
        "group": "orders",
        "epoch": place["epoch"],
        "offset": 3,
        "recovered": ["b", "c"],
    }
    send(client, "d")
    assert socket.receive_json() == {"epoch": place["epoch"], "offset": 4, "data": "d"}


def test_who_missed_nothing_is_told_that(client):
    send(client, "a")
    _, first = open_at(client, str(orders(client.layer).position()))
    assert (first["offset"], first["recovered"]) == (1, [])


def test_who_was_away_for_too_long_is_told_so(client):
    place = orders(client.layer).position()
    send(client, *"abcdef")
    _, first = open_at(client, str(place))
    assert (first["offset"], first["recovered"]) == (6, None)
    _, first = open_at(client, f"{place.epoch}:1")
    assert first["recovered"] == ["b", "c", "d", "e", "f"]


def test_what_has_expired_is_not_left_out(client):
    place = orders(client.layer).position()
    send(client, "a")
    client.clock.advance(TTL - 1)
    send(client, "b")
    assert open_at(client, str(place))[1]["recovered"] == ["a", "b"]
    client.clock.advance(1)
    assert open_at(client, str(place))[1]["recovered"] is None
    assert open_at(client, f"{place.epoch}:1")[1]["recovered"] == ["b"]


def test_a_layer_that_lost_its_data_has_another_epoch(client):
    place = orders(client.layer).position()
    send(client, "a")
    client.layer.flush()
    send(client, "b")
    _, first = open_at(client, str(place))
    assert first["recovered"] is None
    assert first["epoch"] != place.epoch


@pytest.mark.parametrize(
    "since", ["", "x", ":", "x:", ":1", "x:-1", "x:1", "x:99999999999999999999"]
)
def test_a_place_that_is_none_recovers_nothing_and_breaks_nothing(client, since):
    send(client, "a")
    assert open_at(client, since)[1]["recovered"] is None


def test_a_place_that_is_still_to_come_recovers_nothing(client):
    epoch, _ = orders(client.layer).position()
    assert orders(client.layer).recover(f"{epoch}:7").messages is None


def test_a_place_survives_its_text():
    place = Position("Qx-_3", 17)
    assert str(place) == "Qx-_3:17"
    assert Position.parse(str(place)) == place


def test_recovered_messages_are_what_members_got(client):
    group = orders(client.layer)
    channel = client.layer.new_channel("test?")
    place = group.position()
    group.add(channel)
    send(client, "a", "b")
    assert group.recover(place).messages == client.messages(channel)


def test_a_consumer_sends_in_order_when_it_ends(client):
    socket, _ = open_at(client)
    client.send("publish", {"content": {"text": "a"}})
    assert socket.receive_json()["data"] == "a"


def test_a_socket_that_is_open_may_subscribe_too(client):
    with client.websocket("/later") as socket:
        place = orders(client.layer).position()
        send(client, "a")
        socket.send(str(place))
        assert socket.receive_json()["recovered"] == ["a"]
        send(client, "b")
        assert socket.receive_json()["data"] == "b"


def test_what_has_no_text_keeps_its_place(client):
    place = orders(client.layer).position()
    orders(client.layer).send({"text": None, "close": False, "price": 3})
    send(client, "b")
    assert open_at(client, str(place))[1]["recovered"] == [None, "b"]


def test_more_than_a_message_may_hold_cannot_be_recovered(client):
    place = orders(client.layer).position()
    size = client.layer.max_message_size // (KEEP - 1)
    for _ in range(KEEP):
        orders(client.layer).send({"text": size * "x"})
    assert open_at(client, str(place))[1]["recovered"] is None


def test_bytes_have_no_place_to_say_their_place():
    with pytest.raises(InvalidMessage, match="sent text"):
        orders().send({"bytes": b"x"})


def test_a_group_without_history_says_so():
    with pytest.raises(ValueError, match="keeps no history"):
        Group("orders").recover("x:1")


@pytest.mark.parametrize("options", [{"history": -1}, {"history": 1.5}, {"history": 1, "ttl": 0}])
def test_numbers_that_cannot_be_are_refused(options):
    with pytest.raises(ValueError, match=list(options)[-1]):
        Group("orders", **options)


def test_a_group_without_history_is_sent_what_it_is_sent(client):
    socket, _ = open_at(client)
    Group("orders", client.layer).send({"text": json.dumps({"offset": 1})})
    assert socket.receive_json() == {"offset": 1}
