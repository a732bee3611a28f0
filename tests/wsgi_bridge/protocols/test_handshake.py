"""The opening handshake by the rules of RFC 6455 section 4.2, and the origin check."""

from __future__ import annotations

import pytest

from wsgi_bridge.protocols.handshake import (
    Handshake,
    HandshakeError,
    encode_accept,
    is_origin_allowed,
    is_websocket_upgrade,
    read_handshake,
)
from wsgi_bridge.protocols.http import ResponseError

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # section 1.3, with its answer
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = {
    b"host": b"example.com",
    b"upgrade": b"websocket",
    b"connection": b"Upgrade",
    b"sec-websocket-key": KEY,
    b"sec-websocket-version": b"13",
}


def fields(**changes):
    """Return the fields of a good handshake, changed; None leaves one out, a list repeats it."""
    names = {name.replace("_", "-").encode(): value for name, value in changes.items()}
    pairs = []
    for name, value in {**GOOD, **names}.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                pairs.append([name, each])
    return pairs


def read(method="GET", version="1.1", compression=True, **changes):
    return read_handshake(method, version, fields(**changes), compression)


def test_a_good_handshake_has_the_key_of_the_rfc():
    assert read() == Handshake(ACCEPT)


@pytest.mark.parametrize(
    "changes",
    [
        {"connection": b"keep-alive, Upgrade"},
        {"connection": [b"keep-alive", b"upgrade"]},
        {"connection": b"UPGRADE"},
        {"sec_websocket_key": b" " + KEY + b" "},
        {"sec_websocket_protocol": b""},
    ],
)
def test_a_handshake_may_be_written_otherwise(changes):
    assert read(**changes).accept_key == ACCEPT


BAD = {
    "another method": ({"method": "POST"}, 405),
    "HTTP/1.0": ({"version": "1.0"}, 400),
    "no Connection": ({"connection": None}, 400),
    "a Connection for something else": ({"connection": b"keep-alive"}, 400),
    "no key": ({"sec_websocket_key": None}, 400),
    "two keys": ({"sec_websocket_key": [KEY, KEY]}, 400),
    "a key too short": ({"sec_websocket_key": b"c2hvcnQ="}, 400),
    "a key too long": ({"sec_websocket_key": b"x" * 32}, 400),
    "a key that is not base64": ({"sec_websocket_key": b"!" * 24}, 400),
    "a key of other bytes": ({"sec_websocket_key": b"\xff" * 24}, 400),
    "an empty key": ({"sec_websocket_key": b""}, 400),
    "no version": ({"sec_websocket_version": None}, 400),
    "two versions": ({"sec_websocket_version": [b"13", b"13"]}, 400),
    "an old version": ({"sec_websocket_version": b"8"}, 426),
    "a list of versions": ({"sec_websocket_version": b"8, 13"}, 426),
    "a subprotocol that is no token": ({"sec_websocket_protocol": b"a, b c"}, 400),
    "extensions that cannot be read": ({"sec_websocket_extensions": b"a; ="}, 400),
}


@pytest.mark.parametrize(("changes", "status"), BAD.values(), ids=BAD)
def test_a_bad_handshake_is_refused(changes, status):
    with pytest.raises(HandshakeError) as caught:
        read(**changes)
    assert caught.value.status == status


def test_the_refusal_says_what_would_be_right():
    with pytest.raises(HandshakeError) as version:
        read(sec_websocket_version=b"8")
    with pytest.raises(HandshakeError) as method:
        read(method="POST")
    assert version.value.headers == ((b"Sec-WebSocket-Version", b"13"),)
    assert method.value.headers == ((b"Allow", b"GET"),)


@pytest.mark.parametrize(
    ("value", "is_one"), [(b"websocket", True), (b"WebSocket", True), (b"h2c", False)]
)
def test_an_upgrade_is_for_a_websocket_or_not(value, is_one):
    assert is_websocket_upgrade([[b"host", b"a"], [b"upgrade", value]]) is is_one


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"chat", ("chat",)),
        (b"chat, superchat", ("chat", "superchat")),
        ([b"chat", b"superchat"], ("chat", "superchat")),
        (b"chat,,", ("chat",)),
        (None, ()),
    ],
)
def test_subprotocols_are_read_in_the_clients_order(value, names):
    assert read(sec_websocket_protocol=value).subprotocols == names


# permessage-deflate (RFC 7692)

