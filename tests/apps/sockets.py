"""WebSocket consumers for the integration tests, and a site whose pages look at what they did.

State is in the module: one worker process runs it. The site answers 200 everywhere, which is no
reason to accept a WebSocket there.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from typing import ClassVar
from urllib.parse import parse_qs

from wsgi_bridge import Bridge, DenyConnection, Group, route, route_class
from wsgi_bridge.generic import JsonWebsocketConsumer, WebsocketDemultiplexer

seen = defaultdict(list)  # what happened, by name
gates = defaultdict(threading.Event)  # what consumers wait for, by name


# The site


def site(environ, start_response):
    path = environ["PATH_INFO"]
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    content = PAGES.get(path, lambda query: "a page")(query)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]


def open_gate(query):
    gates[query["name"]].set()


def send_to_group(query):
    size = int(query.get("size", 0))
    message = {"text": query["text"]} if not size else {"bytes": b"x" * size}
    Group(query["group"]).send(message)


def answer_polls(query):
    content = {"status": 200, "headers": [[b"X-Poll", b"yes"]], "content": query["text"].encode()}
    Group("polls").send(content)


PAGES = {
    "/seen": lambda query: seen[query["name"]],
    "/open": open_gate,
    "/send": send_to_group,
    "/answer-polls": answer_polls,
    "/members": lambda query: len(Group(query["group"]).channels()),
    "/statistics": lambda query: application.statistics(),
}


# Consumers


def echo(message):
    if message.get("text") is not None:
        message.reply_channel.send({"text": message["text"]})
    else:
        message.reply_channel.send({"bytes": message["bytes"]})


def accept_fully(message):
    headers = [[b"Set-Cookie", b"a=1"], [b"Set-Cookie", b"b=2"], [b"X-Path", b"/full"]]
    offered = message["subprotocols"]
    subprotocol = offered[-1] if offered else None
    answer = {"accept": True, "subprotocol": subprotocol, "headers": headers, "text": "welcome"}
    message.reply_channel.send(answer)


def refuse(message):
    headers = [[b"WWW-Authenticate", b"Basic"]]
    answer = {"accept": False, "status": 401, "headers": headers, "content": b"who are you?"}
    message.reply_channel.send(answer)


def deny(message):
    raise DenyConnection("not you")


def fail(message):
    if message.get("text", "fail") == "fail":
        raise ValueError("asked to fail")
    echo(message)


def hold(message):
    gates["hold"].wait(30)


def ponder(message):
    seen["pondering"].append(message["path"])
    time.sleep(0.3)


def handle_in_order(message):
    """Note when each frame begins and ends; the first waits for the gate."""
    seen["order"].append(f"begin {message['order']}")
    gates["order"].wait(30)
    seen["order"].append(f"end {message['order']}")


def swallow(message):
    seen["swallowed"].append(message["order"])
    gates["swallow"].wait(30)


def join(message, group):
    Group(group).add(message)


def join_and_send(message, group):
    """Send to the group before this socket, which is in it, is accepted."""
    Group(group).add(message)
    Group(group).send({"text": "from connect"}, immediately=True)


def note_disconnect(message, **named_groups):
    seen["disconnects"].append([message["path"], message["code"], message["reason"]])


def log_disconnect(message):
    print(f"disconnected with {message['code']}", flush=True)


def pause(message):
    seen["paused"].append(message["text"])
    time.sleep(float(message["text"]))
    print("paused to the end", flush=True)


def close_as_told(message):
    code, _, reason = message["text"].partition(" ")
    message.reply_channel.send({"text": "bye", "close": int(code), "reason": reason})


def poll(message):
    Group("polls").add(message)


class Sums(JsonWebsocketConsumer):
    groups = ("sums",)

    def receive(self, content, **kwargs):
        self.send({"sum": sum(content)})


class Upper(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        kwargs["multiplexer"].send({"say": content["say"].upper()})


class Lower(JsonWebsocketConsumer):
    def receive(self, content, **kwargs):
        kwargs["multiplexer"].send({"say": content["say"].lower()})


class Streams(WebsocketDemultiplexer):
    consumers: ClassVar = {"upper": Upper, "lower": Lower}


CONNECT, RECEIVE = "websocket.connect", "websocket.receive"
routing = [
    route(RECEIVE, echo, path="^/(?:echo|full)$"),
    route(CONNECT, accept_fully, path="^/full$"),
    route(CONNECT, refuse, path="^/refuse$"),
    route(CONNECT, deny, path="^/deny$"),
    route(CONNECT, fail, path="^/fail-connect$"),
    route(CONNECT, hold, path="^/hold$"),
    route(CONNECT, ponder, path="^/ponder$"),
    route(RECEIVE, fail, path="^/fail$"),
    route(RECEIVE, fail, path="^/continue$", on_error="continue"),
    route(RECEIVE, handle_in_order, path="^/order$"),
    route(RECEIVE, swallow, path="^/swallow$"),
    route(RECEIVE, close_as_told, path="^/close$"),
    route(CONNECT, join, path=r"^/group/(?P<group>\w+)$"),
    route(CONNECT, join_and_send, path=r"^/early/(?P<group>\w+)$"),
    route(RECEIVE, pause, path="^/pause$"),
    route("websocket.disconnect", log_disconnect, path="^/disconnect-log$"),
    route_class(Sums, path="^/sums$"),
    route_class(Streams, path="^/streams$"),
    route("http.request", poll, path="^/poll$"),
    route("websocket.disconnect", note_disconnect, path="^/gone/"),
]
application = Bridge(site, routing)
