"""The test client says what a real server says: the same scripts, on both, side by side."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import get, open_socket
from tests.wsgi_bridge.testing.sites import make_site
from wsgi_bridge.testing import Client, HandshakeRefused, SocketClosed

pytestmark = pytest.mark.integration

# A path, options of the handshake, and what is done: a message to send, an int to receive so many,
# a pair to close with; whoever is at the end receives until the socket is closed.
SCRIPTS: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "an echo": ("/echo/", {}, ["text", 1, b"\x00", 1, "x" * 70_000, 1, "", 1, (1000, "")]),
    "a burst": ("/chat/", {}, ["repeat 50", 50, "all hello", 1, (1001, "away")]),
    "a frame too large": ("/echo/", {}, ["x" * 1_048_577]),
    "a consumer that closes": ("/chat/", {}, ["close 4001", 1]),
    "a consumer that fails": ("/chat/", {}, ["fail x"]),
    "a close code that nobody may send": ("/chat/", {}, ["whatcode"]),
    "text and bytes at once": ("/chat/", {}, ["both", "all after", 1, (3000, "")]),
    "work in the background": ("/chat/", {}, ["work cat.png", 1, (1000, "")]),
    "an answer at once": ("/chat/", {}, ["slow x", 1, (1000, "")]),
    "a greeting": ("/greeting/", {}, [1, (1000, "")]),
    "a consumer that says nothing": ("/plain/", {}, ["a", "b", (1000, "")]),
    "a subprotocol": ("/echo/", {"subprotocols": ["chat.v1", "chat.v2"]}, [(1000, "")]),
    "a refusal": ("/private/", {}, []),
    "a failure in the handshake": ("/broken/", {}, []),
    "no route": ("/nowhere/", {}, []),
    "a page's own origin": ("/echo/", {"origin": "http://HOST"}, [(1000, "")]),
    "an origin elsewhere": ("/echo/", {"origin": "http://elsewhere.example"}, []),
    "an origin that is none": ("/echo/", {"origin": "null"}, []),
}

REQUESTS: dict[str, tuple[str, str, Any]] = {
    "a page": ("GET", "/", None),
    "a head": ("HEAD", "/", None),
    "a short body": ("POST", "/echo", b"a=1"),
    "a long body": ("POST", "/size", b"x" * 300_000),
    "a body that nobody reads": ("POST", "/deaf", b"x" * 10),
    "a stream": ("GET", "/stream", None),
    "a long stream": ("GET", "/large", None),
    "an app that fails": ("GET", "/fail", None),
    "a redirection": ("GET", "/old", None),
    "no content": ("GET", "/notify", None),
}
# The server's own, which differ: its name, and that of the connection.
OWN_FIELDS = frozenset(("date", "server", "connection"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server("tests.wsgi_bridge.testing.sites:application", may_log_errors=True) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    base_url = f"http://127.0.0.1:{server.port}"
    with Client(make_site()[0], base_url=base_url, raise_exceptions=False) as client:
        yield client


def play(socket: Any, receive: Any, steps: list[Any], closed: Any) -> list[Any]:
    """Return what a socket received, step by step, and how it ended."""
    heard = []
    try:
        for step in steps:
            if isinstance(step, int):
                heard += [receive() for _ in range(step)]
            elif isinstance(step, tuple):
                socket.close(*step)
            else:
                socket.send(step)
        receive()
    except closed as end:
        heard.append(type(end).__name__)
    return heard


def play_in_server(
    server: Server, path: str, options: dict[str, Any], steps: list[Any]
) -> list[Any]:
    try:
        socket = open_socket(server, path, compression="deflate", max_size=None, **options)
    except InvalidStatus as refusal:
        body = bytes(refusal.response.body or b"")
        fields = refusal.response.headers.raw_items()
        return [refusal.response.status_code, own(fields), body]
    with socket:
        heard = play(socket, lambda: socket.recv(timeout=PATIENCE), steps, ConnectionClosed)
        end = socket.protocol.close_rcvd
        return [socket.subprotocol, heard[:-1], end and (end.code, end.reason)]


def play_in_process(
    client: Client, path: str, options: dict[str, Any], steps: list[Any]
) -> list[Any]:
    try:
        socket = client.websocket(path, **options)
    except HandshakeRefused as refusal:
        return [refusal.status, own(refusal.headers.fields()), refusal.content]
    heard = play(socket, socket.receive, steps, SocketClosed)
    return [
        socket.accepted_subprotocol,
        heard[:-1],
        (socket.close_code, socket.close_reason) if socket.close_code != 1006 else None,
    ]


def own(fields: Any) -> list[tuple[str, str]]:
    return sorted((name.lower(), text) for name, text in fields if name.lower() not in OWN_FIELDS)


@pytest.mark.parametrize(("path", "options", "steps"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_socket_is_the_same(
    server: Server, client: Client, path: str, options: dict[str, Any], steps: list[Any]
) -> None:
    if "origin" in options:
        options = {"origin": options["origin"].replace("HOST", f"127.0.0.1:{server.port}")}
    expected = play_in_server(server, path, options, steps)
    assert play_in_process(client, path, options, steps) == expected


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS.values(), ids=REQUESTS)
def test_a_response_is_the_same(
    server: Server, client: Client, method: str, path: str, body: bytes | None
) -> None:
    real = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    real.request(method, path, body)
    expected = real.getresponse()
    content = expected.read()
    response = client.request(method, path, content=body)
    fields = own(pair for pair in response.headers.fields())
    assert (response.status, fields) == (expected.status, own(expected.getheaders()))
    assert response.content == content
    real.close()


@pytest.mark.parametrize("path", ["/environ/a%2Fb?a=%20b", "/environ/caf%C3%A9"])
def test_the_environ_is_the_same(server: Server, client: Client, path: str) -> None:
    environ = client.get(path).json()
    keys = ("PATH_INFO", "QUERY_STRING", "REQUEST_METHOD", "HTTP_HOST", "SERVER_PORT")
    page = get(server, path)
    assert [environ[key] for key in keys] == [page[key] for key in keys]
