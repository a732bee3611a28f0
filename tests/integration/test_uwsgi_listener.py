"""The terminators' own socket, which speaks the uwsgi protocol: past the workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import stat

import pytest

from tests.integration.nginx import UWSGI_PARAMS, run_nginx
from tests.integration.servers import ROOT
from tests.integration.sockets import RawSocket, open_socket
from tests.integration.uwsgi_servers import run_uwsgi
from tests.integration.wire import Wire, ask, post, request
from tests.uwsgi_asgi.environ import make_environ, make_handshake
from tests.uwsgi_asgi.packets import make_packet
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame

pytestmark = pytest.mark.integration
APP = "tests.apps.handed_http:application"


class Site:
    """A uWSGI whose workers listen nowhere that matters here, and its terminator's socket."""

    def __init__(self, server, path):
        self.server = server
        self.path = str(path)

    @contextlib.contextmanager
    def send(self, environ, behind=b""):
        """Send a request; yield what its answer is read from."""
        variables = {key: value for key, value in environ.items() if key.isupper()}
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(self.path)
            wire = Wire(sock)
            wire.send(make_packet(variables) + behind)
            yield wire

    def ask(self, environ, behind=b""):
        with self.send(environ, behind) as wire:
            return wire.read_response()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("listener")


@pytest.fixture(scope="module")
def site(folder):
    path = folder / "asgi.sock"
    with run_uwsgi(APP, ["--listen", str(path)], may_lose_workers=True) as server:
        yield Site(server, path)


@pytest.fixture(scope="module")
def nginx(site, folder):
    place = (ROOT / "docs" / "examples" / "uwsgi-listen.conf").read_text()
    place = place.replace("/run/mysite/asgi.sock", site.path)
    with run_nginx(folder, place.replace("uwsgi_params", str(UWSGI_PARAMS))) as running:
        yield running


def seen(response):
    assert response.status == 200
    return json.loads(response.content)


def test_a_websocket_is_served_without_a_worker(site):
    environ = make_handshake(PATH_INFO="/echo", REQUEST_URI="/echo")
    with site.send(environ, client_frame(TEXT, b"at once")) as wire:
        assert wire.read_head().status == 101
        assert wire.read_exactly(9) == b"\x81\x07at once"
    assert "/echo" not in site.server.log()  # no worker has had it


@pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 3_000_000])
def test_a_request_is_served_with_its_body(site, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    environ = make_environ(PATH_INFO="/x", REQUEST_METHOD="POST", CONTENT_LENGTH=str(size))
    found = seen(site.ask(environ, body))
    assert (found["size"], found["digest"]) == (size, hashlib.sha256(body).hexdigest())
    assert found["pid"] in site.server.mule_pids("consumer")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (make_packet({"PATH_INFO": "/"}), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (make_packet({"REQUEST_METHOD": "GET", "CONTENT_LENGTH": "many"}), 400),
        (make_packet({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "3",
                      "HTTP_TRANSFER_ENCODING": "chunked"}), 400),
        (make_packet({"REQUEST_METHOD": "GET", "HTTP_UPGRADE": "websocket",
                      "HTTP_CONNECTION": "Upgrade"}), 400),
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused(site, data, status):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(site.path)
        wire = Wire(sock)
        wire.send(data)
        assert wire.read_response().status == status


def test_who_comes_and_goes_is_forgotten(site):
    for data in (b"", b"\0", make_packet({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "9"})):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(site.path)
            sock.sendall(data)
    assert seen(site.ask(make_environ()))["method"] == "GET"


def test_the_socket_is_for_the_sites_group(site):
    assert stat.S_IMODE(os.stat(site.path).st_mode) == 0o660


def test_nginx_passes_sockets_and_requests_there(nginx):
    with open_socket(nginx, "/echo", subprotocols=["a"]) as client:
        for content in ("text ä", b"\0\xff", "x" * 2**20, ""):
            client.send(content)
            assert client.recv() == content
    body = b"x" * 3_000_000
    found = seen(ask(nginx, post("/y%20z?a=1", body, "Cookie: a=b")))
    assert (found["path"], found["query"], found["cookie"]) == ("/y z", "a=1", "a=b")
    assert found["digest"] == hashlib.sha256(body).hexdigest()


def test_nginx_passes_a_close_on_both_ways(nginx):
    with RawSocket(nginx, "/close") as client:
        assert client.read_response().status == 101
        client.send(client_frame(TEXT, b"4000 enough"))
        assert client.read_frame() == (TEXT, b"bye")
        assert client.read_frame() == (CLOSE, (4000, "enough"))


def test_nginx_streams(nginx):
    with contextlib.closing(nginx.connect()) as sock:
        wire = Wire(sock)
        wire.send(request("/held/events"))
        assert wire.read_head().status == 200
        assert b"data: 3" in wire.read_until(b"data: 3\n\n")


def test_who_connects_while_the_terminator_is_killed_is_served_by_the_next(site):
    [pid] = site.server.mule_pids("terminator")
    os.kill(pid, signal.SIGKILL)
    assert seen(site.ask(make_environ()))["method"] == "GET"
    [new] = site.server.mule_pids("terminator")
    assert new != pid
