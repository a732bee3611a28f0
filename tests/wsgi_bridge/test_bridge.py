"""Bridge: what a site configures, and that it stays a WSGI app."""

from __future__ import annotations

import io

import pytest

from wsgi_bridge import Bridge, Channel, RoutingError, open_layer, route
from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.consumers import get_default_layer, set_default_layer
from wsgi_bridge.layers import BaseLayer


@pytest.fixture(autouse=True)
def no_layer(monkeypatch):
    monkeypatch.delenv(LAYER_VARIABLE, raising=False)
    yield
    set_default_layer(None)


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


ROUTING = [route("websocket.receive", lambda message: None, path="^/chat/é$")]


def call(app, path="/", **environ):
    seen = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.input": io.BytesIO(), **environ}
    content = b"".join(app(environ, lambda status, headers: seen.extend([status, dict(headers)])))
    return seen[0], seen[1], content


def test_a_bridge_is_the_site_under_any_wsgi_server():
    assert call(Bridge(site), "/page")[::2] == ("200 OK", b"/page")


@pytest.mark.parametrize(
    "environ",
    [
        {"PATH_INFO": "/chat/é".encode().decode("latin-1")},
        {"SCRIPT_NAME": "/chat", "PATH_INFO": "/é".encode().decode("latin-1")},
    ],
)
def test_a_routed_websocket_url_answers_426_there(environ):
    status, headers, content = call(Bridge(site, ROUTING), HTTP_UPGRADE="WebSocket", **environ)
    assert (status, headers["Upgrade"]) == ("426 Upgrade Required", "websocket")
    assert int(headers["Content-Length"]) == len(content)


@pytest.mark.parametrize(
    ("path", "environ"), [("/other", {"HTTP_UPGRADE": "websocket"}), ("/chat/é", {})]
)
def test_every_other_request_is_the_sites(path, environ):
    assert call(Bridge(site, ROUTING), path, **environ)[0] == "200 OK"


# Options


def test_an_app_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="WSGI callable"):
        Bridge("mysite.wsgi")


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(TypeError, match="htp_timeout"):
        Bridge(site, htp_timeout=3)


def test_a_bad_routing_is_refused():
    with pytest.raises(RoutingError):
        Bridge(site, routing=["websocket.receive"])


def test_settings_are_read():
    assert Bridge(site, allowed_origins="https://a.example").settings.allowed_origins == (
        "https://a.example",
    )


# The layer


def test_the_layer_is_memory_unless_said_otherwise():
    assert Bridge(site).layer_url == "memory://"
    assert Bridge(site, layer="memory://name").layer_url == "memory://name"


def test_the_environment_goes_before_the_argument(monkeypatch):
    monkeypatch.setenv(LAYER_VARIABLE, "memory://elsewhere")
    layer = open_layer("memory://")
    assert Bridge(site, layer="memory://here").layer_url == "memory://elsewhere"
    assert Bridge(site, layer=layer).layer is not layer


def test_an_open_layer_is_used_as_it_is():
    layer = open_layer("memory://")
    bridge = Bridge(site, layer=layer)
    assert (bridge.layer_url, bridge.layer) == ("", layer)


@pytest.mark.parametrize(
    ("layer", "is_reachable"),
    [
        (None, False),
        ("memory://", False),
        ("memory://name", False),
        (open_layer("memory://"), False),
        ("ipc://name", True),
        (open_layer("ipc://name"), True),
    ],
)
def test_a_layer_with_a_name_outside_of_memory_is_reachable(layer, is_reachable):
    assert Bridge(site, layer=layer).has_reachable_layer is is_reachable


def test_the_layer_of_the_environment_is_what_others_reach(monkeypatch):
    monkeypatch.setenv(LAYER_VARIABLE, "redis://localhost")
    assert Bridge(site, layer="memory://").has_reachable_layer


def test_the_layer_is_opened_once_and_is_the_processs_default():
    bridge = Bridge(site)
    layer = bridge.layer
    assert isinstance(layer, BaseLayer)
    assert bridge.layer is layer is get_default_layer()
    Channel("a").send({"b": 1})
    assert layer.receive(["a"]) == ("a", {"b": 1})


def test_each_process_opens_a_layer_of_its_own(monkeypatch):
    bridge = Bridge(site)
    first = bridge.layer
    monkeypatch.setattr("wsgi_bridge.bridge.os.getpid", lambda: -1)
    assert bridge.layer is not first


def test_the_url_goes_before_the_servers_options():
    assert Bridge(site, layer="memory://?capacity=7").open_layer(capacity=9).capacity == 7
    assert Bridge(site).open_layer(capacity=9).capacity == 9


def test_statistics_are_the_servers_and_the_layers():
    bridge = Bridge(site)
    bridge.layer.send("a", {})
    assert bridge.statistics()["layer"]["messages_count"] == 1
    bridge.attach(lambda: {"connections": 3})
    assert bridge.statistics()["connections"] == 3
