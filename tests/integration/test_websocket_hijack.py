"""The hijack convention: an unmodified Flask site with flask-sock keeps its WebSockets."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.sockets import RawSocket, get_text, open_socket
from tests.wsgi_bridge.protocols.frames import TEXT, client_frame

pytest.importorskip("flask_sock")
pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 32"]
SERVER = {
    "app": "tests.apps.flask_sockets:app",
    "args": ["--access-logfile", "-"],
    "may_log_errors": True,
}


def test_it_echoes(server):
    with open_socket(server, "/echo") as client:
        for content in ("text ä", b"bytes", "", "x" * 200_000):
            client.send(content)
            assert client.recv() == content


def test_many_at_a_time_and_the_sites_pages_beside_them(server):
    clients = [open_socket(server, "/echo", legacy=True) for _ in range(20)]
    for number, client in enumerate(clients):
        client.send(str(number))
    assert [client.recv() for client in clients] == [str(number) for number in range(20)]
    assert get_text(server, "/") == "a page"
    for client in clients:
        client.close()


def test_a_socket_that_the_app_leaves_is_closed_and_logged_as_no_error(server):
    with open_socket(server, "/once") as client:
        assert client.recv() == "hello"
        with pytest.raises(ConnectionClosed):
            client.recv()
    log = server.wait_for_log('"GET /once HTTP/1.1" 101 ')
    assert "Traceback" not in log


def test_an_app_that_fails_on_its_socket_ends_that_socket_only(server):
    with open_socket(server, "/echo") as client:
        client.send("fail")
        with pytest.raises(ConnectionClosed):
            client.recv()
    with open_socket(server, "/echo") as client:
        client.send("alive")
        assert client.recv() == "alive"


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/", 400)])
def test_a_page_that_is_no_socket_refuses_the_handshake(server, path, status):
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server, path)
    assert caught.value.response.status_code == status


def test_a_message_of_more_than_the_kernel_takes_at_once_comes_whole(server):
    content = b"x" * 8_000_000
    with RawSocket(server, "/echo") as client:
        client.read_response()
        client.send(client_frame(TEXT, content))
        assert client.read_frame() == (TEXT, content)


def test_a_frame_sent_with_the_handshake_is_not_lost(server):
    with RawSocket(server, "/echo", with_it=client_frame(TEXT, b"early")) as client:
        client.read_response()
        assert client.read_frame() == (TEXT, b"early")
