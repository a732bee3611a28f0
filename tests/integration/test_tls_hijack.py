"""The hijack convention over TLS: an unmodified Flask site with flask-sock, as wss."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.certificates import Authority, client_context
from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import RawSocket
from tests.integration.wire import open_wire, request
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame, close_frame

pytest.importorskip("flask_sock")
pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 32"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(arrangement: str, authority: Authority) -> Iterator[Server]:
    certificate, key = authority.issue("site")
    args = ["--certfile", str(certificate), "--keyfile", str(key), "--access-logfile", "-"]
    env = {"ASGI_CLOSE_TIMEOUT": "0.3"}
    with run_server(
        "tests.apps.flask_sockets:app", args=args, env=env, may_log_errors=True
    ) as running:
        yield running


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    return client_context(authority, version=request.param)


def open_socket(server: Server, path: str, authority: Authority) -> ClientConnection:
    """Return an open connection of the `websockets` library.

    It reads in a thread of its own. With TLS 1.3 reading writes, too, and before Python 3.13
    nothing keeps two threads from using one connection.
    """
    tls = client_context(authority, version="TLSv1_2")
    return connect(
        f"wss://127.0.0.1:{server.port}{path}",
        ssl=tls, proxy=None, compression=None, open_timeout=PATIENCE, max_size=None
    )  # fmt: skip


def test_it_echoes(server: Server, authority: Authority) -> None:
    with open_socket(server, "/echo", authority) as client:
        for content in ("text ä", b"bytes", "", "x" * 3_000_000):
            client.send(content)
            assert client.recv() == content


def test_many_at_a_time_and_the_sites_pages_beside_them(
    server: Server, context: ssl.SSLContext
) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo", tls=context)) for _ in range(20)]
        for number, client in enumerate(clients):
            assert client.read_response().status == 101
            client.send(client_frame(TEXT, b"%d" % number))
        answers = [client.read_frame() for client in clients]
        assert answers == [(TEXT, b"%d" % number) for number in range(20)]
        with open_wire(server, tls=context) as wire:
            assert wire.ask(request()).content == b"a page"


def test_a_frame_sent_with_the_handshake_is_not_lost(
    server: Server, context: ssl.SSLContext
) -> None:
    with RawSocket(server, "/echo", tls=context, with_it=client_frame(TEXT, b"early")) as client:
        client.read_response()
        assert client.read_frame() == (TEXT, b"early")


def test_a_socket_that_the_app_leaves_ends_with_close_notify_and_is_logged_as_no_error(
    server: Server, context: ssl.SSLContext
) -> None:
    with RawSocket(server, "/once", tls=context) as client:
        client.read_response()
        assert client.read_frame() == (TEXT, b"hello")
        assert client.read_frame()[0] is CLOSE
        client.send(close_frame(1000))
        assert client.wire.is_ended()  # with an end that was announced: see Server.connect
    log = server.wait_for_log('"GET /once HTTP/1.1" 101 ')
    assert "Traceback" not in log


def test_an_app_that_fails_on_its_socket_ends_that_socket_only(
    server: Server, authority: Authority
) -> None:
    with open_socket(server, "/echo", authority) as client:
        client.send("fail")
        with pytest.raises(ConnectionClosed):
            client.recv()
    with open_socket(server, "/echo", authority) as client:
        client.send("alive")
        assert client.recv() == "alive"


@pytest.mark.parametrize("how", ["it says so", "it is gone"])
def test_an_app_hears_that_its_client_has_left(
    server: Server, context: ssl.SSLContext, how: str
) -> None:
    mark = f"/echo?{how.replace(' ', '-')}-{context.maximum_version.name}"
    with RawSocket(server, mark, tls=context) as client:
        client.read_response()
        if how == "it is gone":
            client.wire.reset()
    server.wait_for_log(f'"GET {mark} HTTP/1.1" 101 ')


def test_a_message_of_more_than_the_kernel_takes_at_once_comes_whole(
    server: Server, context: ssl.SSLContext
) -> None:
    content = b"x" * 8_000_000
    with RawSocket(server, "/echo", tls=context) as client:
        client.read_response()
        client.send(client_frame(TEXT, content))
        assert client.read_frame() == (TEXT, content)
