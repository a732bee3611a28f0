"""WebSockets of a site on uWSGI: plain workers hand them over, a mule holds them."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.servers import HELLO
from tests.integration.sockets import RawSocket, get_text, open_socket
from tests.integration.uwsgi_servers import SOCKETS, run_uwsgi
from tests.integration.wire import ask, request
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame
from wsgi_bridge import open_layer
from wsgi_bridge.figures import load_figures

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server():
    with run_uwsgi() as running:
        yield running


@pytest.mark.parametrize("content", ["text ä", b"\x00\xff", "", b"", "x" * 2**20])
def test_what_is_sent_comes_back(server, content):
    with open_socket(server, "/echo") as client:
        client.send(content)
        assert client.recv() == content


def test_the_answer_is_the_consumers(server):
    with open_socket(server, "/full", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert client.response.headers["X-Path"] == "/full"
        assert client.recv() == "welcome"


@pytest.mark.parametrize(
    ("path", "status", "content"), [("/refuse", 401, b"who are you?"), ("/deny", 403, b"not you")]
)
def test_a_refusal_has_its_status_and_content(server, path, status, content):
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server, path)
    assert caught.value.response.status_code == status
    assert caught.value.response.body == content


def test_a_view_in_a_worker_sends_to_a_group(server):
    with open_socket(server, "/group/orders") as one, open_socket(server, "/group/orders") as two:
        for name in ("a", "b", "c", "d"):  # whichever worker it is
            get_text(server, f"/send?group=orders&text={name}")
            assert (one.recv(timeout=10), two.recv(timeout=10)) == (name, name)


def test_a_consumer_closes_with_a_code_and_a_reason(server):
    with open_socket(server, "/close") as client:
        client.send("4000 enough")
        assert client.recv() == "bye"
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4000, "enough")


def test_a_client_closes_with_a_code_and_a_reason(server):
    with open_socket(server, "/disconnect-log") as client:
        client.close(4001, "no more")
    server.wait_for_log("disconnected with 4001")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_key": "short"}, 400),
        ({"connection": "close"}, 400),
        ({"origin": "https://evil.example"}, 403),
        ({"content_length": "3", "transfer_encoding": "chunked"}, 400),
    ],
)
def test_a_bad_handshake_is_refused_and_the_connection_closed(server, fields, status):
    with RawSocket(server, "/echo", **fields) as client:
        response = client.read_response()
        assert response.status == status
        assert status != 426 or response["sec-websocket-version"] == "13"
        assert client.wire.read_rest() == b""


def test_plain_requests_are_the_sites(server):
    assert get_text(server, "/echo") == '"a page"'
    with RawSocket(server, "/nowhere") as client:  # has no route, and so is the site's
        assert client.read_response().content == b'"a page"'


def test_an_open_socket_holds_no_worker(server):
    with contextlib.ExitStack() as stack:
        for number in range(6):  # there are two workers
            client = stack.enter_context(open_socket(server, "/echo"))
            client.send(str(number))
            assert client.recv() == str(number)
        assert get_text(server, "/") == '"a page"'


def test_frames_after_the_handshake_are_all_the_terminators(server):
    with RawSocket(server, "/echo") as client:
        assert client.read_response().status == 101
        for number in range(50):
            client.send(client_frame(TEXT, b"%d" % number))
        assert [client.read_frame()[1] for _ in range(50)] == [b"%d" % n for n in range(50)]


def test_a_stop_closes_sockets_with_1012():
    with run_uwsgi() as server:
        client = RawSocket(server, "/echo")
        client.read_response()
        server.stop()
        assert client.read_frame() == (CLOSE, (1012, ""))
        client.close()


def test_what_mules_count_is_published(server):
    figures = load_figures(open_layer(server.layer_url()))
    before = figures.counts["websocket_connects_count"]
    with open_socket(server, "/echo") as client:
        client.send("counted")
        client.recv()

        def counted():
            found = load_figures(open_layer(server.layer_url()))
            return found.gauges["websockets"] and found.counts["websocket_connects_count"] > before

        server.wait_for(counted, "the socket to be counted")
    assert sorted(each.role for each in figures.processes) == ["consumers", "server"]
    assert {each.pid for each in figures.processes} < set(server.child_pids())


def test_the_stats_server_shows_it(tmp_path):
    path = tmp_path / "stats.sock"
    env = {"ASGI_FIGURES_INTERVAL": "0.2"}
    with run_uwsgi(options={"stats": str(path)}, env=env) as server:
        with open_socket(server, "/echo") as client:
            client.send("counted")
            client.recv()

            def metric(name):
                return read_stats(path)["metrics"][f"asgi.{name}"]["value"]

            server.wait_for(lambda: metric("websockets") == 1, "the socket to be shown")
            assert (metric("websocket_connects"), metric("websocket_messages")) == (1, 1)
        server.wait_for(lambda: metric("websockets") == 0, "it to be gone")


def read_stats(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    return json.loads(data)


# Sites that are no Bridge


@pytest.mark.parametrize(
    ("module", "config"),
    [
        (HELLO, ["--prefix", "/echo", "--prefix", "/refuse"]),
        ("tests.apps.handing_site:application", []),
    ],
)
def test_a_site_that_is_no_bridge_gains_websockets(module, config):
    with run_uwsgi(module, ["--app", SOCKETS, *config]) as server:
        with open_socket(server, "/echo") as client:
            client.send("here")
            assert client.recv() == "here"
        with RawSocket(server, "/refuse") as client:
            assert client.read_response().status == 401
        assert get_text(server, "/") == get_text(server, "/other") == "Hello, world!\n"


def test_a_page_under_a_prefix_is_that_of_the_consumers_site():
    with run_uwsgi(HELLO, ["--app", SOCKETS, "--prefix", "/echo"]) as server:
        assert ask(server, request("/echo")).content == b'"a page"'
        assert ask(server, request("/other")).content == b"Hello, world!\n"
