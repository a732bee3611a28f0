"""TLS: gunicorn's options, its hook, and what clients do, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.certificates import Authority, client_context
from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, chunked, open_wire, post, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
VERSIONS = ["TLSv1_2", "TLSv1_3"]
SITE = "tests.apps.site:application"
ALERT = "(?i)alert"  # in what OpenSSL says of one
TLS_ALERT = 21  # RFC 8446 section 5.1: the type of a record


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def options(authority: Authority) -> list[str]:
    certificate, key = authority.issue("site")
    return ["--certfile", str(certificate), "--keyfile", str(key), "--keep-alive", "5"]


@pytest.fixture(scope="module")
def server(arrangement: str, options: list[str]) -> Iterator[Server]:
    with run_server(SITE, args=options, env={"ASGI_TLS_TIMEOUT": "0.3"}) as running:
        yield running


@pytest.fixture(params=VERSIONS)
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    return client_context(authority, version=request.param)


def open_tls(server: Server, context: ssl.SSLContext) -> contextlib.AbstractContextManager[Wire]:
    return open_wire(server, tls=context)


# HTTP


def test_requests_are_answered_and_the_site_sees_https(
    server: Server, context: ssl.SSLContext
) -> None:
    with open_tls(server, context) as wire:
        for _ in range(3):
            assert wire.ask(request()).content == b"Hello, world!\n"
        environ = json.loads(wire.ask(request("/environ")).content)
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["SERVER_PORT"] == str(server.port)


def test_pipelined_requests_in_one_record_are_all_answered(
    server: Server, context: ssl.SSLContext
) -> None:
    with open_tls(server, context) as wire:
        wire.send(request() * 20)
        assert [wire.read_response().status for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("size", [1, 16383, 16384, 16385, 3_000_000])
def test_a_body_arrives_as_it_was_sent(server: Server, context: ssl.SSLContext, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    expected = f"{size} {hashlib.sha256(body).hexdigest()}"
    with open_tls(server, context) as wire:
        assert wire.ask(post("/digest", body)).text == expected
        blocks = [body[at : at + 50_000] for at in range(0, size, 50_000)]
        assert wire.ask(chunked("/digest", blocks)).text == expected


def test_a_request_that_comes_byte_by_byte_is_answered(
    server: Server, context: ssl.SSLContext
) -> None:
    with open_tls(server, context) as wire:
        for byte in request():
            wire.send(bytes([byte]))
        assert wire.read_response().status == 200


def test_a_slow_reader_gets_all_of_a_big_answer(server: Server, context: ssl.SSLContext) -> None:
    with open_tls(server, context) as wire:
        wire.send(request("/stream?count=100&size=100000"))
        assert wire.read_head().status == 200
        received = 0
        while chunk := wire.read_chunk():
            received += len(chunk)
        assert received == 10_000_000
        assert wire.ask(request()).status == 200


def test_an_answer_that_waits_for_its_reader_survives_the_close(
    server: Server, context: ssl.SSLContext
) -> None:
    size = 20_000_000  # more than the kernel's buffers hold
    with open_tls(server, context) as wire, open_tls(server, context) as other:
        wire.send(request(f"/block?size={size}", "Connection: close"))
        wire.read_head()
        assert other.ask(request()).status == 200
        while size:
            size -= len(wire.read_some(size))
        assert wire.is_ended()


def test_a_connection_ends_with_close_notify(server: Server, context: ssl.SSLContext) -> None:
    with open_tls(server, context) as wire:
        assert wire.ask(request("/", "Connection: close")).status == 200
        assert wire.is_ended()


def test_the_answer_to_a_refused_upload_is_read(server: Server, context: ssl.SSLContext) -> None:
    with open_tls(server, context) as wire:
        wire.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + b"x" * 100_000)
        assert wire.read_response().status == 400
        assert wire.is_ended()


def test_a_client_that_says_goodbye_with_its_request_is_answered(
    server: Server, authority: Authority
) -> None:
    """TLS 1.3 can be closed one way, as TCP can."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(authority).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with server.connect() as sock:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        # The end of the handshake, a request and close_notify, all in one packet.
        tls.write(request())
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        answer = b""
        while data := sock.recv(65536):
            answer += data
        assert answer


