"""Client certificates: what a site is told of who comes, and who does not get in."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.certificates import Authority, client_context
from tests.integration.servers import Server, run_server
from tests.integration.sockets import RawSocket
from tests.integration.wire import Wire, open_wire, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
VERSIONS = ["TLSv1_2", "TLSv1_3"]
SITE = "tests.apps.clients:application"
ALERT = "(?i)alert"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def visitor(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("visitor", serial=0xBEEF)


@pytest.fixture(scope="module")
def options(authority: Authority) -> list[str]:
    certificate, key = authority.issue("site")
    files = ["--certfile", str(certificate), "--keyfile", str(key)]
    return [*files, "--ca-certs", str(authority.path), "--keep-alive", "5"]


@pytest.fixture(scope="module")
def asking(arrangement: str, options: list[str]) -> Iterator[Server]:
    """A server that asks for a certificate, and serves those that have none."""
    with run_server(SITE, args=[*options, "--cert-reqs", str(int(ssl.CERT_OPTIONAL))]) as running:
        yield running


@pytest.fixture(scope="module")
def insisting(arrangement: str, options: list[str]) -> Iterator[Server]:
    """A server that serves nobody without one."""
    with run_server(SITE, args=[*options, "--cert-reqs", str(int(ssl.CERT_REQUIRED))]) as running:
        yield running


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read_environ(wire: Wire) -> dict[str, str]:
    environ: dict[str, str] = json.loads(wire.ask(request("/environ")).content)
    return environ


def read_greeting(server: Server, context: ssl.SSLContext) -> Any:
    """Return what a consumer saw in `websocket.connect`."""
    with RawSocket(server, "/greet", tls=context) as client:
        assert client.read_response().status == 101
        return json.loads(client.read_frame()[1])


def of_client(environ: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith("SSL_CLIENT")}


def check_visitor(variables: dict[str, str], files: tuple[Path, Path]) -> None:
    assert variables["SSL_CLIENT_VERIFY"] == "SUCCESS"
    assert variables["SSL_CLIENT_S_DN"] == "CN=visitor"
    assert variables["SSL_CLIENT_I_DN"] == "CN=authority"
    assert variables["SSL_CLIENT_M_SERIAL"] == "BEEF"
    assert variables["SSL_CLIENT_CERT"] == files[0].read_text()
    end = ssl.cert_time_to_seconds(variables["SSL_CLIENT_V_END"])
    assert ssl.cert_time_to_seconds(variables["SSL_CLIENT_V_START"]) < end


@pytest.mark.parametrize("kind", ["asking", "insisting"])
def test_a_site_is_told_whose_certificate_it_was_in_every_request(
    kind: str,
    request: pytest.FixtureRequest,
    authority: Authority,
    visitor: tuple[Path, Path],
    version: str,
) -> None:
    server: Server = request.getfixturevalue(kind)
    context = client_context(authority, visitor, version=version)
    with open_wire(server, tls=context) as wire:
        for _ in range(2):
            check_visitor(read_environ(wire), visitor)
    greeting = read_greeting(server, context)
    assert greeting["scheme"] == "wss"
    check_visitor(greeting["variables"], visitor)


def test_a_client_without_one_is_known_to_have_none(
    asking: Server, authority: Authority, version: str
) -> None:
    context = client_context(authority, version=version)
    with open_wire(asking, tls=context) as wire:
        assert of_client(read_environ(wire)) == {"SSL_CLIENT_VERIFY": "NONE"}
    assert read_greeting(asking, context)["variables"] == {"SSL_CLIENT_VERIFY": "NONE"}


def test_a_client_cannot_say_itself_who_it_is(asking: Server, authority: Authority) -> None:
    forged = ["SSL-Client-Verify: SUCCESS", "SSL_CLIENT_S_DN: CN=root", "SSL-Client-S-DN: CN=root"]
    with open_wire(asking, tls=client_context(authority)) as wire:
        environ = json.loads(wire.ask(request("/environ", *forged)).content)
        assert of_client(environ) == {"SSL_CLIENT_VERIFY": "NONE"}


def test_a_session_that_is_resumed_is_still_the_same_client(
    insisting: Server, authority: Authority, visitor: tuple[Path, Path]
) -> None:
    context = client_context(authority, visitor, version="TLSv1_2")
    session = None
    for turn in range(2):
        with context.wrap_socket(
            insisting.connect(), server_hostname="127.0.0.1", session=session
        ) as sock:
            assert sock.session_reused is bool(turn)
            check_visitor(read_environ(Wire(sock)), visitor)
            session = sock.session


@pytest.mark.parametrize("kind", ["asking", "insisting"])
def test_a_certificate_of_another_authority_is_no_way_in(
    kind: str, request: pytest.FixtureRequest, authority: Authority, tmp_path: Path, version: str
) -> None:
    """Not even where none would be."""
    server: Server = request.getfixturevalue(kind)
    stranger = Authority(tmp_path, "stranger").issue("visitor")
    context = client_context(authority, stranger, version=version)
    with pytest.raises(ssl.SSLError, match=ALERT), open_wire(server, tls=context) as wire:
        wire.read_exactly(1)
    server.wait_for_log("TLS handshake with ip=127.0.0.1 failed: CERTIFICATE_VERIFY_FAILED")


def test_where_one_is_required_a_client_without_does_not_get_in(
    insisting: Server, authority: Authority, version: str
) -> None:
    context = client_context(authority, version=version)
    with pytest.raises(ssl.SSLError, match=ALERT), open_wire(insisting, tls=context) as wire:
        wire.read_exactly(1)


def test_where_none_is_asked_for_nothing_is_said(
    options: list[str], authority: Authority, visitor: tuple[Path, Path]
) -> None:
    context = client_context(authority, visitor)
    with run_server(SITE, args=options) as server:
        with open_wire(server, tls=context) as wire:
            assert of_client(read_environ(wire)) == {}
        assert read_greeting(server, context)["variables"] is None
