"""WebSockets over real connections: frames of every kind, and the opening handshake."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.sockets import RawSocket, open_socket
from tests.wsgi_bridge.protocols.frames import BINARY, CLOSE, PONG, TEXT, client_frame, close_frame

pytestmark = pytest.mark.integration
SERVER = {"app": "tests.apps.sockets:application", "args": ["--access-logfile", "-"]}


# Frames


@pytest.mark.parametrize("content", ["text ä", b"\x00\xff", "", b"", "x" * 2**20, b"x" * 2**20])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_what_is_sent_comes_back(server, content, compression):
    with open_socket(server, "/echo", compression=compression, max_size=None) as client:
        client.send(content)
        assert client.recv() == content


def test_fragments_come_back_as_one_message(server):
    with open_socket(server, "/echo") as client:
        client.send(["a", "ä", "", "b"])
        assert client.recv() == "aäb"


def test_many_frames_come_back_in_order(server):
    with open_socket(server, "/echo") as client:
        for number in range(300):
            client.send(str(number))
        assert [client.recv() for _ in range(300)] == [str(number) for number in range(300)]


def test_a_ping_is_answered_with_its_payload(server):
    with open_socket(server, "/echo") as client:
        assert client.ping(b"payload").wait(5)


def test_frames_sent_with_the_handshake_are_handled(server):
    frames = client_frame(TEXT, b"a") + client_frame(TEXT, b"b")
    with RawSocket(server, "/echo", with_it=frames) as client:
        assert client.read_response().status == 101
        assert [client.read_frame(), client.read_frame()] == [(TEXT, b"a"), (TEXT, b"b")]


def test_a_frame_in_single_bytes_is_handled(server):
    with RawSocket(server, "/echo") as client:
        client.read_response()
        for byte in client_frame(TEXT, b"slow"):
            client.send(bytes([byte]))
        assert client.read_frame() == (TEXT, b"slow")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(BINARY, b"x" * (2**20 + 1)), 1009),
        (client_frame(TEXT, b"\xff"), 1007),
        (b"\x81\x01a", 1002),
        (client_frame(0, b"stray"), 1002),
        (close_frame(1000), 1000),
        (close_frame(999), 1002),
    ],
)
def test_an_error_closes_with_its_code_and_then_the_connection(server, data, code):
    with RawSocket(server, "/echo") as client:
        client.read_response()
        client.send(data)
        opcode, (sent, _) = client.read_frame()
        assert (opcode, sent) == (CLOSE, code)
        with pytest.raises(EOFError):
            client.read_frame()


@pytest.mark.parametrize("told", ["1000", "4000 enough", "4999 " + "ä" * 60])
def test_a_consumer_closes_with_a_code_and_a_reason(server, told):
    with open_socket(server, "/close") as client:
        client.send(told)
        assert client.recv() == "bye"
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert f"{client.close_code} {client.close_reason}".strip() == told


@pytest.mark.parametrize("code", ["999", "1005", "70000"])
def test_a_code_that_may_not_be_sent_is_1011(server, code):
    with open_socket(server, "/close") as client:
        client.send(code)
        client.recv()
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1011


# The opening handshake


def test_subprotocol_headers_and_cookies_come_with_the_accept(server):
    with open_socket(server, "/full", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        headers = client.response.headers
        assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert headers["X-Path"] == "/full"
        assert headers["Server"]
        assert client.recv() == "welcome"


@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/refuse", 401, b"who are you?"),
        ("/deny", 403, b"not you"),
        ("/nowhere", 404, None),
    ],
)
def test_a_refusal_has_its_status_and_content(server, path, status, content):
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server, path)
    response = caught.value.response
    assert response.status_code == status
    assert content is None or response.body == content
    assert response.headers.get("WWW-Authenticate") == ("Basic" if status == 401 else None)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": None}, 400),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_bad_handshake_is_refused_and_the_connection_closed(server, fields, status):
    with RawSocket(server, "/echo", **fields) as client:
        response = client.read_response()
        assert response.status == status
        assert status != 426 or response["sec-websocket-version"] == "13"
        assert client.wire.read_rest() == b""


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", None])
def test_a_page_of_the_same_origin_and_a_client_without_one_may_connect(server, origin):
    origin = origin and origin.format(port=server.port)
    with RawSocket(server, "/echo", origin=origin) as client:
        assert client.read_response().status == 101


def test_a_request_without_upgrade_for_a_websocket_path_is_the_sites(server):
    with RawSocket(server, "/echo", upgrade=None, connection=None) as client:
        assert client.read_response().content == b'"a page"'


# permessage-deflate


def test_compression_is_agreed_on_without_context_takeover(server):
    offer = "permessage-deflate; client_max_window_bits"
    with RawSocket(server, "/echo", sec_websocket_extensions=offer) as client:
        agreed = client.read_response()["sec-websocket-extensions"]
        assert "server_no_context_takeover" in agreed
        assert "client_no_context_takeover" in agreed
        for size, is_compressed in ((10, False), (1023, False), (1024, True), (5000, True)):
            client.send(client_frame(TEXT, b"x" * size))
            frame = client.read_raw_frame()
            assert frame.rsv1 is is_compressed
            assert (len(frame.data) < size) is is_compressed


def test_compression_is_not_used_unless_offered(server):
    with RawSocket(server, "/echo") as client:
        assert "sec-websocket-extensions" not in client.read_response()
        client.send(client_frame(TEXT, b"x" * 5000))
        assert client.read_frame() == (TEXT, b"x" * 5000)


def test_a_frame_compressed_though_not_agreed_on_is_an_error(server):
    with RawSocket(server, "/echo") as client:
        client.read_response()
        client.send(client_frame(TEXT, b"x" * 5000, compressed=True))
        assert client.read_frame()[1][0] == 1002


# The access log


def test_a_socket_has_a_line_in_the_access_log_when_it_ends(server):
    with RawSocket(server, "/echo?name=logged") as client:
        client.read_response()
        client.send(client_frame(9, b"p") + close_frame(1000))
        assert client.read_frame() == (PONG, b"p")
        assert client.read_frame()[0] is CLOSE
    log = server.wait_for_log("/echo?name=logged")
    [line] = [line for line in log.splitlines() if "name=logged" in line]
    request, _, rest = line.partition('" ')
    assert request.endswith('"GET /echo?name=logged HTTP/1.1')
    status, size = rest.split()[:2]
    assert status == "101"
    assert int(size) > 100


@pytest.mark.parametrize(("path", "status"), [("/refuse?x", 401), ("/nowhere?x", 404)])
def test_a_refused_handshake_has_one_too(server, path, status):
    with RawSocket(server, path) as client:
        client.read_response()
    server.wait_for_log(f'"GET {path} HTTP/1.1" {status} ')
