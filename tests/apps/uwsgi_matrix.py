"""What the matrix of uWSGI asks: sockets that tell what came to them, and a site beside them."""

from __future__ import annotations

import json

from tests.apps import handed_http
from tests.apps.handed_http import close_as_told, echo
from wsgi_bridge import Bridge, DenyConnection, Group, route

TOLD = ("scheme", "path", "root_path")


def site(environ, start_response):
    """As its own, with a page that pushes."""
    if environ["PATH_INFO"] != "/push":
        return handed_http.site(environ, start_response)
    Group("pushed").send({"text": "pushed"})
    start_response("204 No Content", [])
    return []


def join(message):
    Group("pushed").add(message)


def accept(message):
    """Take the last subprotocol, set fields, and send what the handshake was."""
    fields = dict(message["headers"])
    told = {name: message[name] for name in TOLD}
    told["query"] = message["query_string"].decode()
    told["field"] = fields[b"x-field"].decode()
    told["cookie"] = fields[b"cookie"].decode()
    message.reply_channel.send(
        {
            "accept": True,
            "subprotocol": message["subprotocols"][-1],
            "headers": [[b"Set-Cookie", b"a=1"], [b"Set-Cookie", b"b=2"], [b"X-Said", b"yes"]],
            "text": json.dumps(told),
        }
    )


def deny(message):
    raise DenyConnection("not you")


def log_disconnect(message):
    print(f"closed with {message['code']} {message['reason']!r}", flush=True)


CONNECT, RECEIVE = "websocket.connect", "websocket.receive"
application = Bridge(
    site,
    [
        route(CONNECT, accept, path="^/full$"),
        route(CONNECT, deny, path="^/deny$"),
        route(RECEIVE, echo, path="^/(?:echo|group)$"),
        route(CONNECT, join, path="^/group$"),
        route(RECEIVE, close_as_told, path="^/close$"),
        route("websocket.disconnect", log_disconnect, path="^/gone$"),
    ],
)
