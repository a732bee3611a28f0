"""Tests of chat.py, as its author would write them."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from chat import application, enter, routing, say
from websockets.sync.client import connect

from wsgi_bridge import Message, open_layer
from wsgi_bridge.consumers import set_default_layer
from wsgi_bridge.routing import Router
from wsgi_bridge.testing import Client, HandshakeRefused


# start: client
@pytest.fixture
def client():
    with Client(application) as client:
        yield client


def test_a_room_has_a_page(client):
    assert "<input" in client.get("/rooms/lobby").text


def test_all_in_the_room_get_what_one_says_and_nobody_else(client):
    with ExitStack() as sockets:
        one, two, other = (
            sockets.enter_context(client.websocket(f"/rooms/{name}"))
            for name in ("lobby", "lobby", "garden")
        )
        one.send("hello")
        assert one.receive() == two.receive() == "hello"
        assert other.receive_nothing()


def test_who_leaves_is_in_the_room_no_more(client):
    socket = client.websocket("/rooms/lobby")
    assert len(client.group("room-lobby").channels()) == 1
    socket.close()
    assert client.group("room-lobby").channels() == []


def test_there_are_no_rooms_elsewhere(client):
    with pytest.raises(HandshakeRefused) as refusal:
        client.websocket("/attic")
    assert refusal.value.status == 404


# end: client


# start: unit
@pytest.fixture
def layer():
    layer = open_layer("memory://")
    set_default_layer(layer)
    yield layer
    set_default_layer(None)
    layer.close()


def test_what_one_says_all_in_the_room_get(layer):
    for socket in ("test!1", "test!2"):
        enter(Message({"reply_channel": socket}, "websocket.connect", layer), name="lobby")

    said = {"reply_channel": "test!1", "text": "hello"}
    say(Message(said, "websocket.receive", layer), name="lobby")

    assert sorted(layer.receive_many(["test!"], limit=10)) == [
        ("test!1", {"text": "hello"}),
        ("test!2", {"text": "hello"}),
    ]


def test_the_url_names_the_room():
    match = Router(routing).match("websocket.receive", {"path": "/rooms/lobby"})
    assert (match.consumer, match.kwargs) == (say, {"name": "lobby"})


# end: unit


# start: server
@pytest.fixture(scope="module")
def address():
    command = ["-m", "gunicorn", "-k", "gunicorn_asgi.Worker", "-b", "127.0.0.1:0"]
    server = subprocess.Popen(
        [sys.executable, *command, "chat:application"],
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = iter(server.stderr.readline, "")
    yield next(found[1] for line in log if (found := re.search(r"at: http://(\S+)", line)))
    server.terminate()
    server.communicate()


def test_two_browsers_chat(address):
    with ExitStack() as sockets:
        one, two = (sockets.enter_context(connect(f"ws://{address}/rooms/a")) for _ in range(2))
        one.send("hello")
        assert one.recv(timeout=5) == two.recv(timeout=5) == "hello"


# end: server
