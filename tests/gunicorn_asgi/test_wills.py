"""What a server leaves word of, and what not: a will is an operation of the shared layer."""

from __future__ import annotations

import pytest

from tests.gunicorn_asgi.rig import HttpRig, get, post, settle
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.storage import MemoryStorage
from wsgi_bridge.server.wills import LAST_ORDER, WILL_AFTER, Wills

HANDSHAKE = get("/chat", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip


class SharedStorage(MemoryStorage):
    """Says that others share it, and keeps what they would be told."""

    is_shared = True

    def __init__(self, layer):
        super().__init__(layer)
        self.wills = {}
        self.is_away = False

    def _set_will(self, channel, messages):
        if self.is_away:
            raise ChannelLayerUnavailable("away")
        self.wills[channel] = messages

    def _clear_will(self, channel):
        self.wills.pop(channel, None)

    def forget(self, channel, now):
        super().forget(channel, now)
        self.wills.pop(channel, None)


@pytest.fixture
def storage():
    return SharedStorage(MemoryLayer())


@pytest.fixture
def rig(storage):
    with HttpRig() as rig:
        storage._layer = rig.layer
        rig.layer._storage = storage
        rig.server.wills = Wills(rig.layer)
        yield rig


def after_a_second(rig):
    rig.clock.now += WILL_AFTER
    rig.http._leave_wills()


def test_a_server_alone_leaves_no_word():
    with HttpRig() as rig:
        assert not rig.server.wills
        assert rig.server._slow == []


def test_an_open_socket_leaves_word_until_it_is_closed(rig, storage):
    client = rig.accept(HANDSHAKE)
    _, connect = rig.take("websocket.connect")
    reply = connect["reply_channel"]
    assert storage.wills == {}
    rig.layer.send(reply, {"accept": True})
    client.read_head()
    expected = {
        "reply_channel": reply, "path": "/chat", "order": LAST_ORDER, "code": 1006, "reason": "",
    }  # fmt: skip
    assert storage.wills == {reply: [("websocket.disconnect", expected)]}
    client.sock.close()
    assert rig.take("websocket.disconnect")[1]["code"] == 1006
    settle()
    assert storage.wills == {}


def test_a_refused_handshake_leaves_no_word(rig, storage):
    client = rig.accept(HANDSHAKE)
    _, connect = rig.take("websocket.connect")
    rig.layer.send(connect["reply_channel"], {"accept": False, "text": "no"})
    client.read_head()
    settle()
    assert storage.wills == {}


def test_a_request_leaves_word_when_it_takes_long(rig, storage):
    client = rig.accept(get("/slow"))
    request = rig.request()
    rig.http._leave_wills()
    assert storage.wills == {}
    after_a_second(rig)
    gone = {"reply_channel": request["reply_channel"], "path": "/slow"}
    assert storage.wills == {request["reply_channel"]: [("http.disconnect", gone)]}
    rig.answer(request)
    client.read_head()
    assert storage.wills == {}
    after_a_second(rig)
    assert storage.wills == {}  # it is idle now


def test_whoever_waits_for_a_body_or_for_room_is_told_as_well(rig, storage):
    client = rig.accept(post(100_000))
    request = rig.request()
    after_a_second(rig)
    [messages] = storage.wills.values()
    closed = {"content": b"", "more_content": False, "closed": True}
    assert messages[1:] == [(request["body_channel"], closed)]
    flow = rig.layer.new_channel("flow?")
    rig.answer(request, more_content=True, flow_channel=flow)
    client.read_head()
    after_a_second(rig)
    [messages] = storage.wills.values()
    targets = ["http.disconnect", flow, request["body_channel"]]
    assert [target for target, _ in messages] == targets


def test_a_layer_that_is_away_costs_the_word_and_no_connection(rig, storage):
    storage.is_away = True
    client = rig.accept(get("/slow"))
    request = rig.request()
    after_a_second(rig)
    rig.answer(request)
    assert b"200" in client.read_head()
