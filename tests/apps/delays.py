"""A site that answers its sockets later, by each way there is."""

from __future__ import annotations

import json
import os

from wsgi_bridge import Bridge, Channel, Group, route


def site(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


def connect(message):
    Group("all").add(message)


def receive(message):
    """Of `by`, `text` and `delay`, as JSON."""
    asked = json.loads(message["text"])
    content, delay = {"text": asked["text"]}, asked["delay"]
    reply = message.reply_channel
    if asked["by"] == "reply":
        reply.send_later(content, delay=delay)
    elif asked["by"] == "group":
        Group("all").send_later(content, delay=delay)
    elif asked["by"] == "job":
        Channel("jobs").send_later({"for": reply.name, **content}, delay=delay)
    elif asked["by"] == "draft":
        delayed = {"channel": reply.name, "delay": int(delay * 1000), "content": content}
        Channel("asgi.delay").send(delayed)


def job(message):
    Channel(message["for"]).send({"text": message["text"]})


def tick(message):
    Group("all").send({"text": f"tick {os.getpid()}"})


application = Bridge(
    site,
    [
        route("websocket.connect", connect, path="^/delays$"),
        route("websocket.receive", receive, path="^/delays$"),
        route("jobs", job),
        route("ticks", tick),
    ],
)
if "TICKS" in os.environ:
    application.send_every(float(os.environ["TICKS"]), "ticks")
