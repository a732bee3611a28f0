"""RequestReader beside gunicorn's own parser and llhttp: what one reads as one, none reads as two.

Requests are damaged at random (the same in each run). What our reader accepts, gunicorn's strict
parser must accept too, and both must have read the same; so must llhttp, of what it reads at all.
"""

from __future__ import annotations

import random

import gunicorn
import httptools
import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from gunicorn_asgi.policy import read_policy
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import RequestError
from tests.gunicorn_asgi.test_reader import REFUSED, STREAMS, Collector

# The parser of earlier ones is laxer: it was tightened in each release.
needs_gunicorn_27 = pytest.mark.skipif(gunicorn.version_info < (27,), reason="a laxer parser")
CONFIG = Config()
if "http_parser" in CONFIG.settings:  # the one in C is laxer
    CONFIG.set("http_parser", "python")
POLICY = read_policy(CONFIG)
ROUNDS = 10
CASES = 80
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"0", b"1", b"5", b"\0", b"\x7f", b"\x80",
    b'"', b"=", b"#", b"?", b"/", b"%", b"+", b"-", b"_", b"a", b"x" * 9, b"\r\n\r\n", b"HTTP/1.1",
    b"chunked", b"gzip", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n",
    b"Host: b\r\n", b"Connection: close\r\n", b"X: \x0b\r\n", b"Expect: 100-continue\r\n",
]  # fmt: skip
SEEDS = [*STREAMS.values(), *(data for _, data in REFUSED if len(data) < 200)]


def damage(data, chance):
    """Return ``data`` with some bytes put in, left out or replaced."""
    for _ in range(chance.randint(1, 3)):
        place, kind = chance.randrange(len(data) + 1), chance.random()
        piece = b"" if kind < 0.25 else chance.choice(PIECES)
        left_out = chance.randint(1, 4) if kind < 0.25 else int(kind < 0.5)
        data = data[:place] + piece + data[place + left_out :]
    return data or b"G"


def damaged(seed):
    chance = random.Random(seed)
    return [damage(chance.choice(SEEDS), chance) for _ in range(CASES)]


def comparable(method, target, headers, body):
    """Return what must be the same: of headers, what no rule of ours drops or replaces."""
    kept = [(name, value) for name, value in headers if b"_" not in name]
    if not target.startswith(b"/"):
        kept = [(name, value) for name, value in kept if name != b"host"]
    return method, target.partition(b"#")[0], kept, body


def read_ours(data, cuts=()):
    """Return the complete requests of ``data``, and whether it is refused."""
    collector, is_refused = Collector(), False
    reader = RequestReader(collector, POLICY)
    try:
        for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
            reader.feed(data[start:end])
    except RequestError:
        is_refused = True
    return [
        comparable(request.method, request.target, map(tuple, request.headers), body)
        for request, body, is_ended in zip(
            collector.requests, collector.bodies, collector.ends, strict=True
        )
        if is_ended
    ], is_refused


def read_gunicorns(data):
    requests = []
    try:
        for request in RequestParser(CONFIG, iter([data]), ("192.0.2.1", 1)):
            body = request.body.read()
            fields = [(n.lower().encode(), v.encode("latin-1")) for n, v in request.headers]
            requests.append(comparable(request.method, request.uri.encode(), fields, body))
    except (ParseException, OSError, ValueError):
        pass  # it is refused
    return requests


class Llhttp:
    """What llhttp reads."""

    def __init__(self, data):
        self.requests = []
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            pass  # it stops behind CONNECT

    def on_message_begin(self):
        self.target, self.fields, self.body, self.is_head_done = b"", [], b"", False

    def on_url(self, data):
        self.target += data

    def on_header(self, name, value):
        if not self.is_head_done:
            # It leaves white space behind a value, which is no part of it (RFC 9110, 5.5).
            self.fields.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self):
        self.is_head_done = True

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        method = self.parser.get_method().decode()
        self.requests.append(comparable(method, self.target, self.fields, self.body))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_damaged_requests_are_read_the_same_however_they_are_cut(seed):
    for data in damaged(seed):
        assert read_ours(data, range(1, len(data))) == read_ours(data), data


@needs_gunicorn_27
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_is_accepted_gunicorn_accepts_too_and_reads_the_same(seed):
    for data in damaged(seed):
        ours = read_ours(data)[0]
        assert read_gunicorns(data)[: len(ours)] == ours, data


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_llhttp_reads_of_the_same_bytes_is_the_same(seed):
    for data in damaged(seed):
        if b"pgrade" in data:  # it stops there
            continue
        both = zip(read_ours(data)[0], Llhttp(data).requests, strict=False)
        assert all(one == other for one, other in both), data
