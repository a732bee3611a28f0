"""Every build of uWSGI, with every kind of worker, behind every front end: a socket is a socket.

build: PyPI's uwsgi, pyuwsgi, Debian's; workers: processes, threads, gevent; front end: http-socket,
http11-socket, the routers for http and https, nginx with uwsgi_pass and with proxy_pass, and nginx
with uwsgi_pass to the terminator itself.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import socket
import ssl
from dataclasses import dataclass

import pytest

from tests.integration.certificates import Authority, client_context
from tests.integration.nginx import UWSGI_PARAMS, run_nginx
from tests.integration.servers import PATIENCE
from tests.integration.sockets import RawSocket
from tests.integration.uwsgi_builds import BUILDS, MODES, find_build
from tests.integration.uwsgi_servers import UwsgiServer, free_port, run_uwsgi
from tests.integration.wire import ask, chunked, post, request
from tests.wsgi_bridge.protocols.frames import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    client_frame,
    close_frame,
)

pytestmark = pytest.mark.integration

APP = "tests.apps.uwsgi_matrix:application"
# The example of RFC 6455 section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MEGABYTE = bytes(range(256)) * 4096
# To mask a megabyte takes a while: once for all.
masked = functools.cache(client_frame)
FRONTS = ("http-socket", "http11-socket", "http", "https", "uwsgi_pass", "proxy_pass", "listen")
ROUTERS = ("http", "https")
PROXY = """
location / {{
    proxy_pass http://127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $http_connection;
}}
"""
# Some uwsgi_params have the host without its port, which an Origin has.
PASS = """
location / {{
    include {params};
    uwsgi_param HTTP_HOST $host:$server_port;
    uwsgi_pass unix:{path};
}}
"""


@dataclass(frozen=True)
class Front:
    """Where a client connects. It has what those of `sockets` and `wire` need of a server."""

    name: str
    server: UwsgiServer
    port: int
    tls: ssl.SSLContext | None = None

    def connect(self, *, timeout=PATIENCE, **_):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if self.tls is None:
            return sock
        return self.tls.wrap_socket(sock, server_hostname="127.0.0.1")

    def open(self, path, **fields):
        """Return an open socket. It has no thread: two may not use an SSL object at once."""
        client = RawSocket(self, path, **fields)
        assert client.read_response().status == 101
        return client

    def is_of_workers(self, page):
        """Whether a worker has made a page, and no consumers' mule."""
        return page["pid"] in self.server.worker_pids()


@pytest.fixture(scope="module", params=[(b, m) for b in BUILDS for m in MODES], ids="-".join)
def fronts(request, tmp_path_factory):
    """All front ends of one uWSGI, by name."""
    name, mode = request.param
    build = find_build(name)
    folder = tmp_path_factory.mktemp("fronts")
    authority = Authority(folder)
    certificate, key = authority.issue("site")
    ports = {front: free_port() for front in ("http-socket", "http11-socket", *ROUTERS)}
    options = {front: f"127.0.0.1:{port}" for front, port in ports.items()}
    options["https"] += f",{certificate},{key}"
    if not build.has_tls:
        del options["https"], ports["https"]
    if mode == "gevent":  # refused there
        del options["http11-socket"], ports["http11-socket"]
    # The routers would take the first socket there is, which may be one for HTTP.
    path = str(folder / "uwsgi.sock")
    options |= {"socket": path, "http-to": path, **build.options(mode)}
    tls = client_context(authority)
    config = ["--http", "/held", "--listen", str(folder / "asgi.sock")]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            run_uwsgi(APP, config, options=options, env=build.env, binary=build.binary)
        )
        found = {
            front: Front(front, server, port, tls if front == "https" else None)
            for front, port in ports.items()
        }
        for front, places in {
            "uwsgi_pass": PASS.format(params=UWSGI_PARAMS, path=folder / "uwsgi.sock"),
            "proxy_pass": PROXY.format(port=ports["http-socket"]),
            "listen": PASS.format(params=UWSGI_PARAMS, path=folder / "asgi.sock"),
        }.items():
            place = folder / front
            place.mkdir()
            found[front] = Front(front, server, stack.enter_context(run_nginx(place, places)).port)
        yield found


@pytest.fixture(params=FRONTS)
def front(request, fronts):
    if request.param not in fronts:
        pytest.skip("this build, or this kind of worker, has no such front end")
    return fronts[request.param]


def seen(response):
    assert response.status == 200
    return json.loads(response.content)


# WebSockets


