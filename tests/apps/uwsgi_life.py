"""Consumers that say what becomes of them, for tests that kill processes of a uWSGI."""

from __future__ import annotations

import json
import time

from wsgi_bridge import Bridge, Group, route

ROOM = Group("room", presence=True)


def site(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"], lambda: "a page")
    content = json.dumps(page()).encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


def sleep():
    print("sleeping", flush=True)
    time.sleep(60)


def present():
    return [member.id for member in ROOM.present()]


def echo(message):
    message.reply_channel.send({"text": message["text"]})


def pause(message):
    print("pausing", flush=True)
    time.sleep(float(message["text"]))
    message.reply_channel.send({"text": "paused"})


def enter(message):
    name = message["query_string"].decode().removeprefix("id=")
    ROOM.add(message, {"id": name})
    message.reply_channel.send({"accept": True, "text": "welcome"})


def leave(message):
    print(f"left with {message['code']}", flush=True)


def note(message):
    print(f"gone with {message['code']}", flush=True)


PAGES = {"/held/sleep": sleep, "/present": present}
application = Bridge(
    site,
    [
        route("websocket.receive", echo, path="^/echo$"),
        route("websocket.disconnect", note, path="^/echo$"),
        route("websocket.receive", pause, path="^/pause$"),
        route("websocket.connect", enter, path="^/room$"),
        route("websocket.disconnect", leave, path="^/room$"),
    ],
)
