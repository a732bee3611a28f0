"""A socket that only who is signed in may open: the view's own session decides."""

from flask import Flask, session

from wsgi_bridge import Bridge, DenyConnection, Group, route
from wsgi_bridge.contrib.flask import http_session

site = Flask(__name__)
site.secret_key = "change me"


@site.post("/sign-in/<name>")
def sign_in(name):
    session["name"] = name
    return "signed in"


# start: session
@http_session(site)
def connect(message):
    name = message.http_session.get("name")
    if name is None:
        raise DenyConnection("sign in first")
    Group(f"user-{name}").add(message.reply_channel)


# end: session

application = Bridge(site, routing=[route("websocket.connect", connect, path=r"^/mine$")])
