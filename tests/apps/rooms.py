"""One group for all sockets, on however many worker processes; every answer says whose it is."""

from __future__ import annotations

import os

from wsgi_bridge import Bridge, Group, route


def site(environ, start_response):
    if environ["PATH_INFO"] == "/say":
        Group("everyone").send({"text": environ["QUERY_STRING"]})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def enter(message):
    Group("everyone").add(message)
    message.reply_channel.send({"accept": True, "text": str(os.getpid())})


def say(message):
    Group("everyone").send({"text": message["text"]})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", enter, path="^/room$"),
        route("websocket.receive", say, path="^/room$"),
    ],
)
