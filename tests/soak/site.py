"""The site of a soak: a page, or a socket, for each kind of visitor.

Blocking code throughout, as sites are: it runs in greenlets or in threads.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any
from urllib.parse import parse_qs

from tests.soak.sabotage import spoil
from wsgi_bridge import Bridge, Group, Message, route
from wsgi_bridge.consumers import get_default_layer

__all__ = ["PROVOKED", "application"]

#: What the log says where a visitor asked for an error.
PROVOKED = "a visitor of the soak asked for this error"

ROOM = "room"
EVENTS = "events"
SSE_PATIENCE = 10.0
HELLO = b"Hello, world!\n" * 10


def site(environ: dict[str, Any], start_response: Any) -> Any:
    page = PAGES.get(environ["PATH_INFO"], not_found)
    asked = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    return page(environ, start_response, asked)


def reply(start_response: Any, content: bytes, status: str = "200 OK") -> list[bytes]:
    headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))]
    start_response(status, headers)
    return [content]


def hello(_: Any, start_response: Any, __: Any) -> list[bytes]:
    return reply(start_response, HELLO)


def not_found(_: Any, start_response: Any, __: Any) -> list[bytes]:
    return reply(start_response, b"no such page\n", "404 Not Found")


def digest(environ: dict[str, Any], start_response: Any, _: Any) -> list[bytes]:
    """Read the body in blocks; answer with its size and its SHA-256."""
    size, sha = 0, hashlib.sha256()
    while block := environ["wsgi.input"].read(65536):
        size += len(block)
        sha.update(block)
    return reply(start_response, f"{size} {sha.hexdigest()}".encode())


def stream(_: Any, start_response: Any, asked: dict[str, str]) -> Any:
    """`count` pieces of `size` bytes, one every `pause` seconds; no Content-Length."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for number in range(int(asked["count"])):
        yield b"%08d" % number + b"." * (int(asked["size"]) - 8)
        time.sleep(float(asked["pause"]))


def events(_: Any, start_response: Any, asked: dict[str, str]) -> Any:
    """Server-sent events: so many of what the group says."""
    layer = get_default_layer()
    channel = layer.new_channel("soak?")
    Group(EVENTS).add(channel)
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    try:
        yield b": hello\n\n"
        for _ in range(int(asked["count"])):
            _, message = layer.receive([channel], block=True, timeout=SSE_PATIENCE)
            yield f"data: {message['text']}\n\n".encode() if message else b": nothing\n\n"
    finally:
        Group(EVENTS).discard(channel)


def fail(*_: Any) -> list[bytes]:
    raise RuntimeError(PROVOKED)


PAGES = {
    "/": hello,
    "/digest": digest,
    "/events": events,
    "/fail": fail,
    "/stream": stream,
}


# Sockets


def echo(message: Message) -> None:
    key = "text" if message.get("text") is not None else "bytes"
    message.reply_channel.send({key: message[key]})


def enter(message: Message) -> None:
    Group(ROOM).add(message)
    message.reply_channel.send({"accept": True})


def say(message: Message) -> None:
    Group(ROOM).send({"text": message["text"]})


def answer_later(message: Message) -> None:
    """`text` after `delay` seconds, from JSON."""
    asked = json.loads(message["text"])
    message.reply_channel.send_later({"text": asked["text"]}, delay=asked["delay"])


def flood(message: Message) -> None:
    """Many large answers, for a client that does not read."""
    for _ in range(64):
        message.reply_channel.send({"bytes": bytes(100_000)})


def tick(_: Message) -> None:
    """What server-sent events tell of."""
    Group(EVENTS).send({"text": f"{time.time():.3f}"})


application = Bridge(
    spoil(site),
    [
        route("websocket.receive", echo, path="^/echo$"),
        route("websocket.connect", enter, path="^/room$"),
        route("websocket.receive", say, path="^/room$"),
        route("websocket.receive", answer_later, path="^/later$"),
        route("websocket.receive", flood, path="^/flood$"),
        route("ticks", tick),
    ],
)
application.send_every(0.2, "ticks")
