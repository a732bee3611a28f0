"""WebSockets over TLS (wss)."""

from __future__ import annotations

import contextlib
import signal
import ssl
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.integration.certificates import Authority, client_context
from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import RawSocket
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame, close_frame

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
SITE = "tests.apps.sockets:application"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def options(authority: Authority) -> list[str]:
    certificate, key = authority.issue("site")
    return ["--certfile", str(certificate), "--keyfile", str(key)]


@pytest.fixture(scope="module")
def server(arrangement: str, options: list[str]) -> Iterator[Server]:
    with run_server(SITE, args=options) as running:
        yield running


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    return client_context(authority, version=request.param)


@pytest.mark.parametrize("content", ["text ä", b"\x00\xff", "", "x" * 2**20, b"x" * 2**20])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_what_is_sent_comes_back(
    server: Server, authority: Authority, content: str | bytes, compression: str | None
) -> None:
    with connect(
        f"wss://127.0.0.1:{server.port}/echo",
        # The library reads in a thread of its own. With TLS 1.3 reading writes, too, and before
        # Python 3.13 nothing keeps two threads from using one connection.
        ssl=client_context(authority, version="TLSv1_2"),
        proxy=None,
        compression=compression,
        open_timeout=PATIENCE,
        max_size=None,
    ) as client:
        for _ in range(3):
            client.send(content)
            assert client.recv() == content


def test_many_frames_come_back_in_order(server: Server, context: ssl.SSLContext) -> None:
    with RawSocket(server, "/echo", tls=context) as client:
        assert client.read_response().status == 101
        frames = [b"%d" % number for number in range(300)]
        for frame in frames:
            client.send(client_frame(TEXT, frame))
        assert [client.read_frame() for _ in frames] == [(TEXT, frame) for frame in frames]


def test_frames_that_come_with_the_handshake_are_handled(
    server: Server, context: ssl.SSLContext
) -> None:
    frames = client_frame(TEXT, b"a") + client_frame(TEXT, b"b")
    with RawSocket(server, "/echo", tls=context, with_it=frames) as client:
        assert client.read_response().status == 101
        assert [client.read_frame(), client.read_frame()] == [(TEXT, b"a"), (TEXT, b"b")]


def test_a_client_that_closes_gets_its_close_back(server: Server, context: ssl.SSLContext) -> None:
    with RawSocket(server, "/echo", tls=context) as client:
        assert client.read_response().status == 101
        client.send(close_frame(1000))
        assert client.read_frame() == (CLOSE, (1000, ""))
        with pytest.raises(EOFError):
            client.read_frame()


def test_a_stop_closes_them_with_1012(options: list[str], context: ssl.SSLContext) -> None:
    with run_server(SITE, args=options) as server, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo", tls=context)) for _ in range(20)]
        assert [client.read_response().status for client in clients] == [101] * 20
        server.kill(signal.SIGTERM)
        for client in clients:
            assert client.read_frame() == (CLOSE, (1012, ""))
            client.send(close_frame(1012))
            assert client.wire.is_ended()
            client.close()  # else the server would linger for it
        assert server.stop() < 3
