"""A socket that only who is signed in may open: the view's own session decides."""

from flask import Flask, session
from werkzeug.test import create_environ

from wsgi_bridge import Bridge, DenyConnection, Group, route

site = Flask(__name__)
site.secret_key = "change me"


@site.post("/sign-in/<name>")
def sign_in(name):
    session["name"] = name
    return "signed in"


# start: session
def session_of(message):
    """Read the Flask session whose cookie came with the opening handshake."""
    cookies = [value.decode("latin-1") for name, value in message["headers"] if name == b"cookie"]
    environ = create_environ(message["path"], headers={"Cookie": "; ".join(cookies)})
    return site.session_interface.open_session(site, site.request_class(environ))


def connect(message):
    name = session_of(message).get("name")
    if name is None:
        raise DenyConnection("sign in first")
    Group(f"user-{name}").add(message.reply_channel)


# end: session

application = Bridge(site, routing=[route("websocket.connect", connect, path=r"^/mine$")])
