"""Every kind of layer, and a site whose rooms know who is in them."""

import json

import pytest

from tests.wsgi_bridge.testing.conftest import ipc_url, layer_url, redis_url
from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import Bridge, Group, route
from wsgi_bridge.testing import Client

__all__ = ["ipc_url", "layer_url", "redis_url"]

GRACE = 15.0


def room():
    return Group("room", presence=True, grace=GRACE)


class Site:
    """A room at /NAME; what it is told is noted in `events`, the earliest first."""

    def __init__(self):
        self.events = []
        self.messages = []
        self.routing = [
            route("websocket.connect", self.enter, path="^/(?P<name>.+)$"),
            route("websocket.receive", self.leave),
            route(["group.join", "group.leave"], self.note, group="^room$"),
        ]
        self.bridge = Bridge(answers("200 OK"), self.routing)

    def enter(self, message, name):
        room().add(message, {"id": name, "name": name.title()})

    def leave(self, message):
        room().discard(message)

    def note(self, message):
        self.events.append((message.channel_name, message["id"]))
        self.messages.append(dict(message.content))
        room().send({"text": json.dumps([message.channel_name, message["id"]])})


@pytest.fixture
def site():
    return Site()


@pytest.fixture
def client(site, layer_url):
    with Client(site.bridge, layer=layer_url) as client:
        client.layer.flush()
        yield client
