"""A site that takes whatever comes: it reads every body, and echoes on every socket."""

from __future__ import annotations

from wsgi_bridge import Bridge, route
from wsgi_bridge.exceptions import RequestAborted


def site(environ, start_response):
    try:
        size = len(environ["wsgi.input"].read())
    except RequestAborted:
        size = -1  # nobody hears this
    content = b"read %d" % size
    # To CONNECT 2xx would mean that a tunnel begins.
    status = "405 Not Here" if environ["REQUEST_METHOD"] == "CONNECT" else "200 OK"
    start_response(status, [("Content-Length", str(len(content)))])
    return [content]


def echo(message):
    message.reply_channel.send({key: message[key] for key in ("text", "bytes") if key in message})


application = Bridge(site, [route("websocket.receive", echo)])