def test_a_handshake_has_its_subprotocol_and_fields_both_ways(front):
    fields = {"x_field": "some thing", "cookie": "a=b; c=d", "sec_websocket_protocol": "a, b"}
    fields["origin"] = f"http://127.0.0.1:{front.port}"
    with RawSocket(front, "/full?x=%20y", sec_websocket_key=KEY, **fields) as client:
        response = client.read_response()
        assert (response.status, response["sec-websocket-accept"]) == (101, ACCEPT)
        assert (response["sec-websocket-protocol"], response["x-said"]) == ("b", "yes")
        assert [value for name, value in response.fields if name == "set-cookie"] == ["a=1", "b=2"]
        opcode, told = client.read_frame()
        assert opcode == TEXT
        assert json.loads(told) == {
            "scheme": "wss" if front.name == "https" else "ws",
            "path": "/full",
            "root_path": "",
            "query": "x=%20y",
            "field": "some thing",
            "cookie": "a=b; c=d",
        }


def test_messages_come_back_as_what_they_are(front):
    with front.open("/echo") as client:
        for opcode, longest in ((TEXT, b"x" * 2**20), (BINARY, MEGABYTE)):
            for content in ("text ä".encode(), b"", longest):
                client.send(masked(opcode, content))
                assert client.read_frame() == (opcode, content)


def test_fragments_become_one_message_and_a_ping_among_them_has_its_pong(front):
    with front.open("/echo") as client:
        client.send(client_frame(TEXT, b"one, ", fin=False))
        client.send(client_frame(PING, b"are you there?"))
        client.send(client_frame(CONT, b"two, ", fin=False))
        client.send(client_frame(CONT, b"three"))
        assert client.read_frame() == (PONG, b"are you there?")
        assert client.read_frame() == (TEXT, b"one, two, three")
        client.send(client_frame(BINARY, b"\0", fin=False) + client_frame(CONT, b""))
        assert client.read_frame() == (BINARY, b"\0")


def test_every_frame_is_the_terminators(front):
    with front.open("/echo") as client:
        for number in range(20):
            client.send(client_frame(TEXT, b"%d" % number))
        assert [client.read_frame()[1] for _ in range(20)] == [b"%d" % n for n in range(20)]


def test_a_consumer_closes_with_a_code_and_a_reason(front):
    with front.open("/close") as client:
        client.send(client_frame(TEXT, "4000 enough ä".encode()))
        assert client.read_frame() == (TEXT, b"bye")
        assert client.read_frame() == (CLOSE, (4000, "enough ä"))
        client.send(close_frame(4000))
        assert client.wire.is_ended()


def test_a_client_closes_with_a_code_and_a_reason(front):
    with front.open("/gone") as client:
        client.send(close_frame(4001, "no more"))
        opcode, (code, _) = client.read_frame()
        assert (opcode, code) == (CLOSE, 4001)
        assert client.wire.is_ended()
    front.server.wait_for_log("closed with 4001 'no more'")


def test_a_client_that_goes_is_gone(front):
    front.open("/gone").close()
    front.server.wait_for_log("closed with 1006 ''")


def test_a_fault_of_a_client_closes_its_socket(front):
    with front.open("/echo") as client:
        client.send(client_frame(CONT, b"of nothing"))
        opcode, (code, _) = client.read_frame()
        assert (opcode, code) == (CLOSE, 1002)


def test_what_a_page_pushes_reaches_a_group(front):
    with front.open("/group") as one, front.open("/group") as two:
        # Both are in it: what they send comes behind that.
        for client in (one, two):
            client.send(client_frame(TEXT, b"here"))
            assert client.read_frame() == (TEXT, b"here")
        assert ask(front, request("/push")).status == 204
        assert one.read_frame() == two.read_frame() == (TEXT, b"pushed")


def test_a_refusal_has_its_status_and_content(front):
    with RawSocket(front, "/deny") as client:
        response = client.read_response()
        assert (response.status, response.content) == (403, b"not you")


# Plain HTTP


def test_sockets_that_are_open_hold_no_worker(front):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(front.open("/echo")) for _ in range(6)]
        page = seen(ask(front, request("/plain?a=1", "Cookie: a=b")))
        assert front.is_of_workers(page) is (front.name != "listen")
        assert (page["path"], page["query"], page["cookie"]) == ("/plain", "a=1", "a=b")
        for client in clients:
            client.send(client_frame(TEXT, b"here"))
            assert client.read_frame() == (TEXT, b"here")


@pytest.mark.parametrize("target", ["/plain", "/held"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["of a length", "chunked"])
def test_a_body_comes_whole_wherever_it_is_served(front, target, is_chunked):
    for parts in ([b"small", b"\0"], [MEGABYTE, b"\0", MEGABYTE]):
        body = b"".join(parts)
        page = seen(ask(front, chunked(target, parts) if is_chunked else post(target, body)))
        assert (page["size"], page["digest"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert front.is_of_workers(page) is (target == "/plain" and front.name != "listen")


@pytest.mark.parametrize("target", ["/plain", "/held"])
def test_a_body_of_two_lengths_is_refused(front, target):
    two = request(
        target, "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n0\r\n\r\n"
    )
    assert ask(front, two).status == 400
