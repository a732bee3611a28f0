"""A site with function consumers for HTTP beside it, and one whose consumers misbehave."""

from __future__ import annotations

from collections import Counter
from wsgiref.validate import validator

from tests.apps.site import application as site
from wsgi_bridge import Bridge, Group, route

seen = Counter()
TEXT = [[b"Content-Type", b"text/plain"]]


def greet(message, name):
    content = f"Hello, {name}!\n".encode()
    message.reply_channel.send({"status": 200, "headers": TEXT, "content": content})


def stream(message):
    """Two messages and an end, in one flush."""
    message.reply_channel.send(
        {"status": 200, "headers": TEXT, "content": b"a", "more_content": True}
    )
    message.reply_channel.send({"content": b"b", "more_content": True})
    message.reply_channel.send({"content": b"c"})


def wait_for_group(message):
    """Answer nothing: whoever sends to the group will."""
    Group("polls").add(message.reply_channel)
    seen["polls"] += 1


def answer_group(message):
    Group("polls").send({"status": 200, "headers": TEXT, "content": b"news"})
    message.reply_channel.send({"status": 204})


def show(message, name):
    content = str(seen[name]).encode()
    message.reply_channel.send({"status": 200, "headers": TEXT, "content": content})


def on_disconnect(message):
    seen["disconnects"] += 1
    seen["disconnected " + message["path"]] += 1


def fail(message):
    raise RuntimeError("this consumer fails")


def fail_after_answer(message):
    message.reply_channel.send({"status": 200, "headers": TEXT, "content": b"sent before"})
    raise RuntimeError("this consumer fails after its answer")


def fail_in_stream(message):
    message.reply_channel.send(
        {"status": 200, "headers": TEXT, "content": b"begun", "more_content": True}
    )
    raise RuntimeError("this consumer fails in its stream")


def exit_process(message):
    raise SystemExit("this consumer exits")


WRONG = {
    "status": {"status": "200 OK", "content": b""},
    "no-status": {"content": b"content"},
    "text": {"status": 200, "content": "text"},
    "none": {"status": 200, "content": None},
    "field": {"status": 200, "headers": [[b"X", b"a\r\nb"]], "content": b""},
    "text-field": {"status": 200, "headers": [["X", "a"]], "content": b""},
    "lone-field": {"status": 200, "headers": [[b"X"]], "content": b""},
    "number-field": {"status": 200, "headers": [[b"X", 1]], "content": b""},
    "headers": {"status": 200, "headers": 1, "content": b""},
    "informational": {"status": 101, "content": b""},
}


def answer_wrongly(message, kind):
    message.reply_channel.send(WRONG[kind])


def stream_wrongly(message):
    message.reply_channel.send(
        {"status": 200, "headers": TEXT, "content": b"a", "more_content": True}
    )
    message.reply_channel.send({"content": "text", "more_content": True})


routing = [
    route("http.request", greet, path=r"^/hello/(?P<name>\w+)$", method="GET"),
    route("http.request", stream, path="^/consumer/stream$"),
    route("http.request", wait_for_group, path="^/poll"),
    route("http.request", answer_group, path="^/news$"),
    route("http.request", show, path=r"^/show/(?P<name>.+)$"),
    route("http.request", fail, path="^/consumer/fail$"),
    route("http.request", fail_after_answer, path="^/consumer/fail-after$"),
    route("http.request", fail_in_stream, path="^/consumer/fail-in-stream$"),
    route("http.request", exit_process, path="^/consumer/exit$"),
    route("http.request", answer_wrongly, path=r"^/wrong/(?P<kind>[\w-]+)$"),
    route("http.request", stream_wrongly, path="^/wrong-stream$"),
    route("http.disconnect", on_disconnect),
]

application = Bridge(site, routing=routing)
validated = validator(site)
