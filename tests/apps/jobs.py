"""A site for worker processes: what its paths do tells who ran them, or troubles the process."""

from __future__ import annotations

import os
import sys
import threading
import time
from urllib.parse import parse_qs

from wsgi_bridge import Bridge, Channel, route
from wsgi_bridge.consumers import get_default_layer

# Whoever imports the site leaves its process id.
if "IMPORTED_BY" in os.environ:
    with open(os.environ["IMPORTED_BY"], "a") as file:
        file.write(f"{os.getpid()}\n")

kept = []


def wait_for_file(path):
    with open(f"{path}.begun", "a") as begun:
        begun.write("x")
    while not os.path.exists(path):
        time.sleep(0.005)


def burst(environ):
    for number in range(100_000):
        Channel("sink").send({"n": number})


ACTIONS = {
    "/pid": lambda environ: None,
    "/exit": lambda environ: os._exit(7),
    "/sys-exit": lambda environ: sys.exit(7),
    "/raise": lambda environ: 1 / 0,
    "/allocate": lambda environ: kept.append(bytearray(200_000_000)),
    "/wait": lambda environ: wait_for_file(parse_qs(environ["QUERY_STRING"])["file"][0]),
}


def events(start_response):
    """Server-sent events, none of which ever comes."""
    layer = get_default_layer()
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b": hello\n\n"
    layer.receive([layer.new_channel("news?")], block=True)


def site(environ, start_response):
    if environ["PATH_INFO"] == "/events":
        return events(start_response)
    ACTIONS[environ["PATH_INFO"]](environ)
    content = f"{os.getpid()} {threading.current_thread().name}".encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


def on_job(message):
    wait_for_file(message["file"])


def wait_or_echo(message):
    """Echo; wait first for the file that a text is the path of."""
    if message["text"].startswith("/"):
        wait_for_file(message["text"])
    echo(message)


def wait_in_handshake(message):
    wait_for_file(parse_qs(message["query_string"].decode())["file"][0])


def echo(message):
    message.reply_channel.send({"text": f"{message['text']} {os.getpid()}"})


application = Bridge(
    site,
    routing=[
        route("jobs", on_job),
        route("bursts", burst),
        route("websocket.connect", wait_in_handshake, path="^/held$"),
        route("websocket.receive", wait_or_echo, path="^/(?:echo|held)$"),
    ],
)
plain = site
