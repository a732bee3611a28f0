"""Tests of sites on Flask, Django and Pyramid, with the same client."""

import os

import pytest

from wsgi_bridge.testing import Client, HandshakeRefused


# start: flask
def test_a_flask_session_opens_the_socket():
    import authorise_flask

    with Client(authorise_flask.application) as client:
        with pytest.raises(HandshakeRefused) as refusal:
            client.websocket("/mine")
        assert (refusal.value.status, refusal.value.content) == (403, b"sign in first")

        assert client.post("/sign-in/ada").text == "signed in"
        with client.websocket("/mine") as socket:  # with the cookie that the page has set
            client.group("user-ada").send({"text": "for ada"})
            assert socket.receive() == "for ada"

        with pytest.raises(HandshakeRefused):
            client.visitor().websocket("/mine")


# end: flask


# start: django
@pytest.fixture
def django_site(monkeypatch):
    monkeypatch.setitem(os.environ, "SITE_DATABASE", ":memory:")
    import django_site
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    yield django_site.application
    User.objects.all().delete()


def test_a_django_user_hears_the_news(django_site):
    from django.contrib.auth.models import User

    User.objects.create_user("ada", password="secret")
    with Client(django_site) as client:
        client.post("/sign-in", form={"name": "ada", "password": "secret"})
        with client.websocket("/news") as socket:
            client.post("/announce", form={"text": "it works"})
            assert socket.receive() == "it works"


# end: django


# start: pyramid
def test_what_a_pyramid_view_stores_is_pushed():
    import pyramid_site

    with Client(pyramid_site.application) as client, client.websocket("/measurements") as socket:
        assert client.post("/measurements", content="21.5").json() == {"stored": True}
        assert socket.receive() == "21.5"


# end: pyramid
