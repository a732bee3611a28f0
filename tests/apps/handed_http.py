"""Pages that take long, and what says who has them: for hand-over of plain requests."""

from __future__ import annotations

import hashlib
import json
import os
import time

from wsgi_bridge import Bridge, Group, route


def site(environ, start_response):
    path = environ["PATH_INFO"]
    page = PAGES.get(path.rpartition("/")[2], who)
    return page(environ, start_response)


def who(environ, start_response):
    """Say which process this is, and what it sees."""
    body = environ["wsgi.input"].read()
    seen = {
        "pid": os.getpid(),
        "software": environ.get("SERVER_SOFTWARE", ""),
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "cookie": environ.get("HTTP_COOKIE", ""),
        "size": len(body),
        "digest": hashlib.sha256(body).hexdigest(),
    }
    content = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Length", str(len(content))), ("X-Site", "yes")])
    return [content]


def events(environ, start_response):
    """Stream without an end, for browsers that come back when it has one."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return count(b"data: %d\n\n")


def lines(environ, start_response):
    """Stream without an end, for who takes its end for the end."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return count(b"line %d\n")


def count(line):
    number = 0
    try:
        while True:
            number += 1
            yield line % number
            time.sleep(0.02)
    finally:
        print("the stream was closed", flush=True)


def download(environ, start_response):
    """Send twenty megabytes, of a known length."""
    size = 20 * 2**20
    start_response("200 OK", [("Content-Length", str(size))])
    return (bytes([at % 251]) * 65536 for at in range(size // 65536))


def send(environ, start_response):
    Group("polls").send({"status": 200, "headers": [], "content": b"answered"})
    start_response("204 No Content", [])
    return []


def poll(message):
    Group("polls").add(message)


def echo(message):
    key = "text" if message.get("text") is not None else "bytes"
    message.reply_channel.send({key: message[key]})


def close_as_told(message):
    code, _, reason = message["text"].partition(" ")
    message.reply_channel.send({"text": "bye", "close": int(code), "reason": reason})


PAGES = {"events": events, "lines": lines, "download": download, "send": send}
application = Bridge(
    site,
    [
        route("http.request", poll, path="^/poll$"),
        route("websocket.receive", echo, path="^/echo$"),
        route("websocket.receive", close_as_told, path="^/close$"),
    ],
)
