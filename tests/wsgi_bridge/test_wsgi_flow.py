"""Uploads and downloads of any size through bounded memory, over the real memory layer."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc

import pytest

from tests.wsgi_bridge.wsgi_fakes import BODY, FLAGS, FakeServer, make_request
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.messages import BODY_WINDOW
from wsgi_bridge.wsgi import run_wsgi
from wsgi_bridge.wsgi_input import WINDOW as READ_WINDOW
from wsgi_bridge.wsgi_reply import PIECE_SIZE, WINDOW

MEGABYTE = 1024 * 1024
TEXT = [("Content-Type", "text/plain")]
BLOCK = bytes(range(256)) * 256  # 64 KiB


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


def run(app, layer, **keys):
    run_wsgi(app, make_request("POST", **keys), layer, stall_timeout=10.0, **FLAGS)


def digest_app(environ, start_response):
    """Answer with the digest of the body, read in blocks."""
    digest = hashlib.sha256()
    while block := environ["wsgi.input"].read(10_000):
        digest.update(block)
    start_response("200 OK", TEXT)
    return [digest.hexdigest().encode()]


@pytest.mark.parametrize("is_sized", [True, False], ids=["Content-Length", "chunked"])
def test_an_upload_of_100_mb_goes_through_little_memory(layer, is_sized):
    count = 100 * MEGABYTE // len(BLOCK)
    headers = [(b"content-length", b"%d" % (count * len(BLOCK)))] if is_sized else []
    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(BLOCK)
    tracemalloc.start()
    try:
        with FakeServer(layer, body=(BLOCK for _ in range(count))) as server:
            run(digest_app, layer, body_channel=BODY, headers=headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert server.received == [expected.hexdigest().encode()]
    assert peak < 3 * MEGABYTE


def test_a_download_of_100_mb_goes_through_little_memory(layer):
    digest = hashlib.sha256()
    expected = hashlib.sha256()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        for _ in range(100):
            block = BLOCK * 16
            expected.update(block)
            yield block

    tracemalloc.start()
    try:
        with FakeServer(layer, read=digest.update) as server:
            run(app, layer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert server.is_complete
    assert digest.digest() == expected.digest()
    assert peak < 6 * MEGABYTE


def test_a_download_in_thousands_of_tiny_blocks_is_whole(layer):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return iter([b"x"] * 20_000)

    with FakeServer(layer) as server:
        run(app, layer)
    assert server.received_size == 20_000


def test_a_client_that_does_not_read_holds_its_app_back_and_nobody_else(layer):
    can_read = threading.Event()
    yielded = []

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        for number in range(64):
            yielded.append(number)
            yield BLOCK

    def read(content):
        # The second message: the first ones are what the window lets through.
        if len(server.messages) > 1:
            assert can_read.wait(10)

    with FakeServer(layer, read=read) as server:
        thread = threading.Thread(target=run, args=(app, layer), daemon=True)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        assert len(yielded) <= (WINDOW + PIECE_SIZE) // len(BLOCK) + 1
        can_read.set()
        thread.join(10)
    assert server.is_complete
    assert len(yielded) == 64


def test_an_app_that_ignores_an_upload_lets_only_the_initial_window_in(layer):
    def app(environ, start_response):
        start_response("413 Too Much", TEXT)
        return [b"no"]

    with FakeServer(layer, body=(BLOCK for _ in range(1600))) as server:
        run(app, layer, body_channel=BODY)
    assert server.received == [b"no"]
    assert server.body_sent == BODY_WINDOW


def test_an_expected_100_continue_lets_nothing_in_before_the_app_reads(layer):
    def app(environ, start_response):
        start_response("417 No", TEXT)
        return [b"no"]

    headers = [(b"expect", b"100-continue"), (b"content-length", b"1000000")]
    with FakeServer(layer, body=iter([BLOCK]), window=0) as server:
        run(app, layer, body_channel=BODY, headers=headers)
    assert server.body_sent == 0


def test_an_expected_100_continue_is_asked_for_when_the_app_reads(layer):
    headers = [(b"expect", b"100-continue"), (b"content-length", b"%d" % len(BLOCK))]
    with FakeServer(layer, body=iter([BLOCK]), window=0) as server:
        run(digest_app, layer, body_channel=BODY, headers=headers)
    assert server.window == READ_WINDOW
    assert server.received == [hashlib.sha256(BLOCK).hexdigest().encode()]


def test_an_echo_streams_both_ways_at_once(layer):
    count = 8 * MEGABYTE // len(BLOCK)
    digest = hashlib.sha256()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return iter(lambda: environ["wsgi.input"].read(50_000), b"")

    with FakeServer(layer, body=(BLOCK for _ in range(count)), read=digest.update):
        run(app, layer, body_channel=BODY)
    assert digest.digest() == hashlib.sha256(BLOCK * count).digest()


def test_a_full_reply_channel_loses_nothing():
    layer = MemoryLayer(capacity=3)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return iter([b"%05d" % number for number in range(200)])

    with FakeServer(layer) as server:
        run(app, layer)
    assert b"".join(server.received) == b"".join(b"%05d" % number for number in range(200))


def test_a_client_that_goes_away_in_a_download_ends_it(layer):
    closes = []
    blocks = iter([BLOCK] * 1600)

    class Download:
        def __iter__(self):
            return blocks

        def close(self):
            closes.append(True)

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return Download()

    def leave(content):
        if len(server.messages) == 5:
            server.is_closed = True
            layer.send(server._flow_channel, {"closed": True})

    with FakeServer(layer, read=leave) as server:
        run(app, layer)
    assert closes == [True]
    assert len(list(blocks)) > 1500
