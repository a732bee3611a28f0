"""A site that says what it was told of its client, over HTTP and WebSocket."""

from __future__ import annotations

import json

from wsgi_bridge import Bridge, route


def site(environ, start_response):
    text = {key: value for key, value in environ.items() if isinstance(value, str)}
    content = json.dumps(text).encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


def greet(message):
    said = {key: message.get(key) for key in ("client", "scheme", "variables")}
    message.reply_channel.send({"accept": True, "text": json.dumps(said)})


application = Bridge(site, routing=[route("websocket.connect", greet)])
