"""Django's sessions and users in consumers, in the project of the documentation's example."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from wsgi_bridge import Bridge, WebsocketConsumer, route, route_class
from wsgi_bridge.testing import Client

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
CONNECT, RECEIVE = "websocket.connect", "websocket.receive"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A file: each greenlet has a connection of its own where gevent has patched threads."""
    return str(tmp_path_factory.mktemp("django") / "site.sqlite3")


@pytest.fixture
def contrib(monkeypatch, database):
    """The module under test, in a project that is set up. A process has one project at most."""
    monkeypatch.setenv("SITE_DATABASE", database)
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    importlib.import_module("django_site")
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from django.contrib.sessions.models import Session
    from django.test.utils import override_settings

    # The hash that is right for a site takes half a second.
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        User.objects.create_user("ada", password="secret")
        yield importlib.import_module("wsgi_bridge.contrib.django")
    User.objects.all().delete()
    Session.objects.all().delete()


def open_client(consumer):
    site = sys.modules["django_site"]
    return Client(Bridge(site.application.app, [route([CONNECT, RECEIVE], consumer, path="^/")]))


def sign_in(client):
    client.post("/sign-in", form={"name": "ada", "password": "secret"})
    assert client.cookies["sessionid"]


def stored():
    """Return what the one session of the database holds."""
    from django.contrib.sessions.models import Session

    session = Session.objects.get()
    return session.get_decoded()


def say_user(message):
    message.reply_channel.send({"text": str(message.user)})


def test_a_consumer_knows_who_is_signed_in_at_every_event(contrib):
    with open_client(contrib.http_session_user(say_user)) as client:
        assert client.websocket("/").receive() == "AnonymousUser"
        sign_in(client)
        with client.websocket("/") as socket:
            socket.send("x")
            assert (socket.receive(), socket.receive()) == ("ada", "ada")


def test_who_signs_out_is_nobody_from_then_on(contrib):
    from django.contrib.sessions.models import Session

    with open_client(contrib.http_session_user(say_user)) as client:
        sign_in(client)
        socket = client.websocket("/")
        Session.objects.all().delete()
        socket.send("x")
        assert (socket.receive(), socket.receive()) == ("ada", "AnonymousUser")


@pytest.mark.parametrize("cookie", ["", "sessionid=", "sessionid=forged", "sessionid=\xe4", ";;="])
def test_a_visitor_without_a_session_is_nobody(contrib, cookie):
    with open_client(contrib.http_session_user(say_user)) as client:
        assert client.websocket("/", headers={"Cookie": cookie}).receive() == "AnonymousUser"


def test_what_is_not_touched_costs_no_query(contrib):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with open_client(contrib.http_session_user(lambda message: None)) as client:
        sign_in(client)
        with CaptureQueriesContext(connection) as queries:
            client.websocket("/").send("x")
        assert len(queries) == 0


def test_what_a_consumer_changes_in_the_session_is_saved(contrib):
    @contrib.http_session
    def count(message):
        assert not hasattr(message, "user")
        message.http_session["count"] = message.http_session.get("count", 0) + 1

    with open_client(count) as client:
        sign_in(client)
        client.websocket("/").send("x")
        assert stored()["count"] == 2


def set_one(message):
    message.http_session["a"] = 1


def test_none_is_made_for_who_has_none(contrib):
    with (
        open_client(contrib.http_session(set_one)) as client,
        pytest.raises(RuntimeError, match="the visitor has none, and a socket cannot set its"),
    ):
        client.websocket("/")


def test_a_session_in_the_cookie_cannot_be_changed(contrib):
    from django.test.utils import override_settings

    engine = "django.contrib.sessions.backends.signed_cookies"
    with (
        override_settings(SESSION_ENGINE=engine),
        open_client(contrib.http_session(set_one)) as client,
    ):
        sign_in(client)
        with pytest.raises(RuntimeError, match="kept in the browser's cookie"):
            client.websocket("/")


def test_the_session_keeps_its_key_when_the_secret_has_changed(contrib):
    """The browser could not be told another one: it would be signed out."""
    from django.conf import settings
    from django.test.utils import override_settings

    with open_client(contrib.http_session_user(say_user)) as client:
        sign_in(client)
        changed = {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
        with override_settings(**changed):
            for _ in range(2):
                assert client.websocket("/").receive() == "ada"
            assert stored()["_auth_user_id"]


def test_connections_are_looked_after_around_each_consumer(contrib, monkeypatch):
    done = []
    monkeypatch.setattr(contrib, "close_old_connections", lambda: done.append("closed"))
    with open_client(contrib.http_session(lambda message: done.append("ran"))) as client:
        client.websocket("/")
        assert done[:3] == ["closed", "ran", "closed"]


def test_a_class_has_both_by_an_attribute(contrib):
    class Hello(WebsocketConsumer):
        http_session = contrib.http_session_user

        def receive(self, text=None, **kwargs):
            self.send(text=f"{text} {self.message.user}")

    site = sys.modules["django_site"]
    with Client(Bridge(site.application.app, [route_class(Hello)])) as client:
        sign_in(client)
        socket = client.websocket("/")
        socket.send("hello")
        assert socket.receive() == "hello ada"


def test_the_names_of_channels_1_are_there(contrib):
    assert contrib.channel_and_http_session is contrib.http_session
    assert contrib.channel_session_user is contrib.http_session_user
    assert contrib.channel_session_user_from_http is contrib.http_session_user
