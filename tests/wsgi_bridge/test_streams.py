"""Streams: who makes one hears when it is for nothing."""

from __future__ import annotations

import threading

import pytest

from tests.wsgi_bridge.wsgi_fakes import FLAGS, READER, make_request
from wsgi_bridge import streams
from wsgi_bridge.exceptions import RequestAborted
from wsgi_bridge.layers import open_layer
from wsgi_bridge.streams import NOTICE, OpenStream, Unaware, is_endless, open_streams, tell_endless
from wsgi_bridge.wsgi import run_wsgi

EVENTS = [("Content-Type", "text/event-stream")]


@pytest.fixture(autouse=True)
def _no_others(monkeypatch):
    monkeypatch.setattr(streams, "_open", set())


@pytest.fixture(params=["memory", "ipc"])
def layer(request, tmp_path):
    layer = open_layer("memory://" if request.param == "memory" else f"ipc://{tmp_path}/layer")
    yield layer
    layer.close()


class View:
    """A view that streams what comes on a channel; runs in a thread of its own."""

    def __init__(self, layer, headers=EVENTS, is_stubborn=False):
        self.layer = layer
        self.is_stubborn = is_stubborn
        self.headers = headers
        self.channel = layer.new_channel("news?")
        self.ended = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.flow_channel = self.read()["flow_channel"]

    def run(self):
        run_wsgi(self.application, make_request(), self.layer, **FLAGS)

    def application(self, environ, start_response):
        start_response("200 OK", self.headers)
        try:
            yield b"hello"
            while True:
                _, message = self.layer.receive([self.channel], block=True, timeout=20)
                yield message["content"]
        except RequestAborted:
            self.ended.append("aborted")
            if not self.is_stubborn:
                raise
            while True:
                yield b"still here"
        finally:
            # What a view does last is not interrupted.
            last = self.layer.receive([self.channel], block=True, timeout=0.01)
            assert last == (None, None)

    def read(self):
        """Return the next message to the server."""
        [(_, message)] = self.layer.receive_many([READER], 1, 10.0)
        return message

    def wait_for_end(self):
        self.thread.join(10)
        assert not self.thread.is_alive()
        assert self.ended == ["aborted"]


def test_a_view_that_waits_hears_at_once_that_its_client_has_gone(layer):
    view = View(layer)
    layer.send(view.flow_channel, {"closed": True})
    view.wait_for_end()
    assert view.read() == {"closed": True}
    assert open_streams() == []


def test_it_takes_what_came_before_and_is_not_disturbed_by_reports(layer):
    view = View(layer)
    layer.send(view.flow_channel, {"sent": 5})
    layer.send(view.channel, {"content": b"news"})
    assert view.read()["content"] == b"news"
    layer.send(view.flow_channel, {"closed": True})
    view.wait_for_end()


def test_a_view_that_goes_on_all_the_same_is_ended_when_it_has_something_to_send(layer):
    view = View(layer, is_stubborn=True)
    layer.send(view.flow_channel, {"closed": True})
    view.wait_for_end()
    assert view.read() == {"closed": True}


def test_a_process_that_stops_tells_those_that_would_never_end(layer):
    endless, download = View(layer), View(layer, headers=[("Content-Type", "text/csv")])
    tell_endless()
    tell_endless()
    endless.wait_for_end()
    assert endless.read() == {"closed": True}
    assert not download.ended
    layer.send(download.flow_channel, {"closed": True})
    download.wait_for_end()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream; charset=utf-8", True),
        (b"multipart/x-mixed-replace; boundary=frame", True),
        (b"multipart/mixed", False),
        (b"application/octet-stream", False),
        (b"", False),
    ],
)
def test_a_stream_is_endless_by_its_type(value, expected):
    assert is_endless([(b"X-Other", b"text/event-stream"), (b"Content-Type", value)]) is expected


def test_who_does_not_notice_is_found_after_a_while():
    now, over = [100.0], set()
    options = {"is_endless": True, "look": lambda timeout: None}
    first, second = (OpenStream(None, "flow?", f"reply!{n}", **options) for n in range(2))
    first.thread, second.thread = 1, 2
    unaware = Unaware(lambda stream: stream.reply_channel in over, clock=lambda: now[0])
    assert unaware.threads() == set()
    over.add("reply!0")
    assert unaware.threads() == set()
    now[0] += NOTICE
    assert unaware.threads() == {1}
    over.add("reply!1")
    first.close()  # it did notice
    assert unaware.threads() == set()
    now[0] += NOTICE
    assert unaware.threads() == {2}
