"""What other parsers read: gunicorn's own, llhttp and h11, each as a server would."""

from __future__ import annotations

from dataclasses import dataclass, field

import gunicorn
import h11
import httptools
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser

from gunicorn_asgi.policy import read_policy
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import RequestError
from tests.gunicorn_asgi.test_reader import Collector

# The parser of earlier ones is laxer: it was tightened in each release.
IS_STRICT_GUNICORN = gunicorn.version_info >= (27,)
CONFIG = Config()
if "http_parser" in CONFIG.settings:  # the one in C is laxer
    CONFIG.set("http_parser", "python")
POLICY = read_policy(CONFIG)


@dataclass(frozen=True)
class Read:
    """A request that was read to its end. Names of fields are in lower case."""

    method: str
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    # What another parser says of it too, and need not be equal.
    version: str = field(default="", compare=False)
    keep_alive: bool | None = field(default=None, compare=False)


def make_read(method, target, headers, body, **more) -> Read:
    """Return a request without what no two need to agree on.

    Fields with an underscore are dropped by the policy, and the Host of a target that is a URL is
    replaced by the target's; the name of a coding has no case.
    """
    kept = [
        (name, value.lower() if name == b"transfer-encoding" else value)
        for name, value in headers
        if b"_" not in name
    ]
    if not target.startswith(b"/"):
        kept = [(name, value) for name, value in kept if name != b"host"]
    return Read(method, target.partition(b"#")[0], tuple(kept), body, **more)


@dataclass
class Outcome:
    """What our reader made of bytes: complete requests, and why it refused to go on."""

    requests: list[Read]
    error: RequestError | None
    rest: bytes  # behind an upgrade


def read_ours(pieces, policy=POLICY, peer="") -> Outcome:
    """Feed our reader with pieces."""
    collector, error = Collector(), None
    reader = RequestReader(collector, policy, peer)
    try:
        for piece in pieces:
            reader.feed(piece)
    except RequestError as exc:
        error = exc
    found = zip(collector.requests, collector.bodies, collector.ends, strict=True)
    requests = [
        make_read(request.method, request.target, map(tuple, request.headers), body,
                  version=request.version, keep_alive=request.keep_alive)
        for request, body, is_ended in found
        if is_ended
    ]  # fmt: skip
    return Outcome(requests, error, reader.rest)


def read_gunicorn(data: bytes) -> list[Read]:
    """Return what gunicorn's parser reads."""
    requests = []
    try:
        for request in RequestParser(CONFIG, iter([data]), ("192.0.2.1", 1)):
            body = request.body.read()
            fields = [(n.lower().encode(), v.encode("latin-1")) for n, v in request.headers]
            requests.append(
                make_read(request.method, request.uri.encode(), fields, body,
                          keep_alive=not request.should_close())
            )  # fmt: skip
    except (ParseException, OSError, ValueError):
        pass  # it is refused
    return requests


class _Llhttp:
    def __init__(self, data: bytes) -> None:
        self.requests: list[Read] = []
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
            self.fields.append((name.lower(), value.strip(b" \t")))  # which it leaves to others

    def on_headers_complete(self):
        self.is_head_done = True

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        method = self.parser.get_method().decode()
        self.requests.append(make_read(method, self.target, self.fields, self.body))


def read_llhttp(data: bytes) -> list[Read]:
    """Return what llhttp reads."""
    return _Llhttp(data).requests


def read_h11(data: bytes) -> list[Read]:
    """Return what h11 reads, when each request is answered with 405."""
    requests: list[Read] = []
    keep_alive = True
    while keep_alive:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        # RFC 9112 section 2.2 would have it ignored.
        connection.receive_data(data.removeprefix(b"\r\n"))
        try:
            found = _read_one(connection)
        except h11.RemoteProtocolError:
            break
        if found is None:
            break
        requests.append(found)
        keep_alive = bool(found.keep_alive)
        data = connection.trailing_data[0]
    return requests


def _read_one(connection: h11.Connection) -> Read | None:
    request, body = connection.next_event(), b""
    if type(request) is not h11.Request:
        return None
    while type(event := connection.next_event()) is h11.Data:
        body += bytes(event.data)
    if type(event) is not h11.EndOfMessage:
        return None
    connection.send(h11.Response(status_code=405, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    keep_alive = connection.our_state is h11.DONE
    return make_read(
        request.method.decode(), request.target, request.headers, body, keep_alive=keep_alive
    )
