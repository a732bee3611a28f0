"""Sites that the test client is tried on: a WSGI app of little pages, and consumers."""

from __future__ import annotations

import json
import time

from wsgi_bridge import Bridge, Channel, DenyConnection, Group, route

CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"
TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Steps:
    """An app iterable that notes how far it was asked to go."""

    def __init__(self, count):
        self.made = []
        self.is_closed = False
        self._count = count

    def __iter__(self):
        for number in range(self._count):
            self.made.append(number)
            yield b"%d" % number

    def close(self):
        self.is_closed = True


class App:
    """One page a method, named after the path's first part."""

    def __init__(self):
        self.steps = Steps(5)
        self.requests = []

    def __call__(self, environ, start_response):
        self.requests.append(environ)
        page = getattr(self, environ["PATH_INFO"].strip("/").partition("/")[0] or "home")
        return page(environ, start_response)

    def home(self, environ, start_response):
        start_response("200 OK", TEXT)
        return [b"home"]

    def echo(self, environ, start_response):
        start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE", ""))])
        return [environ["wsgi.input"].read()]

    def size(self, environ, start_response):
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", TEXT)
        return [b"%d" % size]

    def deaf(self, environ, start_response):
        start_response("200 OK", TEXT)
        return [b"not read"]

    def environ(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        plain = {key: value for key, value in environ.items() if isinstance(value, str)}
        return [json.dumps(plain).encode()]

    def stream(self, environ, start_response):
        start_response("200 OK", TEXT)
        return self.steps

    def large(self, environ, start_response):
        start_response("200 OK", TEXT)
        return (b"x" * 100_000 for _ in range(30))

    def many(self, environ, start_response):
        start_response("200 OK", TEXT)
        return (b"x" for _ in range(3000))

    def short(self, environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "10")])
        return [b"short"]

    def fail(self, environ, start_response):
        raise LookupError("the app failed")

    def halfway(self, environ, start_response):
        start_response("200 OK", TEXT)
        yield b"half"
        raise LookupError("the app failed halfway")

    def visit(self, environ, start_response):
        count = environ.get("HTTP_COOKIE", "count=0").partition("=")[2]
        field = ("Set-Cookie", f"count={int(count) + 1}; Path=/; HttpOnly")
        start_response("200 OK", [*TEXT, field, ("Set-Cookie", "other=1; Path=/elsewhere")])
        return [count.encode()]

    def old(self, environ, start_response):
        start_response("302 Found", [*TEXT, ("Location", "/environ?moved=1")])
        return [b"moved"]

    def again(self, environ, start_response):
        start_response("307 Temporary Redirect", [*TEXT, ("Location", "/echo")])
        return [b"moved"]

    def circle(self, environ, start_response):
        start_response("302 Found", [*TEXT, ("Location", "/circle")])
        return [b"moved"]

    def notify(self, environ, start_response):
        Group("everybody").send({"text": "news"})
        start_response("204 No Content", [])
        return []

    def poll(self, environ, start_response):
        _, message = application_layer().receive(["news"], block=True, timeout=30.0)
        start_response("200 OK", TEXT)
        return [message["what"].encode() if message else b"nothing"]


def application_layer():
    return Channel("news").channel_layer


def accept(message):
    chosen = "chat.v2" if "chat.v2" in message.get("subprotocols", ()) else None
    cookie = dict(message["headers"]).get(b"cookie", b"")
    headers = [[b"x-path", message["path"].encode()], [b"x-cookie", cookie]]
    answer = {"accept": True, "headers": headers}
    message.reply_channel.send(answer | ({"subprotocol": chosen} if chosen else {}))
    Group("everybody").add(message.reply_channel)


def deny(message):
    raise DenyConnection("members only", status=401)


def greet(message):
    message.reply_channel.send({"text": "welcome"})


def say_back(message):
    if message.get("text") is None:
        message.reply_channel.send({"bytes": message["bytes"]})
    else:
        message.reply_channel.send({"text": message["text"]})


def obey(message):
    """Do what the text says."""
    command, _, rest = message["text"].partition(" ")
    if command == "fail":
        raise LookupError(rest)
    if command == "close":
        message.reply_channel.send({"text": "bye", "close": int(rest or 1000), "reason": "asked"})
    elif command == "all":
        Group("everybody").send({"text": rest})
    elif command == "work":
        Channel("thumbnails").send({"name": rest, "for": message.reply_channel.name})
    elif command == "repeat":
        for number in range(int(rest)):
            message.reply_channel.send({"text": str(number)})
    elif command == "slow":
        time.sleep(0.001)
        message.reply_channel.send({"text": rest}, immediately=True)
    elif command == "both":
        message.reply_channel.send({"text": "a", "bytes": b"b"})
    elif command == "whatcode":
        message.reply_channel.send({"close": 1005})


class Journal(list):
    """What consumers were given, in order."""

    def note(self, message):
        keys = ("order", "text", "bytes", "code", "reason", "what")
        self.append({key: message[key] for key in keys if message.get(key) is not None})


def make_site(**settings):
    """Return (bridge, app, journal)."""
    journal, app = Journal(), App()

    def make_thumbnail(message):
        Channel(message["for"]).send({"text": f"thumbnail of {message['name']}"})

    def answer_later(message):
        Group("waiting").add(message.reply_channel)

    routing = [
        route("thumbnails", make_thumbnail),
        route("http.request", answer_later, path="^/later$"),
        route("http.disconnect", journal.note),
        route(CONNECT, deny, path="^/private/"),
        route(CONNECT, greet, path="^/greeting/"),
        route(CONNECT, lambda message: obey({"text": "fail x"}), path="^/broken/"),
        route(CONNECT, lambda message: time.sleep(0), path="^/plain/"),
        route(CONNECT, accept, path="^/(?:chat|echo)/"),
        route(RECEIVE, say_back, path="^/echo/"),
        route(RECEIVE, obey, path="^/chat/"),
        route(RECEIVE, journal.note, path="^/plain/"),
        route(DISCONNECT, journal.note, path="^/(?:plain|echo|chat)/"),
    ]
    return Bridge(app, routing=routing, **settings), app, journal


application = make_site()[0]
