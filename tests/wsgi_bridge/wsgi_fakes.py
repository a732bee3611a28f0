"""A layer that records, a client's request, and a server in a thread, for the tests of the bridge.

`RecordingLayer` never waits: a receive that would block returns nothing at once, as if its time had
passed. `FakeServer` is the other side of the flow control of a real layer.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.wsgi import run_wsgi
from wsgi_bridge.wsgi_reply import MESSAGE_COST, WINDOW

REPLY = "test.response.P1!c1"
READER = "test.response.P1!"
BODY = "http.request.body?b1"
FLAGS = {"multithread": True, "multiprocess": False, "server_software": "test/1"}


def make_request(method="GET", path="/", headers=(), **keys):
    """Return an http.request message."""
    return {
        "reply_channel": REPLY,
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": [list(pair) for pair in headers],
        "client": ["192.0.2.7", 40000],
        "server": ["192.0.2.1", 8000],
        **keys,
    }


class RecordingLayer:
    """Keeps what is sent; hands out what the test put in `waiting`."""

    def __init__(self):
        self.sent = []
        self.waiting = defaultdict(deque)
        self.receives = []
        self.full_for = 0  # sends that find the channel full
        self.on_send = lambda message: None

    def send(self, channel, message):
        if self.full_for:
            self.full_for -= 1
            raise ChannelFull(channel)
        self.sent.append((channel, dict(message)))
        self.on_send(message)

    hand_over = send

    def receive_many(self, channels, limit=1, timeout=0.0):
        self.receives.append((tuple(channels), timeout))
        queue = self.waiting[channels[0]]
        return [(channels[0], queue.popleft()) for _ in range(min(limit, len(queue)))]

    def new_channel(self, pattern):
        return pattern + "new"

    @property
    def flow(self):
        """What the server reports of the response."""
        return self.waiting["http.response.flow?new"]

    @property
    def replies(self):
        """The messages on the reply channel, without the flow channel's name."""
        assert {channel for channel, _ in self.sent} <= {REPLY}
        return [
            {key: value for key, value in message.items() if key != "flow_channel"}
            for _, message in self.sent
        ]


def exchange(app, request=None, layer=None, **options):
    """Run an app for one request and return the messages it is answered with."""
    layer = layer or RecordingLayer()
    run_wsgi(app, request or make_request(), layer, **FLAGS, **options)
    return layer.replies


class FakeServer:
    """The server's side of one exchange, in a thread of its own, until the response has ended.

    Sends `body` (an iterable of bytes) as the reader's window allows; reports content as it
    "leaves", in which `read` may wait; `received` holds what the client got.
    """

    def __init__(self, layer, body=None, read=None, window=BODY_WINDOW):
        self.layer = layer
        self.body = iter(body) if body is not None else None
        self.read = read or self.keep
        self.window = window
        self.received = []
        self.received_size = 0
        self.messages = []
        self.body_sent = 0
        self.is_complete = False
        self.is_closed = False
        self._flow_channel = ""
        self._reported = self._cost = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._thread.join(20)
        assert not self._thread.is_alive(), "the response did not end"

    def keep(self, content):
        self.received.append(content)

    def _run(self):
        self._send_body()
        while not (self.is_complete or self.is_closed):
            for _, message in self.layer.receive_many([READER], limit=16, timeout=10.0):
                self._handle(message)

    def _handle(self, message):
        self.is_closed = self.is_closed or bool(message.get("closed"))
        if "body_window" in message:
            self.window = message["body_window"]
            self._send_body()
        elif not self.is_closed:
            self._flow_channel = message.get("flow_channel", self._flow_channel)
            self.is_complete = not message["more_content"]
            self.messages.append((len(message["content"]), message["more_content"]))
            self.read(message["content"])
            self._report(len(message["content"]))

    def _send_body(self):
        while self.body is not None and self.body_sent < self.window:
            content = next(self.body, None)
            if content is None:
                self.body = None
            else:
                self.body_sent += len(content)
            chunk = {"content": content or b"", "more_content": content is not None}
            self.layer.send(BODY, chunk)

    def _report(self, size):
        self.received_size += size
        self._cost += size + MESSAGE_COST
        if self._flow_channel and self._cost >= WINDOW // 2 and not self.is_complete:
            self._cost = 0
            self.layer.send(self._flow_channel, {"sent": self.received_size})
