"""A room with presence, whose events are noted in PRESENCE_FILE; orders with history."""

from __future__ import annotations

import os

from wsgi_bridge import Bridge, Group, route

GRACE = float(os.environ.get("PRESENCE_GRACE", "0.5"))


def room():
    return Group("room", presence=True, grace=GRACE)


def orders():
    return Group("orders", history=1000, ttl=300)


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["PATH_INFO"]
    if path == "/present":
        return [" ".join(sorted(str(each.id) for each in room().present())).encode()]
    if path == "/publish":
        orders().send({"text": environ["QUERY_STRING"]})
    return [b"done"]


def enter(message, name):
    room().add(message, {"id": name})
    message.reply_channel.send({"text": str(os.getpid())})


def follow(message):
    orders().subscribe(message, message["query_string"].decode())


def note(message):
    with open(os.environ["PRESENCE_FILE"], "a") as file:
        file.write(f"{message.channel_name} {message['id']}\n")


application = Bridge(
    site,
    routing=[
        route("websocket.connect", enter, path=r"^/room/(?P<name>\w+)$"),
        route("websocket.connect", follow, path=r"^/orders$"),
        route(["group.join", "group.leave"], note, group=r"^room$"),
    ],
)