AGREED = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
OFFERS = [
    (b"permessage-deflate", AGREED + b"; server_max_window_bits=12", 12),
    (b"permessage-deflate; client_max_window_bits", AGREED + b"; server_max_window_bits=12", 12),
    (
        b"permessage-deflate; server_max_window_bits=9",
        AGREED + b"; server_max_window_bits=9",
        9,
    ),
    (b"x-other, permessage-deflate", AGREED + b"; server_max_window_bits=12", 12),
    # zlib cannot compress with a window of 8 bits: the offer is not taken
    (b"permessage-deflate; server_max_window_bits=8", b"", 0),
    (
        b"permessage-deflate; server_max_window_bits=8, permessage-deflate",
        AGREED + b"; server_max_window_bits=12",
        12,
    ),
    (b"permessage-deflate; unknown", b"", 0),
    (b"permessage-deflate; server_max_window_bits=99", b"", 0),
    (b"x-webkit-deflate-frame", b"", 0),
]


@pytest.mark.parametrize(("offer", "header", "bits"), OFFERS)
def test_compression_is_agreed_on_without_context_takeover(offer, header, bits):
    handshake = read(sec_websocket_extensions=offer)
    assert handshake.extension_header == header
    for extension in handshake.extensions:
        assert extension.local_max_window_bits == bits
        assert extension.local_no_context_takeover
        assert extension.remote_no_context_takeover
    assert bool(handshake.extensions) is bool(bits)


def test_compression_can_be_turned_off():
    handshake = read(compression=False, sec_websocket_extensions=b"permessage-deflate")
    assert (handshake.extension_header, handshake.extensions) == (b"", ())


# The answer

HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nServer: s\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n"
)


@pytest.mark.parametrize(
    ("subprotocol", "headers", "more"),
    [
        (None, [], b""),
        ("chat", [], b"Sec-WebSocket-Protocol: chat\r\n"),
        (None, [[b"Set-Cookie", b"a=1"]], b"Set-Cookie: a=1\r\n"),
        (None, [(b"X-Latin", "ä".encode("latin-1"))], b"X-Latin: \xe4\r\n"),
        (None, [(b"Upgrade", b"x"), (b"Sec-WebSocket-Accept", b"x"), (b"Connection", b"x")], b""),
        (None, [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")], b""),
    ],
)
def test_the_101_has_the_consumers_fields_but_not_over_our_own(subprotocol, headers, more):
    handshake = Handshake(ACCEPT, ("chat",))
    answer = encode_accept(handshake, subprotocol, headers, b"Server: s\r\n")
    assert answer == HEAD + more + b"\r\n"


@pytest.mark.parametrize(
    ("subprotocol", "headers"),
    [
        ("other", []),
        ("", []),
        (None, [(b"X-A", b"a\r\nX-B: b")]),
        (None, [(b"X-A", b"a\0")]),
        (None, [(b"X A", b"a")]),
        (None, [(b"", b"a")]),
        (None, [(b"X-A:", b"a")]),
    ],
)
def test_an_answer_that_would_break_the_handshake_is_an_error(subprotocol, headers):
    with pytest.raises(ResponseError):
        encode_accept(Handshake(ACCEPT, ("chat",)), subprotocol, headers, b"")


# Origins (section 10.2)


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "is_allowed"),
    [
        (None, b"example.com", (), True),
        (b"http://example.com", b"example.com", (), True),
        (b"https://example.com", b"example.com", (), True),
        (b"http://EXAMPLE.com", b"example.COM", (), True),
        (b"http://example.com:8000", b"example.com:8000", (), True),
        (b"http://example.com", b"example.com:80", (), True),
        (b"https://example.com:443", b"example.com", (), True),
        (b"http://[::1]:8000", b"[::1]:8000", (), True),
        (b"https://evil.com", b"example.com", (), False),
        (b"http://example.com", b"example.com:8000", (), False),
        (b"http://example.com:8001", b"example.com:8000", (), False),
        (b"https://example.com", b"example.com:80", (), False),
        (b"http://example.com.evil.com", b"example.com", (), False),
        (b"http://evilexample.com", b"example.com", (), False),
        (b"http://sub.example.com", b"example.com", (), False),
        (b"http://example.com@evil.com", b"example.com", (), False),
        (b"null", b"example.com", (), False),
        (b"", b"example.com", (), False),
        (b"", b"", (), False),
        (b"http://", b"", (), False),
        (b"http://example.com", None, (), False),
        (b"http://example.com:99999", b"example.com:99999", (), False),
        (b"http://[", b"[", (), False),
        (b"\xff\xfe", b"example.com", (), False),
        (b"https://app.example.com", b"example.com", ("https://app.example.com",), True),
        (b"https://APP.example.com", b"example.com", ("https://app.Example.com/",), True),
        (b"http://app.example.com", b"example.com", ("https://app.example.com",), False),
        (b"https://other.example.com", b"example.com", ("https://app.example.com",), False),
        (b"http://example.com", b"example.com", ("https://app.example.com",), True),
        (b"null", b"example.com", ("*",), True),
        (b"https://evil.com", b"example.com", ("*",), True),
    ],
)
def test_which_origins_may_open_a_websocket(origin, host, allowed, is_allowed):
    assert is_origin_allowed(origin, host, allowed) is is_allowed
