"""A room that shows who is in it."""

import json

from flask import Flask, jsonify, redirect, session

from wsgi_bridge import Bridge, DenyConnection, Group, route

site = Flask(__name__)
site.secret_key = "a secret that is not in the sources"


@site.post("/sign-in/<name>")
def sign_in(name):
    session["user"] = name
    return redirect("/", 303)


def user_of(message):
    cookies = [value.decode() for name, value in message["headers"] if name == b"cookie"]
    with site.test_request_context(headers={"Cookie": "; ".join(cookies)}):
        return session.get("user")


# start: enter
def room_of(name):
    # In one place: whatever uses a group uses it with the same options.
    return Group(f"room-{name}", presence=True)


def enter(message, name):
    user = user_of(message)
    if user is None:
        raise DenyConnection("sign in first")
    room_of(name).add(message, {"id": user, "colour": "red"})


# end: enter


# start: events
def on_join(message, name):
    say(name, {"joined": message["id"], "order": message["order"]})


def on_leave(message, name):
    say(name, {"left": message["id"], "order": message["order"]})


def say(name, news):
    room_of(name).send({"text": json.dumps(news)})


# end: events


# start: present
@site.get("/rooms/<name>/people")
def people(name):
    return jsonify([each.id for each in room_of(name).present()])


# end: present


# start: routes
routing = [
    route("websocket.connect", enter, path=r"^/rooms/(?P<name>[a-z0-9-]{1,32})$"),
    route("group.join", on_join, group=r"^room-(?P<name>.+)$"),
    route("group.leave", on_leave, group=r"^room-(?P<name>.+)$"),
]
# end: routes

application = Bridge(site, routing=routing)
