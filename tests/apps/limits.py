"""Consumers that take too long, and that want their message again, for tests of real servers."""

from __future__ import annotations

import time

from wsgi_bridge import Bridge, ConsumeLater, route

FOREVER = 3600.0


def site(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b"{}"]


def sleep_for_ever(message):
    time.sleep(FOREVER)


def put_off(message):
    if message.get("attempt", 0) < 2:
        raise ConsumeLater("not yet", delay=0.02)
    message.reply_channel.send({"text": f"{message['text']} after {message['attempt']}"})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", len, path="^/(?:slow|later)$"),
        route("websocket.connect", sleep_for_ever, path="^/never$", timeout=0.05),
        route("websocket.receive", sleep_for_ever, path="^/slow$", timeout=0.05),
        route("websocket.receive", put_off, path="^/later$"),
        route("http.request", sleep_for_ever, path="^/never$", timeout=0.05),
    ],
)
