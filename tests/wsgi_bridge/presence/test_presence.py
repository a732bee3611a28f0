"""Who is in a group, and who is said to have come and gone: on every kind of layer."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.wsgi_bridge.presence.conftest import GRACE, room
from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import (
    Bridge,
    ChannelLayerUnavailable,
    Group,
    InvalidMessage,
    Member,
    open_layer,
    route,
)
from wsgi_bridge.presence import JOIN, LEAVE
from wsgi_bridge.presence.register import SWEEP
from wsgi_bridge.presence.roll import CHECK
from wsgi_bridge.testing import Client

ADA, BOB = {"id": "ada", "name": "Ada"}, {"id": "bob", "name": "Bob"}


def people(client):
    return {each.id: len(each.channels) for each in Group("room", client.layer).present()}


def test_who_comes_is_announced_and_who_has_gone_for_the_grace(client, site):
    socket = client.websocket("/ada")
    assert site.events == [(JOIN, "ada")]
    assert people(client) == {"ada": 1}
    socket.close()
    assert site.events == [(JOIN, "ada")]
    assert people(client) == {"ada": 0}
    client.clock.advance(GRACE - 1)
    assert site.events == [(JOIN, "ada")]
    client.clock.advance(1)
    assert site.events == [(JOIN, "ada"), (LEAVE, "ada")]
    assert people(client) == {}


def test_an_event_says_who_where_and_after_what(client, site):
    with client.websocket("/ada"):
        pass
    client.clock.advance(GRACE)
    [join, leave] = site.messages
    assert join.pop("order") < leave.pop("order")
    assert join == leave == {"group": "room", "id": "ada", "data": ADA}


def test_a_socket_that_is_lost_is_one_that_has_gone(client, site):
    client.websocket("/ada").abort()
    client.clock.advance(GRACE)
    assert site.events == [(JOIN, "ada"), (LEAVE, "ada")]


def test_two_tabs_are_one_user(client, site):
    with client.websocket("/ada"):
        with client.websocket("/ada"):
            assert people(client) == {"ada": 2}
        client.clock.advance(GRACE + SWEEP)
        assert people(client) == {"ada": 1}
    client.clock.advance(GRACE)
    assert site.events == [(JOIN, "ada"), (LEAVE, "ada")]


def test_a_page_that_is_loaded_again_is_nobodys_business(client, site):
    for _ in range(5):
        client.websocket("/ada").close()
        client.clock.advance(GRACE - 1)
    with client.websocket("/ada"):
        client.clock.advance(2 * SWEEP)
        assert site.events == [(JOIN, "ada")]


def test_who_comes_back_after_the_grace_comes_anew(client, site):
    for _ in range(2):
        client.websocket("/ada").close()
        client.clock.advance(GRACE)
    assert site.events == 2 * [(JOIN, "ada"), (LEAVE, "ada")]
    orders = [message["order"] for message in site.messages]
    assert orders == sorted(set(orders))


def test_a_discard_is_a_departure(client, site):
    with client.websocket("/ada") as socket:
        socket.send("leave")
        client.clock.advance(GRACE)
        assert site.events == [(JOIN, "ada"), (LEAVE, "ada")]
    client.clock.advance(GRACE + SWEEP)
    assert len(site.events) == 2


def test_everybody_is_told_apart(client, site):
    with client.websocket("/ada"), client.websocket("/bob") as bob:
        bob.close()
        client.clock.advance(GRACE)
        assert site.events == [(JOIN, "ada"), (JOIN, "bob"), (LEAVE, "bob")]
        assert people(client) == {"ada": 1}


def test_the_room_hears_of_it(client):
    with client.websocket("/ada") as ada, client.websocket("/bob") as bob:
        assert ada.receive_json() == [JOIN, "ada"]
        assert ada.receive_json() == bob.receive_json() == [JOIN, "bob"]


def test_a_socket_that_nobody_saw_go_is_missed_by_the_next_sweep(client, site):
    """As of an event stream whose process was killed: there is no word of its end."""
    stream = client.layer.new_channel("stream?")
    Group("room", client.layer, presence=True, grace=GRACE).add(stream, ADA)
    client.run()
    client.layer.forget_channel(stream)
    client.clock.advance(SWEEP)
    client.clock.advance(GRACE)
    assert site.events == [(JOIN, "ada"), (LEAVE, "ada")]


def test_nothing_is_scheduled_for_a_group_that_is_empty(client):
    client.websocket("/ada").close()
    client.clock.advance(GRACE)
    client.clock.advance(2 * SWEEP)
    assert client.layer.storage.release_due().next_due is None


def test_sweeps_that_were_lost_are_planned_again(client, site):
    stream = client.layer.new_channel("stream?")
    Group("room", client.layer, presence=True, grace=GRACE).add(stream, ADA)
    client.run()
    client.messages(stream)  # a stream that does not read is forgotten
    client.layer.storage.cancel(CHECK, "sweep room")
    client.clock.advance(10 * SWEEP)
    with client.websocket("/bob"):
        client.layer.forget_channel(stream)
        client.clock.advance(SWEEP)
        client.clock.advance(GRACE)
        assert site.events[2:] == [(LEAVE, "ada")]


def test_the_same_user_again_with_other_data_is_no_event(client, site):
    with client.websocket("/ada"):
        [channel] = client.group("room").channels()
        with Client.visitor(client).websocket("/bob"):
            group = Group("room", client.layer, presence=True, grace=GRACE)
            group.add(channel, {"id": "ada", "name": "Countess"})
            client.run()
            assert [each.data["name"] for each in group.present()] == ["Countess", "Bob"]
    client.clock.advance(GRACE)
    assert [message["data"]["name"] for message in site.messages[2:]] == ["Countess", "Bob"]


def test_members_are_sockets_with_their_data(client):
    with client.websocket("/ada"), client.websocket("/ada"):
        group = Group("room", client.layer)
        group.add("test!lurker")
        members = group.members()
    assert Member("test!lurker", None) in members
    assert [member.data for member in members if member.data] == [ADA, ADA]


def test_data_without_presence_are_just_data(client, site):
    other = Group("other", client.layer)
    other.add("test!1", {"colour": "red"})
    client.run()
    assert other.members() == [Member("test!1", {"colour": "red"})]
    assert other.present() == []
    assert site.events == []


def test_a_member_without_data_is_nobody(client, site):
    Group("room", client.layer, presence=True).add("test!1")
    client.run()
    assert people(client) == {}
    assert site.events == []


@pytest.mark.parametrize("data", [{}, {"name": "Ada"}, {"id": None}, {"id": ""}, {"id": True}])
def test_who_is_present_has_an_id(data):
    with (
        closing(open_layer("memory://")) as layer,
        pytest.raises(InvalidMessage, match="who a member is"),
    ):
        Group("room", layer, presence=True).add("test!1", data)


def test_an_id_is_told_by_its_text(client):
    for number, each in enumerate([7, "7"]):
        Group("room", client.layer, presence=True).add(f"test!{number}", {"id": each})
    assert len(people(client)) == 1


def test_a_socket_in_two_rooms_leaves_both(layer_url):
    events = []

    def enter(message):
        for name in ("one", "two"):
            Group(name, presence=True, grace=0.0).add(message, ADA)

    def note(message):
        events.append((message.channel_name, message["group"]))

    bridge = Bridge(
        answers("200 OK"),
        [route("websocket.connect", enter), route(JOIN, note), route(LEAVE, note)],
    )
    with Client(bridge, layer=layer_url) as client:
        client.layer.flush()
        client.websocket("/").close()
        client.clock.advance(1)
    assert sorted(events[:2]) == [(JOIN, "one"), (JOIN, "two")]
    assert sorted(events[2:]) == [(LEAVE, "one"), (LEAVE, "two")]


def test_a_site_without_a_route_for_the_events_keeps_nothing(layer_url):
    def enter(message):
        room().add(message, ADA)

    bridge = Bridge(answers("200 OK"), [route("websocket.connect", enter)])
    with Client(bridge, layer=layer_url) as client:
        client.layer.flush()
        with client.websocket("/"):
            assert people(client) == {"ada": 1}
        assert people(client) == {}
        assert client.layer.storage.release_due().next_due is None
        assert client.messages(CHECK) == []


def test_a_crowd_comes_in_more_messages_than_a_channel_holds(layer_url):
    """Those asking to look find their channel full, and the events theirs."""
    joined = []
    bridge = Bridge(answers("200 OK"), [route(JOIN, lambda message: joined.append(message["id"]))])
    with Client(bridge, layer=layer_url) as client:
        client.layer.flush()
        group = Group("room", client.layer, presence=True)
        for number in range(250):
            group.add(f"test!{number}", {"id": number})
        client.run()
        for _ in range(5):
            client.clock.advance(0.5)
    assert sorted(joined) == list(range(250))


def test_an_event_that_cannot_be_sent_is_logged_and_the_rest_goes_on(client, site, caplog):
    socket = client.websocket("/ada")
    layer = client.layer
    send = layer.send

    def fail(channel, message):
        if channel == LEAVE and message["id"] == "ada":
            raise ChannelLayerUnavailable("gone")
        send(channel, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "send", fail)
        socket.close()
        client.websocket("/bob").close()
        client.clock.advance(GRACE)
    assert "a group.leave of room is lost" in caplog.text
    assert site.events == [(JOIN, "ada"), (JOIN, "bob"), (LEAVE, "bob")]
    assert people(client) == {}
