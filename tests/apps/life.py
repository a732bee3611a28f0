"""A site with whatever may be open when its server stops, is replaced, or is killed.

``GATE_FILE`` names a file that requests wait for: a gate that opens from outside, whoever has them.
"""

from __future__ import annotations

import os
import queue
import time
from pathlib import Path

from tests.apps import site
from wsgi_bridge import Bridge, Group, route
from wsgi_bridge.consumers import get_default_layer

BLOCK = b"x" * 50_000
BLOCKS = 20


def is_open():
    return Path(os.environ["GATE_FILE"]).exists()


def events(environ, start_response):
    """What is published, as server-sent events; waits in the layer."""
    channel = get_default_layer().new_channel("events?")
    Group("events").add(channel)
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    try:
        yield b": hello\n\n"
        while True:
            _, message = get_default_layer().receive([channel], block=True)
            yield b"data: %b\n\n" % message["text"].encode()
    finally:
        site.note("events closed")


def ticks(environ, start_response):
    """Server-sent events that never come, from a queue of the site's own."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    try:
        yield b": hello\n\n"
        yield queue.Queue().get()
    finally:
        site.note("ticks closed")


def publish(environ, start_response):
    Group("events").send({"text": site.options(environ)["text"]})
    return site.reply(start_response, "published")


def download(environ, start_response):
    """A block, and the others when the gate is open."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    yield BLOCK
    while not is_open():
        time.sleep(0.005)
    for _ in range(BLOCKS - 1):
        yield BLOCK


def block_hub(environ, start_response):
    """Let nobody else have the thread until the gate is open."""
    site.note("blocks the hub")
    while not is_open():
        pass
    return site.reply(start_response, "done")


def application(environ, start_response):
    page = PAGES.get(environ["PATH_INFO"], site.application)
    return page(environ, start_response)


def echo(message):
    message.reply_channel.send({"text": message["text"]})


PAGES = {
    "/block-hub": block_hub,
    "/download": download,
    "/events": events,
    "/publish": publish,
    "/ticks": ticks,
}
application = Bridge(application, [route("websocket.receive", echo, path="^/echo$")])
