"""What comes before the first request where the PROXY protocol is on.

It is read the same however it is cut; what is made by the specification says what was put into it;
and gunicorn's own parser reads the same of what we accept.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import struct

from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from hypothesis import strategies as st

from gunicorn_asgi.policy import Peers, RequestPolicy
from gunicorn_asgi.proxy_protocol import V2_SIGNATURE
from gunicorn_asgi.reader import RequestReader
from gunicorn_asgi.request import RequestError
from tests.fuzz.damage import cut, damaged, places
from tests.fuzz.parsers import IS_STRICT_GUNICORN
from tests.fuzz.target import Target
from tests.gunicorn_asgi.test_reader import Collector

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POLICIES = {
    mode: RequestPolicy(proxy_protocol=mode, proxies=Peers(is_everyone=True))
    for mode in ("v1", "v2", "auto")
}
PIECES = [
    b"PROXY ", b"TCP4", b"TCP6", b"UNKNOWN", b"\r\n", b"\r", b"\n", b" ", b"1.2.3.4", b"::1",
    b"65536", b"-1", b"+1", b"01", b"\xd9\xa1", b"\0", b"x" * 100, V2_SIGNATURE, b"\x20", b"\x21",
    b"\x11",
    b"\x21\x11\x00\x0c", b"\x20\x00\x00\x00", b"\x12", b"\x31", b"\xff\xff",
]  # fmt: skip

ports = st.integers(0, 65535)
v4, v6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
pairs = st.one_of(st.tuples(v4, v4), st.tuples(v6, v6))


def make_v1(addresses, source: int, destination: int) -> bytes:
    protocol = f"TCP{addresses[0].version}"
    return f"PROXY {protocol} {addresses[0]} {addresses[1]} {source} {destination}\r\n".encode()


def make_v2(addresses, source: int, destination: int, command: int, family: int,
            extensions: bytes) -> bytes:  # fmt: skip
    family = family or (0x11 if addresses[0].version == 4 else 0x21)
    packed = addresses[0].packed + addresses[1].packed + struct.pack("!HH", source, destination)
    packed += extensions
    return V2_SIGNATURE + struct.pack("!BBH", command, family, len(packed)) + packed


headers = st.one_of(
    st.builds(make_v1, pairs, ports, ports),
    st.builds(
        make_v2,
        pairs,
        ports,
        ports,
        st.sampled_from([0x20, 0x21]),
        st.sampled_from([0, 0, 0, 0x00, 0x10, 0x12, 0x22, 0x31, 0x33]),
        st.binary(max_size=9),
    ),
    st.just(b"PROXY UNKNOWN\r\n"),
    st.just(b""),
)
# (mode, where to cut, the bytes)
inputs = st.tuples(
    st.sampled_from(sorted(POLICIES)),
    places(),
    damaged(headers, PIECES).map(lambda data: data + REQUEST),
)


def read(pieces, mode: str):
    """Return what is said of the connection, the requests with it, and the status of a refusal."""
    collector, status = Collector(), None
    reader = RequestReader(collector, POLICIES[mode], "192.0.2.1")
    try:
        for piece in pieces:
            reader.feed(piece)
    except RequestError as exc:
        status = exc.status
    requests = [(request.target, request.variables) for request in collector.requests]
    return collector.proxies, requests, status


@functools.cache
def _config(mode: str) -> Config:
    config = Config()
    config.set("proxy_protocol", mode)
    config.set("proxy_allow_ips", "*")
    return config


def read_gunicorn(data: bytes, mode: str):
    """Return (protocol, client, server) that gunicorn's parser reads, None for none."""
    request = next(RequestParser(_config(mode), iter([data]), ("192.0.2.1", 1)))
    info = request.proxy_protocol_info
    if not info:
        return None
    client = [info["client_addr"], info["client_port"]]
    return info["proxy_protocol"], client, [info["proxy_addr"], info["proxy_port"]]


def check(value: tuple[str, list[int], bytes]) -> None:
    """See the module's docstring."""
    mode, cuts, data = value
    found = read([data], mode)
    assert read(cut(data, cuts), mode) == found
    assert read(cut(data, range(len(data))), mode) == found
    proxies, requests, status = found
    assert len(proxies) <= 1
    for proxy in proxies:
        for address, port in (proxy.client, proxy.server):
            family = socket.AF_INET if proxy.protocol == "TCP4" else socket.AF_INET6
            assert socket.inet_pton(family, address)
            assert ipaddress.ip_address(address)
            assert 0 <= port <= 65535
        for _, variables in requests:
            assert variables == proxy.variables
    if status is not None or not requests or not IS_STRICT_GUNICORN:
        return
    if not proxies and data != REQUEST:
        return  # an unknown protocol, which gunicorn refuses; the specification has it ignored
    said = [(proxy.protocol, proxy.client, proxy.server) for proxy in proxies]
    theirs = read_gunicorn(data, mode)
    assert said == ([theirs] if theirs else [])


TARGET = Target("proxies", inputs, check, examples=300)
