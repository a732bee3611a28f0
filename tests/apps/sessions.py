"""A site whose sockets keep something from frame to frame, in whatever process each is handled."""

from __future__ import annotations

import json
import os
import time

from wsgi_bridge import Bridge, channel_session, route


def site(environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


@channel_session
def count(message):
    """Answer with the number of this frame, what was before it, and who handled it."""
    session = message.channel_session
    before = session.setdefault("texts", [])
    before.append(message["text"])
    answer = {"texts": before, "pid": os.getpid()}
    message.reply_channel.send({"text": json.dumps(answer)})


@channel_session
def end(message):
    print("ended after", len(message.channel_session["texts"]), "frames", flush=True)


def add_one(data):
    data["frames"] = data.get("frames", 0) + 1


@channel_session
def wait(message):
    """Wait for a file, which the frame names; count the frames that have."""
    path = message["text"]
    with open(f"{path}.begun", "a") as begun:
        begun.write("x")
    while not os.path.exists(path):
        time.sleep(0.005)
    message.channel_session.change(add_one)
    message.reply_channel.send({"text": "done"})


@channel_session
def end_waiting(message):
    print("waited in", message.channel_session["frames"], "frames", flush=True)


application = Bridge(
    site,
    [
        route("websocket.receive", count, path="^/count$"),
        route("websocket.disconnect", end, path="^/count$"),
        route("websocket.receive", wait, path="^/wide$", window=4),
        route("websocket.disconnect", end_waiting, path="^/wide$"),
    ],
)
