"""Notes in a file, WILLS_FILE, who is said to have gone; a page that never answers."""

from __future__ import annotations

import os
import time

from wsgi_bridge import Bridge, route


def site(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(3600)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def accept(message):
    message.reply_channel.send({"accept": True, "text": str(os.getpid())})


def note(message):
    line = f"{message.channel.name} {message['path']} {message.get('code')}\n"
    with open(os.environ["WILLS_FILE"], "a") as file:
        file.write(line)


application = Bridge(
    site,
    routing=[
        route("websocket.connect", accept),
        route("websocket.disconnect", note),
        route("http.disconnect", note),
    ],
)
