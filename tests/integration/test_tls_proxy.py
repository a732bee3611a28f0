"""The PROXY protocol in front of TLS: who the client is comes in clear, before its handshake."""

from __future__ import annotations

import contextlib
import json
import signal
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gunicorn_asgi.test_proxy_protocol import HEADERS, REFUSED, SILENT, V1, v2
from tests.integration.certificates import Authority, client_context
from tests.integration.servers import Server, run_server
from tests.integration.sockets import handshake
from tests.integration.wire import Wire, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
SITE = "tests.apps.clients:application"
CLIENT = "198.51.100.7"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def options(authority: Authority) -> list[str]:
    certificate, key = authority.issue("site")
    files = ["--certfile", str(certificate), "--keyfile", str(key)]
    return [*files, "--proxy-protocol", "--access-logfile", "-", "--keep-alive", "5"]


@pytest.fixture(scope="module")
def server(arrangement: str, options: list[str]) -> Iterator[Server]:
    args = [*options, "--ca-certs", options[1], "--cert-reqs", str(int(ssl.CERT_OPTIONAL))]
    with run_server(SITE, args=args, env={"ASGI_TLS_TIMEOUT": "0.3"}) as running:
        yield running


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    return client_context(authority)


@contextlib.contextmanager
def open_behind_proxy(
    server: Server, context: ssl.SSLContext, header: bytes, *, size: int = 65536
) -> Iterator[Wire]:
    """Connect as a proxy does, which says ``header`` in pieces of ``size`` bytes."""
    plain = server.connect()
    for start in range(0, len(header), size):
        plain.sendall(header[start : start + size])
    with context.wrap_socket(
        plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
    ) as sock:
        yield Wire(sock)


def read_environ(wire: Wire) -> dict[str, str]:
    environ: dict[str, str] = json.loads(wire.ask(request("/environ")).content)
    return environ


def read_greeting(wire: Wire, server: Server) -> Any:
    """Return what a consumer saw in `websocket.connect`."""
    wire.send(handshake(server, "/greet"))
    assert wire.read_head().status == 101
    length = wire.read_exactly(2)[1]
    if length == 126:
        length = int.from_bytes(wire.read_exactly(2), "big")
    return json.loads(wire.read_exactly(length))


@pytest.mark.parametrize(("header", "client", "to", "protocol"), HEADERS.values(), ids=HEADERS)
def test_the_client_is_whom_the_proxy_says(
    server: Server, context: ssl.SSLContext, header: bytes, client: str, to: str, protocol: str
) -> None:
    with open_behind_proxy(server, context, header) as wire:
        for _ in range(2):
            environ = read_environ(wire)
            assert environ["wsgi.url_scheme"] == "https"
            assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (client, "56324")
            assert (environ["PROXY_ADDR"], environ["PROXY_PORT"]) == (to, "443")
            assert environ["PROXY_PROTOCOL"] == protocol
            assert environ["SSL_CLIENT_VERIFY"] == "NONE"  # both are told
    server.wait_for_log(f"{client} - - ")


def test_a_websocket_is_that_clients_too(server: Server, context: ssl.SSLContext) -> None:
    with open_behind_proxy(server, context, V1) as wire:
        greeting = read_greeting(wire, server)
        assert (greeting["scheme"], greeting["client"]) == ("wss", [CLIENT, 56324])
        assert greeting["variables"]["PROXY_PROTOCOL"] == "TCP4"


@pytest.mark.parametrize("header", [V1, HEADERS["version 2"][0]], ids=["version 1", "version 2"])
def test_a_header_that_comes_byte_by_byte_is_understood(
    server: Server, context: ssl.SSLContext, header: bytes
) -> None:
    with open_behind_proxy(server, context, header, size=1) as wire:
        assert read_environ(wire)["REMOTE_ADDR"] == CLIENT


@pytest.mark.parametrize("header", [V1, HEADERS["version 2"][0]], ids=["version 1", "version 2"])
def test_a_handshake_that_begins_in_the_same_packet_is_understood(
    server: Server, context: ssl.SSLContext, header: bytes
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with server.connect() as sock:
        sent = header
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(sent + outgoing.read())
                sent = b""
                incoming.write(sock.recv(65536))
        tls.write(request("/environ", "Connection: close"))
        sock.sendall(outgoing.read())
        while data := sock.recv(65536):
            incoming.write(data)
        answer = b""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while part := tls.read(65536):
                answer += part
    assert f'"REMOTE_ADDR": "{CLIENT}"'.encode() in answer


@pytest.mark.parametrize("header", SILENT.values(), ids=SILENT)
def test_a_connection_that_names_nobody_is_the_proxys_own(
    server: Server, context: ssl.SSLContext, header: bytes
) -> None:
    with open_behind_proxy(server, context, header) as wire:
        environ = read_environ(wire)
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert "PROXY_ADDR" not in environ


def test_a_header_within_tls_is_none(server: Server, context: ssl.SSLContext) -> None:
    """Else any client could say who it is."""
    for header in (b"", V1):
        with open_behind_proxy(server, context, header) as wire:
            assert wire.ask(V1 + request("/environ")).status == 400


@pytest.mark.parametrize("header", REFUSED.values(), ids=REFUSED)
def test_a_header_that_cannot_be_read_ends_the_connection(server: Server, header: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(header)
        with contextlib.suppress(ConnectionResetError):  # there is more than was read
            assert Wire(sock).read_rest() == b""
    server.wait_for_log("Invalid PROXY header from ip=127.0.0.1: ")


@pytest.mark.parametrize("begun", [b"", b"PROX", v2()[:14], V1])
def test_a_client_that_stops_there_is_closed(server: Server, begun: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(begun)
        assert Wire(sock).read_rest() == b""


def test_only_the_proxies_may_speak_for_others(options: list[str], context: ssl.SSLContext) -> None:
    with run_server(SITE, args=[*options, "--proxy-allow-from", "198.51.100.1"]) as server:
        with server.connect() as sock:
            sock.sendall(V1)
            assert Wire(sock).read_rest() == b""
        server.wait_for_log("ip=127.0.0.1: this peer may not speak the PROXY protocol")
        with open_behind_proxy(server, context, b"") as wire:
            assert read_environ(wire)["REMOTE_ADDR"] == "127.0.0.1"


def test_a_failed_handshake_is_logged_with_the_clients_address(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(V1 + request())
        assert Wire(sock).read_response().status == 400
    server.wait_for_log(f"TLS handshake with ip={CLIENT} failed: HTTP_REQUEST")


def test_silent_proxies_do_not_keep_a_stopping_server(
    options: list[str], context: ssl.SSLContext
) -> None:
    with run_server(SITE, args=options) as server, contextlib.ExitStack() as stack:
        for begun in (b"", b"PROXY TCP4", V1):
            stack.enter_context(server.connect()).sendall(begun)
        # The listener hands them out in order: when this one is answered, they are accepted.
        with open_behind_proxy(server, context, V1) as wire:
            assert read_environ(wire)["REMOTE_ADDR"] == CLIENT
        assert server.stop(signal.SIGTERM) < 3
