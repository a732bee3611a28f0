"""Tests of chat.py, as its author would write them."""

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from chat import enter, routing, say
from websockets.sync.client import connect

from wsgi_bridge import Message, open_layer
from wsgi_bridge.consumers import set_default_layer
from wsgi_bridge.routing import Router


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
