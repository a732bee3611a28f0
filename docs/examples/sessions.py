"""A game that knows, from frame to frame, which number it has thought of and who guesses."""

import secrets

from flask import Flask, session

from wsgi_bridge import Bridge, DenyConnection, channel_session, route
from wsgi_bridge.contrib.flask import http_session

site = Flask(__name__)
site.secret_key = "change me"


@site.post("/sign-in/<name>")
def sign_in(name):
    session["name"] = name
    return "signed in"


# start: channel
@channel_session
def begin(message):
    message.channel_session["number"] = secrets.randbelow(100)
    message.channel_session["guesses"] = []


@channel_session
def guess(message):
    game = message.channel_session
    number = int(message["text"])
    game["guesses"].append(number)
    if number == game["number"]:
        text = f"yes, at guess {len(game['guesses'])}"
    else:
        text = "higher" if number < game["number"] else "lower"
    message.reply_channel.send({"text": text})


# end: channel


# start: http
@http_session(site)
def enter(message):
    if "name" not in message.http_session:
        raise DenyConnection("sign in first")


@http_session(site)
def greet(message):
    name = message.http_session["name"]
    message.reply_channel.send({"text": f"{message['text']}, {name}"})


# end: http


# start: change
def add_one(data):
    data["clicks"] = data.get("clicks", 0) + 1


@channel_session
def click(message):
    message.channel_session.change(add_one)
    message.reply_channel.send({"text": str(message.channel_session["clicks"])})


# end: change

application = Bridge(
    site,
    routing=[
        route("websocket.connect", begin, path=r"^/guess$"),
        route("websocket.receive", guess, path=r"^/guess$"),
        route("websocket.connect", enter, path=r"^/greet$"),
        route("websocket.receive", greet, path=r"^/greet$"),
        route("websocket.receive", click, path=r"^/clicks$", window=8),
    ],
)
