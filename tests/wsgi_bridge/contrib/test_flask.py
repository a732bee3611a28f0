"""Flask's session in consumers: its own, in the cookie, and one that is kept on the server."""

from __future__ import annotations

import pytest
from flask import Flask, session
from flask.sessions import SessionInterface, SessionMixin

from wsgi_bridge import Bridge, channel_session, route
from wsgi_bridge.contrib.flask import http_session
from wsgi_bridge.testing import Client

CONNECT, RECEIVE = "websocket.connect", "websocket.receive"


class StoredSession(dict, SessionMixin):
    """A session that is kept on the server."""

    modified = False

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self.modified = True


class StoredSessions(SessionInterface):
    """Keeps every session of a visitor under the value of a cookie."""

    def __init__(self):
        self.stored = {}

    def open_session(self, app, request):
        key = request.cookies.get(self.get_cookie_name(app), "new")
        opened = StoredSession(self.stored.get(key, {}))
        opened.key = key
        return opened

    def save_session(self, app, session, response):
        if session.modified:
            self.stored[session.key] = dict(session)
            response.set_cookie(self.get_cookie_name(app), session.key)


def make_site(**config):
    site = Flask("site")
    site.config.update(config)

    @site.post("/sign-in/<name>")
    def sign_in(name):
        session["name"] = name
        return "signed in"

    return site


def make_client(site, consumer):
    return Client(Bridge(site, [route([CONNECT, RECEIVE], consumer, path="^/")]))


def say_name(message):
    message.reply_channel.send({"text": str(message.http_session.get("name"))})


def test_a_consumer_reads_the_session_of_the_cookie():
    site = make_site(SECRET_KEY="secret")
    with make_client(site, http_session(site)(say_name)) as client:
        client.post("/sign-in/ada")
        with client.websocket("/") as socket:
            socket.send("x")
            assert (socket.receive(), socket.receive()) == ("ada", "ada")


# (the site's secret, the cookie)
NOBODYS = {
    "no cookie": ("secret", ""),
    "a forged cookie": ("secret", "session=eyJuYW1lIjoiYWRhIn0.forged"),
    "no secret": (None, "session=eyJuYW1lIjoiYWRhIn0.forged"),
}


@pytest.mark.parametrize(("secret", "cookie"), NOBODYS.values(), ids=NOBODYS)
def test_without_a_session_there_is_an_empty_one(secret, cookie):
    site = make_site(SECRET_KEY=secret)
    with make_client(site, http_session(site)(say_name)) as client:
        assert client.websocket("/", headers={"Cookie": cookie}).receive() == "None"


def test_the_cookie_may_have_another_name_and_no_other_is_kept():
    site = make_site(SECRET_KEY="secret", SESSION_COOKIE_NAME="mine")
    kept = []

    @channel_session
    @http_session(site)
    def consumer(message):
        kept.append(dict(message.channel_session.handshake["headers"]).get(b"cookie", b""))
        say_name(message)

    with make_client(site, consumer) as client:
        client.post("/sign-in/ada")
        cookie = f"other=1; mine={client.cookies['mine']}"
        assert client.websocket("/", headers={"Cookie": cookie}).receive() == "ada"
    assert kept[0].startswith(b"mine=")
    assert b"other" not in kept[0]


def test_a_change_of_what_is_in_the_cookie_is_an_error():
    site = make_site(SECRET_KEY="secret")

    @http_session(site)
    def change(message):
        message.http_session["name"] = "eve"

    with (
        make_client(site, change) as client,
        pytest.raises(RuntimeError, match="Flask keeps it in the browser's cookie"),
    ):
        client.websocket("/")


def test_a_session_on_the_server_is_read_afresh_and_written():
    site = make_site()
    sessions = site.session_interface = StoredSessions()

    @http_session(site)
    def rename(message):
        say_name(message)
        if "text" in message:
            message.http_session["name"] = message["text"]

    with make_client(site, rename) as client:
        socket = client.websocket("/")
        client.post("/sign-in/ada")
        socket.send("bob")
        assert (socket.receive(), socket.receive()) == ("None", "ada")
    assert sessions.stored == {"new": {"name": "bob"}}


def test_only_a_flask_site_has_one():
    with pytest.raises(TypeError, match="expected the Flask object"):
        http_session(Bridge(make_site()))
