"""The site of the audits of sockets: its consumers write down what they handle.

A process writes into VERSION-PID.handled

    b TIME SOCKET NUMBER            before it does anything
    e TIME SOCKET NUMBER            before it answers

and answers each frame with its number; the acknowledgement rides on the answer, so that a client
has heard of every frame that was acknowledged. It is set up by the environment.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

from tests.audit.logs import Log
from tests.audit.sabotage import sabotage
from wsgi_bridge import Bridge, Message, route

__all__ = ["application", "make_application"]

#: Names of the variables: where the logs are, what is spoilt, and Plan.life.
FOLDER, SABOTAGE, LIFE = "AUDIT_FOLDER", "AUDIT_SABOTAGE", "AUDIT_LIFE"

#: Seconds that a frame takes, at most: some are under way whenever a process is killed.
LONGEST = 0.008


def make_application(version: str) -> Bridge:
    """Return the site of a deployment."""
    folder = os.environ.get(FOLDER)
    log = Log(folder, "handled", f"{version}-{os.getpid()}") if folder else None

    def handle(message: Message, socket: str) -> None:
        assert log is not None
        number = message["text"]
        log.write(f"b {time.monotonic():.6f} {socket} {number}")
        time.sleep(random.random() * LONGEST)
        log.write(f"e {time.monotonic():.6f} {socket} {number}")
        message.reply_channel.send({"text": number})

    routing = [route("websocket.receive", handle, path=r"^/socket/(?P<socket>\d+)$")]
    bridge = Bridge(_answer_nothing, routing)
    if os.environ.get(SABOTAGE):
        _spoil(bridge, folder or "")
    if float(os.environ.get(LIFE) or 0):
        from wsgi_bridge.layers.redis import keeper

        keeper.LIFE = float(os.environ[LIFE])
    return bridge


def _answer_nothing(_: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


def _spoil(bridge: Bridge, folder: str) -> None:
    open_layer = bridge.open_layer

    def open_spoilt(**options: Any) -> Any:
        layer = open_layer(**options)
        sabotage(layer, os.environ[SABOTAGE], folder)
        return layer

    bridge.open_layer = open_spoilt  # type: ignore[method-assign]


application = make_application("0")
