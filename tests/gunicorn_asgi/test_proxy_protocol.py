"""The PROXY protocol, both versions, in front of a connection's first request."""

from __future__ import annotations

import struct

import pytest

from gunicorn_asgi.proxy_protocol import V1_SIZE, V2_SIGNATURE, V2_SIZE, read_proxy_header
from gunicorn_asgi.request import RequestError
from tests.gunicorn_asgi.test_reader import behind_proxy, read, refuse, splits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
V1 = b"PROXY TCP4 198.51.100.7 203.0.113.1 56324 443\r\n"
V1_IPV6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"


def v2(command=0x21, family=0x11, addresses=b"", extra=b""):
    return (
        V2_SIGNATURE
        + struct.pack("!BBH", command, family, len(addresses + extra))
        + (addresses + extra)
    )


IPV4 = bytes((198, 51, 100, 7, 203, 0, 113, 1)) + struct.pack("!HH", 56324, 443)
IPV6 = (
    bytes.fromhex("20010db8000000000000000000000007" "20010db8000000000000000000000001")
    + struct.pack("!HH", 56324, 443)
)  # fmt: skip
MAPPED = (
    bytes.fromhex("00000000000000000000ffffc6336407" "00000000000000000000ffffcb007101")
    + struct.pack("!HH", 56324, 443)
)  # fmt: skip
HEADERS = {
    "version 1": (V1, "198.51.100.7", "203.0.113.1", "TCP4"),
    "version 1, IPv6": (V1_IPV6, "2001:db8::7", "2001:db8::1", "TCP6"),
    "version 2": (v2(addresses=IPV4), "198.51.100.7", "203.0.113.1", "TCP4"),
    "version 2, IPv6": (v2(0x21, 0x21, IPV6), "2001:db8::7", "2001:db8::1", "TCP6"),
    "version 2, IPv4 in IPv6": (
        v2(0x21, 0x21, MAPPED), "::ffff:198.51.100.7", "::ffff:203.0.113.1", "TCP6",
    ),
    "version 2, with an extension": (
        v2(addresses=IPV4, extra=b"\x04\0\3abc"), "198.51.100.7", "203.0.113.1", "TCP4",
    ),
}  # fmt: skip
SILENT = {
    "a health check": v2(0x20, 0, b""),
    "a health check with addresses": v2(0x20, 0x11, IPV4),
    "no addresses": v2(0x21, 0, b""),
    "an unknown protocol": b"PROXY UNKNOWN\r\n",
    "an unknown protocol with addresses": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "nothing": b"",
}
REFUSED = {
    "three parts": b"PROXY TCP4 198.51.100.7\r\n",
    "another protocol": b"PROXY UDP4 198.51.100.7 203.0.113.1 1 2\r\n",
    "no protocol": b"PROXY \r\n",
    "a name": V1.replace(b"198.51.100.7", b"a.example"),
    "IPv6 as IPv4": V1_IPV6.replace(b"TCP6", b"TCP4"),
    "a port that is none": V1.replace(b"443", b"4_3"),
    "a port that is negative": V1.replace(b"443", b"-43"),
    "a port past all": V1.replace(b"443", b"65536"),
    "two spaces": V1.replace(b" 443", b"  443"),
    "a line without an end": b"PROXY TCP4 " + b"1" * V1_SIZE,
    "another version": v2(0x11, 0x11, IPV4),
    "another command": v2(0x22, 0x11, IPV4),
    "datagrams": v2(0x21, 0x12, IPV4),
    "Unix sockets": v2(0x21, 0x31, bytes(216)),
    "too few bytes": v2(0x21, 0x11, IPV4[:-1]),
    "too few bytes of IPv6": v2(0x21, 0x21, IPV4),
    "too many bytes": v2(0x21, 0x11, IPV4, bytes(V2_SIZE)),
}
PROXIED = behind_proxy("127.0.0.1", proxy_protocol="auto")


@pytest.mark.parametrize("name", HEADERS)
def test_a_proxy_says_who_the_client_is_however_that_is_cut(name):
    header, client, server, protocol = HEADERS[name]
    data = header + GET + GET
    for cuts in splits(data):
        collector, _ = read(data, cuts, PROXIED, "127.0.0.1")
        (said,) = collector.proxies
        assert (said.client, said.server) == ([client, 56324], [server, 443])
        variables = {"PROXY_PROTOCOL": protocol, "PROXY_ADDR": server, "PROXY_PORT": "443"}
        assert [request.variables for request in collector.requests] == [variables, variables]


@pytest.mark.parametrize("name", SILENT)
def test_a_proxy_that_says_nothing_leaves_the_sockets_own_addresses(name):
    for cuts in splits(SILENT[name] + GET):
        collector, _ = read(SILENT[name] + GET, cuts, PROXIED, "127.0.0.1")
        assert not collector.proxies
        assert [request.variables for request in collector.requests] == [None]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_proxy_header_is_refused_however_it_is_cut(name):
    for cuts in splits(REFUSED[name] + GET):
        assert refuse(REFUSED[name] + GET, PROXIED, cuts, "127.0.0.1") == 400


@pytest.mark.parametrize("header", [V1, v2(addresses=IPV4), SILENT["a health check"]])
def test_only_the_proxies_that_are_named_are_heard(header):
    assert refuse(header + GET, PROXIED, peer="192.0.2.7") == 403
    assert read(GET, policy=PROXIED, peer="192.0.2.7")[0].requests
    assert read(header + GET, policy=PROXIED, peer=None)[0].requests  # a Unix socket


@pytest.mark.parametrize(
    ("mode", "header"), [("v1", v2(addresses=IPV4)), ("v2", V1), ("off", V1), ("off", v2())]
)
def test_a_version_that_is_not_asked_for_is_a_bad_request(mode, header):
    policy = behind_proxy("127.0.0.1", proxy_protocol=mode)
    assert refuse(header + GET, policy, peer="127.0.0.1") == 400


def test_a_header_comes_before_the_first_request_only():
    collector_size = len(read(V1 + GET, policy=PROXIED, peer="127.0.0.1")[0].requests)
    assert collector_size == 1
    assert refuse(V1 + GET + V1 + GET, PROXIED, peer="127.0.0.1") == 400


def test_a_header_is_read_to_its_last_byte():
    for header in (V1, v2(addresses=IPV4, extra=b"more")):
        assert read_proxy_header(header + GET, "auto")[1] == len(header)
        assert all(read_proxy_header(header[:n], "auto") is None for n in range(len(header)))
    with pytest.raises(RequestError):
        read_proxy_header(V1[:-1] * 3, "auto")
