"""A site whose page takes its time, and a socket that answers at once."""

from __future__ import annotations

import time

from wsgi_bridge import Bridge, route

#: Seconds.
SLOW = 0.25


def site(environ, start_response):
    time.sleep(SLOW)
    start_response("200 OK", [("Content-Length", "4")])
    return [b"slow"]


def echo(message):
    message.reply_channel.send({"text": message["text"]})


application = Bridge(site, [route("websocket.receive", echo, path="^/echo$")])
