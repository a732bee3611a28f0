"""Pyramid's session in consumers."""

from __future__ import annotations

import pytest
from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.threadlocal import manager

from wsgi_bridge import Bridge, route
from wsgi_bridge.contrib.pyramid import http_session
from wsgi_bridge.testing import Client


def sign_in(request):
    request.session["name"] = request.matchdict["name"]
    return Response("signed in")


def make_site(factory=None):
    with Configurator() as config:
        if factory is not None:
            config.set_session_factory(factory)
        config.add_route("sign-in", "/sign-in/{name}")
        config.add_view(sign_in, route_name="sign-in")
        return config.make_wsgi_app()


def make_client(site):
    @http_session(site)
    def say_name(message):
        message.reply_channel.send({"text": str(message.http_session.get("name"))})

    channels = ["websocket.connect", "websocket.receive"]
    return Client(Bridge(site, [route(channels, say_name, path="^/")]))


def test_a_consumer_reads_the_session_of_the_cookie():
    with make_client(make_site(SignedCookieSessionFactory("secret"))) as client:
        assert client.websocket("/").receive() == "None"
        assert client.post("/sign-in/ada").text == "signed in"
        with client.websocket("/") as socket:
            socket.send("x")
            assert (socket.receive(), socket.receive()) == ("ada", "ada")
    assert manager.stack == []


def test_a_site_without_sessions_says_so():
    with (
        make_client(make_site()) as client,
        pytest.raises(AttributeError, match="No session factory registered"),
    ):
        client.websocket("/")


def test_only_a_pyramid_site_has_one():
    with pytest.raises(TypeError, match="expected what make_wsgi_app"):
        http_session(Bridge(make_site()))