def test_a_session_is_resumed_by_any_worker(options: list[str], authority: Authority) -> None:
    context = client_context(authority, version="TLSv1_2")
    with run_server(SITE, args=[*options, "-w", "2"]) as server:
        server.wait_for(lambda: len(server.worker_pids()) == 2, "two workers")
        session, pids = None, set()
        while len(pids) < 2:
            with context.wrap_socket(
                server.connect(), server_hostname="127.0.0.1", session=session
            ) as sock:
                assert sock.session_reused is (session is not None)
                session = session or sock.session
                pids.add(Wire(sock).ask(request("/pid")).text)


# Certificates


def test_h2_is_never_agreed_on(options: list[str], authority: Authority, tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text(
        "def ssl_context(config, default):\n"
        "    context = default()\n"
        "    context.set_alpn_protocols(['h2', 'http/1.1'])\n"
        "    return context\n"
    )
    context = client_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        run_server(SITE, args=[*options, "--config", str(config)]) as server,
        open_tls(server, context) as wire,
    ):
        assert wire.sock.selected_alpn_protocol() == "http/1.1"
        assert wire.ask(request()).status == 200


def test_the_hook_decides(options: list[str], authority: Authority, tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text(
        "import ssl\n"
        "def ssl_context(config, default):\n"
        "    context = default()\n"
        "    context.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "    return context\n"
    )
    with run_server(SITE, args=[*options, "--config", str(config)]) as server:
        old = client_context(authority, version="TLSv1_2")
        with pytest.raises(ssl.SSLError), open_tls(server, old):
            pass
        with open_tls(server, client_context(authority)) as wire:
            assert wire.ask(request()).status == 200


@pytest.fixture(scope="module")
def strict_server(arrangement: str, options: list[str], authority: Authority) -> Iterator[Server]:
    """One that asks its clients who they are."""
    args = [*options, "--ca-certs", str(authority.path), "--cert-reqs", str(int(ssl.CERT_REQUIRED))]
    with run_server(SITE, args=args) as running:
        yield running


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_with_a_certificate_is_served(
    strict_server: Server, authority: Authority, version: str
) -> None:
    context = client_context(authority, authority.issue("visitor"), version=version)
    with open_tls(strict_server, context) as wire:
        assert wire.ask(request()).status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_without_one_is_told_so(
    strict_server: Server, authority: Authority, version: str
) -> None:
    context = client_context(authority, version=version)
    # With TLS 1.3 the client has done its part before it can know.
    with pytest.raises(ssl.SSLError, match=ALERT), open_tls(strict_server, context) as wire:
        wire.read_exactly(1)


def test_a_certificate_of_another_authority_is_refused(
    strict_server: Server, authority: Authority, tmp_path: Path
) -> None:
    stranger = client_context(authority, Authority(tmp_path, "stranger").issue("visitor"))
    with pytest.raises(ssl.SSLError, match=ALERT), open_tls(strict_server, stranger) as wire:
        wire.read_exactly(1)
    strict_server.wait_for_log("TLS handshake with ip=127.0.0.1 failed: CERTIFICATE_VERIFY_FAILED")


def serial_of(server: Server, authority: Authority) -> int:
    """Return the number of the certificate that a new connection is shown."""
    with open_tls(server, client_context(authority)) as wire:
        assert wire.ask(request()).status == 200
        return int(wire.sock.getpeercert()["serialNumber"], 16)


def test_a_reload_reads_the_certificates_anew(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("site", serial=1)
    with run_server(SITE, args=["--certfile", str(certificate), "--keyfile", str(key)]) as server:
        first = server.worker_pid()
        assert serial_of(server, authority) == 1
        authority.issue("site", serial=2)
        assert serial_of(server, authority) == 1
        server.kill(signal.SIGHUP)
        server.wait_for(lambda: first not in server.worker_pids(), "the old worker's end")
        assert serial_of(server, authority) == 2


def test_a_reload_that_cannot_read_them_leaves_the_site_with_the_old_ones(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("site", serial=1)
    args = ["--certfile", str(certificate), "--keyfile", str(key)]
    with run_server(SITE, args=args, may_log_errors=True) as server:
        first = server.worker_pid()
        certificate.write_text("half a cer")
        server.kill(signal.SIGHUP)
        server.wait_for_log("The certificates of before the reload are used on")
        server.wait_for(lambda: first not in server.worker_pids(), "the old worker's end")
        assert serial_of(server, authority) == 1
        authority.issue("site", serial=2)
        second = server.worker_pid()
        server.kill(signal.SIGHUP)
        server.wait_for(lambda: second not in server.worker_pids(), "the second worker's end")
        assert serial_of(server, authority) == 2


def test_servers_that_outlive_a_reload_read_them_anew_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("site", serial=1)
    args = ["--certfile", str(certificate), "--keyfile", str(key), "-w", "2"]
    with run_server(SITE, args=args, worker="gunicorn_asgi.SplitWorker") as server:
        assert serial_of(server, authority) == 1
        with open_tls(server, client_context(authority)) as wire:
            assert wire.ask(request()).status == 200
            authority.issue("site", serial=2)
            server.kill(signal.SIGHUP)
            server.wait_for(lambda: serial_of(server, authority) == 2, "the new certificate")
            assert wire.ask(request()).status == 200


def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue("site")
    args = ["--certfile", str(certificate), "--keyfile", str(certificate)]
    refusal = pytest.raises(AssertionError, match="no TLS with certfile=.*site.crt")
    with refusal, run_server(SITE, args=args):
        pass


# Clients that are none


def test_a_plain_request_is_told_that_this_is_https(server: Server) -> None:
    with server.connect() as sock:
        wire = Wire(sock)
        response = wire.ask(request())
        assert response.status == 400
        assert "speaks HTTPS" in response.text
        assert wire.is_ended()


@pytest.mark.parametrize(
    "data", [b"\x00" * 100, b"SSH-2.0-client\r\n", b"\x16\x03\x01\xff\xff" * 99]
)
def test_garbage_instead_of_a_hello_ends_the_connection(server: Server, data: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(data)
        answer = Wire(sock).read_rest()
        assert answer == b"" or answer[0] == TLS_ALERT
    with open_tls(server, careless_context()) as wire:
        assert wire.ask(request()).status == 200


def careless_context() -> ssl.SSLContext:
    """Return the context of a client that trusts anybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
def test_a_client_that_stops_in_its_handshake_is_closed(server: Server, begun: bytes) -> None:
    with server.connect() as sock:
        sock.sendall(begun)
        assert Wire(sock).read_rest() == b""


def test_a_client_that_leaves_in_its_handshake_leaves_nothing(server: Server) -> None:
    hello = ssl.MemoryBIO()
    tls = careless_context().wrap_bio(ssl.MemoryBIO(), hello)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    wire = Wire(server.connect())
    wire.send(hello.read())
    wire.read_exactly(100)
    wire.reset()
    with open_tls(server, careless_context()) as other:
        assert other.ask(request()).status == 200


def test_silent_clients_do_not_keep_a_stopping_server(options: list[str]) -> None:
    with run_server(SITE, args=options) as server, contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(server.connect())
        # The listener hands them out in order: when this one is answered, they are accepted.
        with open_tls(server, careless_context()) as wire:
            assert wire.ask(request()).status == 200
        assert server.stop(signal.SIGTERM) < 3


def test_many_clients_at_once_are_served(server: Server, authority: Authority) -> None:
    """Handshakes, uploads and downloads of several, on one hub."""
    failures: list[Exception] = []

    def visit() -> None:
        try:
            for version in VERSIONS:
                with open_tls(server, client_context(authority, version=version)) as wire:
                    body = b"x" * 200_000
                    assert wire.ask(post("/echo", body)).content == body
        except Exception as exc:  # noqa: BLE001 - told below
            failures.append(exc)

    threads = [threading.Thread(target=visit) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
