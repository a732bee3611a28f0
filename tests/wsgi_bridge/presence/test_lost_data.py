"""What becomes of presence and history when Redis comes back empty, or is flushed."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis, until
from wsgi_bridge import ChannelLayerUnavailable, Group, open_layer
from wsgi_bridge.presence import JOIN, LEAVE, PresenceRegister
from wsgi_bridge.presence.roll import CHECK

ADA, BOB = {"id": "ada", "name": "Ada"}, {"id": "bob"}


@pytest.fixture
def server():
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def layers(server):
    """One process that holds sockets, and one that runs consumers."""
    with ExitStack() as stack:
        holder, worker = (
            stack.enter_context(closing(open_layer(server.url, timeout=2.0))) for _ in range(2)
        )
        stack.enter_context(holder.listen(["p!"], lambda: None))
        yield holder, worker


def is_back(act):
    try:
        act()
    except ChannelLayerUnavailable:
        return False
    return True


def data_of(group):
    try:
        return {member.channel: member.data for member in group.members()}
    except ChannelLayerUnavailable:
        return {}


def test_members_are_announced_again_with_their_data(server, layers):
    _, worker = layers
    group = Group("room", worker)
    group.add("p!1", {"colour": "red"})
    group.add("p!1", ADA)
    group.add("p!1")  # which only renews
    group.add("p!2")
    server.restart()
    until(lambda: data_of(group) == {"p!1": ADA, "p!2": None}, what="both are back")


def test_data_are_announced_by_who_holds_the_socket(server, layers):
    """Long after whoever added it has ended."""
    holder, worker = layers
    with closing(open_layer(server.url, timeout=2.0)) as gone:
        Group("room", gone).add("p!1", ADA)
        seen = holder._memberships
        reader = holder.inbox.queue("p!").name
        until(lambda: (seen.known(reader) or 0.0) > 0.0, what="the holder has heard of it")
    server.restart()
    until(lambda: data_of(Group("room", worker)) == {"p!1": ADA}, what="it is back")


def look(worker, register):
    """Do what a worker loop does; return the events."""
    while messages := worker.receive_many([CHECK], 10):
        for _, message in messages:
            register.check(message)
    events = worker.receive_many([JOIN, LEAVE], 10)
    return sorted((channel, message["id"]) for channel, message in events)


def test_who_is_there_is_announced_again_with_the_next_who_comes(server, layers):
    _, worker = layers
    register = PresenceRegister(worker, {JOIN, LEAVE}, lambda: None)
    group = Group("room", worker, presence=True)
    group.add("p!1", ADA)
    assert look(worker, register) == [(JOIN, "ada")]
    server.restart()
    until(lambda: data_of(group) == {"p!1": ADA}, what="the member is back")
    group.add("p!2", BOB)
    assert look(worker, register) == [(JOIN, "ada"), (JOIN, "bob")]
    assert [each.id for each in group.present()] == ["ada", "bob"]


@pytest.mark.parametrize("loss", ["restart", "flush"])
def test_a_client_from_before_is_told_that_it_cannot_recover(server, layers, loss):
    _, worker = layers
    group = Group("orders", worker, history=10)
    group.send({"text": "a"})
    place = str(group.position())
    group.send({"text": "b"})
    assert [message["text"] for message in group.recover(place).messages] == ["b"]
    if loss == "restart":
        server.restart()
    else:
        server.admin.flushall()
    until(lambda: is_back(lambda: group.send({"text": "c"})), what="Redis is back")
    until(lambda: is_back(lambda: group.send({"text": "d"})), what="Redis is back")
    found = group.recover(place)
    assert found.messages is None
    assert found.epoch != place.partition(":")[0]
    assert [message["text"] for message in group.recover(f"{found.epoch}:1").messages] == ["d"]
