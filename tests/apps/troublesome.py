"""Consumers that trouble their process, each in its way, beside others that only answer."""

from __future__ import annotations

import os
import resource
import sys
import time

from wsgi_bridge import Bridge, Channel, route

FOREVER = 3600.0
GIGABYTE = 1024**3
BURST = 100_000

# As a container would have it: a gigabyte is too much, whatever the process has by now.
if "SPARE_MEMORY" in os.environ:
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    most = size + int(os.environ["SPARE_MEMORY"])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def site(environ, start_response):
    start_response("200 OK", [("Content-Length", "6")])
    return [b"a page"]


def echo(message):
    message.reply_channel.send({"text": f"{message['text']} {os.getpid()}"})


def block(message):
    print("begun: block", flush=True)
    time.sleep(FOREVER)


def leave(message):
    os._exit(7)


def sys_exit(message):
    sys.exit(7)


def fail(message):
    raise ValueError("on purpose")


def allocate(message):
    bytearray(GIGABYTE)


def flood(message):
    for number in range(BURST):
        Channel("sink").send({"number": number})
    message.reply_channel.send({"text": "flooded"})


TROUBLES = [block, leave, sys_exit, fail, allocate, flood]
application = Bridge(
    site,
    [
        route("websocket.receive", echo, path="^/echo$"),
        *(route("websocket.receive", each, path=f"^/{each.__name__}$") for each in TROUBLES),
    ],
)
