"""Every build of uWSGI, with every kind of worker, behind every front end: a socket is a socket.

build: PyPI's uwsgi, pyuwsgi, Debian's; workers: processes, threads, gevent; front end: http-socket,
http11-socket, the routers for http and https, nginx with uwsgi_pass and with proxy_pass, and nginx
with uwsgi_pass to the terminator itself.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import urllib.request
from dataclasses import dataclass

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.integration.certificates import Authority, client_context
from tests.integration.nginx import UWSGI_PARAMS, run_nginx
from tests.integration.servers import PATIENCE
from tests.integration.uwsgi_builds import BUILDS, MODES, find_build
from tests.integration.uwsgi_servers import free_port, run_uwsgi

pytestmark = pytest.mark.integration

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
PASS = "location / {{ include {params}; uwsgi_pass unix:{path}; }}"


@dataclass(frozen=True)
class Front:
    """Where a client connects."""

    port: int
    tls: ssl.SSLContext | None = None

    def open(self, path, **options):
        scheme = "ws" if self.tls is None else "wss"
        url = f"{scheme}://127.0.0.1:{self.port}{path}"
        options = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, "compression": None,
                   "ssl": self.tls, "max_size": None, **options}  # fmt: skip
        return connect(url, proxy=None, **options)

    def get(self, path):
        url = f"http{'s' * (self.tls is not None)}://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE, context=self.tls) as response:
            return response.read()


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
    tls = client_context(authority, version="TLSv1_2")
    found = {front: Front(port, tls if front == "https" else None) for front, port in ports.items()}
    config = ["--listen", str(folder / "asgi.sock")]
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            run_uwsgi(config=config, options=options, env=build.env, binary=build.binary)
        )
        for front, places in {
            "uwsgi_pass": PASS.format(params=UWSGI_PARAMS, path=folder / "uwsgi.sock"),
            "proxy_pass": PROXY.format(port=ports["http-socket"]),
            "listen": PASS.format(params=UWSGI_PARAMS, path=folder / "asgi.sock"),
        }.items():
            place = folder / front
            place.mkdir()
            found[front] = Front(stack.enter_context(run_nginx(place, places)).port)
        yield found


@pytest.fixture(params=FRONTS)
def front(request, fronts):
    if request.param not in fronts:
        pytest.skip("this build, or this kind of worker, has no such front end")
    return fronts[request.param]


def test_the_handshake_has_its_subprotocol_and_its_fields(front):
    with front.open("/full", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert client.response.headers["X-Path"] == "/full"
        assert client.recv() == "welcome"


def test_frames_of_all_kinds_come_back(front):
    with front.open("/echo") as client:
        for content in ("text ä", b"\0\xff", "", b"", "x" * 2**20, b"y" * 2**20):
            client.send(content)
            assert client.recv(timeout=PATIENCE) == content
        client.send(["in ", "four ", "", "fragments"])
        assert client.recv(timeout=PATIENCE) == "in four fragments"
        assert client.ping(b"payload").wait(PATIENCE)


def test_a_close_has_its_code_and_reason_both_ways(front):
    with front.open("/close") as client:
        client.send("4000 enough")
        assert client.recv() == "bye"
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4000, "enough")
    with front.open("/echo") as client:
        client.close(4001, "no more")
        assert client.close_code == 4001


@pytest.mark.parametrize(("path", "status"), [("/deny", 403), ("/refuse", 401)])
def test_a_refusal_is_the_consumers(front, path, status):
    with pytest.raises(InvalidStatus) as caught:
        front.open(path)
    assert caught.value.response.status_code == status
    assert caught.value.response.body in (b"not you", b"who are you?")


def test_pages_are_served_beside_sockets(front):
    with front.open("/group/matrix") as client:
        assert front.get("/") == b'"a page"'
        front.get("/send?group=matrix&text=pushed")
        assert client.recv(timeout=PATIENCE) == "pushed"
        assert front.get("/echo") == b'"a page"'


def test_many_open_sockets_hold_no_worker(front):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(front.open("/echo")) for _ in range(12)]
        assert front.get("/") == b'"a page"'
        for number, client in enumerate(clients):
            client.send(str(number))
            assert client.recv(timeout=PATIENCE) == str(number)


def test_a_client_that_vanishes_is_noticed(front):
    with front.open("/group/vanish") as client:
        client.socket.shutdown(socket.SHUT_RDWR)
    with front.open("/group/vanish") as other:
        front.get("/send?group=vanish&text=left")
        assert other.recv(timeout=PATIENCE) == "left"
