"""The same test of a site runs on every layer, with the same result."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.wsgi_bridge.testing.sites import App, make_site
from wsgi_bridge import Bridge, ConsumeLater, open_layer, route
from wsgi_bridge.consumers import get_default_layer
from wsgi_bridge.testing import Client


@pytest.fixture
def client(layer_url):
    with Client(make_site()[0], layer=layer_url) as client:
        client.layer.flush()
        yield client


def test_pages_bodies_and_streams(client):
    assert client.get("/").text == "home"
    assert client.post("/size", content=b"x" * 1_000_000).text == "1000000"
    assert len(client.get("/large").content) == 3_000_000
    with client.get("/stream", stream=True) as response:
        chunks = iter(response)
        assert [next(chunks), next(chunks)] == [b"0", b"1"]


def test_sockets_groups_and_background_work(client):
    with client.websocket("/chat/") as one, client.websocket("/chat/") as two:
        one.send("all hello")
        assert (one.receive(), two.receive()) == ("hello", "hello")
        one.send("work cat.png")
        assert one.receive() == "thumbnail of cat.png"
        assert two.receive_nothing()
        assert len(client.group("everybody").channels()) == 2
    assert client.group("everybody").channels() == []


def test_a_view_that_waits(client):
    asked = client.start("GET", "/poll")
    assert not asked.is_answered
    client.send("news", {"what": "rain"})
    assert asked.response().text == "rain"


def test_what_another_thread_sends_is_waited_for(client):
    with client.websocket("/chat/") as socket:
        send = client.layer.send_group
        threading.Timer(0.02, send, ("everybody", {"text": "from outside"})).start()
        assert socket.receive(timeout=10) == "from outside"


def test_expiry(layer_url):
    with Client(make_site()[0], layer=layer_url, hold=["thumbnails"]) as client:
        client.layer.flush()
        client.send("thumbnails", {"name": "cat.png", "for": "nobody"})
        client.clock.advance(61)
        assert client.messages("thumbnails") == []


def test_a_message_that_is_put_off(layer_url):
    attempts = []

    def consumer(message):
        attempts.append(message.get("attempt", 0))
        if len(attempts) < 3:
            raise ConsumeLater(delay=60.0)

    bridge = Bridge(App(), [route("jobs", consumer)])
    with Client(bridge, layer=layer_url) as client:
        client.layer.flush()
        client.send("jobs", {})
        assert attempts == [0]
        client.clock.advance(61)
        client.clock.advance(61)
    assert attempts == [0, 1, 2]


def test_an_open_layer_is_used_and_left_open():
    layer = open_layer("memory://")
    with Client(make_site()[0], layer=layer) as client:
        assert client.layer is layer
    layer.send("news", {"what": "still open"})
    layer.close()


def test_the_layer_of_the_process_is_the_same_as_before():
    bridge, _, _ = make_site()
    before = bridge.layer
    with Client(bridge) as client:
        assert bridge.layer is get_default_layer() is not before
        assert client.get("/").status == 200
    assert bridge.layer is get_default_layer() is before


def test_neither_gevent_nor_a_server_nor_pytest_is_imported():
    code = (
        "import sys, wsgi_bridge.testing as t\n"
        "def app(environ, start_response): start_response('200 OK', []); return [b'x']\n"
        "assert t.Client(app).get('/').content == b'x'\n"
        "assert not {'gevent', 'gunicorn', 'pytest', 'httptools'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
