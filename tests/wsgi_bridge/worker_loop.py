"""A worker loop whose wakeups the test runs, and consumers that fail."""

from __future__ import annotations

import contextlib

from wsgi_bridge import Bridge, Channel, open_layer
from wsgi_bridge.worker import Worker

REPLY = "test.response.P1!c1"
CONNECT, RECEIVE, DISCONNECT = "websocket.connect", "websocket.receive", "websocket.disconnect"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Pool:
    """Runs a job at once, or keeps it when told to."""

    time_limit = None

    def __init__(self, free=100):
        self.free = free
        self.started = []

    def start(self, job, first, second):
        self.started.append(first)
        job(first, second)


class Loop:
    """A worker whose wakeups are counted and run by `turn`."""

    def __init__(self, routing=(), app=None, layer=None, pool=None, **options):
        self.layer = layer or open_layer("memory://", clock=Clock())
        self.bridge = Bridge(app or answers("200 OK"), list(routing), layer=self.layer)
        self.due = []
        self.pool = pool or Pool()
        self.worker = Worker(self.bridge, self.layer, self._make_wakeup, **options)
        self.worker.start(self.pool)
        self.layer.listen([REPLY.partition("!")[0] + "!"], lambda: None)

    def _make_wakeup(self, function):
        return lambda: self.due.append(function)

    def turn(self):
        """Do what is due, and what that makes due."""
        while self.due:
            self.due.pop(0)()

    def send(self, channel, **message):
        self.layer.send(channel, {"reply_channel": REPLY, "path": "/", **message})
        self.turn()

    def connect(self, **message):
        self.send(CONNECT, order=0, method="GET", headers=[], query_string=b"", **message)

    def answers(self):
        """Return what was sent to the reply channel."""
        reader = REPLY.partition("!")[0] + "!"
        return [message for _, message in self.layer.receive_many([reader], 100)]


def answers(status, content=b"x"):
    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return [content]

    return app


def failing(exc):
    def consumer(message):
        raise exc

    return consumer


FAILURES = {
    "an exception": ValueError("x"),
    "sys.exit": SystemExit(3),
    "a full channel": None,
    "an exception that is not an Exception": KeyboardInterrupt(),
}


def make_failing(exc):
    def consumer(message):
        message.reply_channel.send({"text": "before"})
        if exc is None:
            for _ in range(200):
                Channel("full").send({"a": 1}, immediately=True)
        raise exc

    return consumer


def survive(loop, function):
    """Run what may let an exception out to the pool, which logs it."""
    with contextlib.suppress(KeyboardInterrupt):
        function()
    loop.turn()
