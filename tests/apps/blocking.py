"""A site and a consumer that block their thread, in Python and in C, until a file is there."""

from __future__ import annotations

import hashlib
import os
import select
import sys
import threading
import time
from pathlib import Path

from wsgi_bridge import Bridge, route

GATE = Path(os.environ.get("GATE_FILE", "/nowhere"))
PATIENCE = 60.0  # seconds until a view that nobody lets go on does


def sleep():
    time.sleep(0.01)


def poll():
    """Wait in a system call."""
    select.poll().poll(10)


def compute():
    """Work in C for some milliseconds, without the interpreter's lock."""
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 10_000)


def block(work):
    print("site: blocked", flush=True)
    deadline = time.monotonic() + PATIENCE
    while not GATE.exists() and time.monotonic() < deadline:
        work()
    return "released"


def say_thread():
    monkey = sys.modules.get("gevent.monkey")
    is_patched = monkey is not None and any(map(monkey.is_module_patched, ("socket", "threading")))
    return f"{threading.current_thread().name} {'patched' if is_patched else 'native'}"


PAGES = {
    "/sleep": lambda: block(sleep),
    "/poll": lambda: block(poll),
    "/compute": lambda: block(compute),
    "/thread": say_thread,
}


def site(environ, start_response):
    content = PAGES.get(environ["PATH_INFO"], lambda: "a page")().encode()
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


def echo(message):
    message.reply_channel.send({"text": message["text"]})


application = Bridge(site, [route("websocket.receive", echo, path="^/echo$")])
