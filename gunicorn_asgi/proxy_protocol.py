"""The PROXY protocol, versions 1 and 2: what a TCP proxy says of a connection before its bytes.

Specification: haproxy's ``doc/proxy-protocol.txt``, sections 2.1 and 2.2. It is read only where
gunicorn's ``proxy_protocol`` asks for it, from peers in ``proxy_allow_ips``. As in gunicorn a
connection without it is served as it is: health checks come without.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from gunicorn_asgi.policy import RequestPolicy
from gunicorn_asgi.request import RequestError

V1_START = b"PROXY "
# Section 2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
V1_SIZE = 107
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Bytes of a whole header of version 2, nginx's limit: addresses and some extensions.
V2_SIZE = 4096
V2_HEAD = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_STREAM = 1
# Address families of version 2 by their high four bits: bytes of an address, and our name.
_FAMILIES = {1: (4, "TCP4"), 2: (16, "TCP6")}

Address = list[str | int]


@dataclass(frozen=True)
class ProxyHeader:
    """What a proxy said: [address, port] of the client, and of where the client connected to."""

    protocol: str
    client: Address
    server: Address

    @property
    def variables(self) -> dict[str, str]:
        """What gunicorn adds to the environ."""
        address, port = self.server
        return {
            "PROXY_PROTOCOL": self.protocol,
            "PROXY_ADDR": str(address),
            "PROXY_PORT": str(port),
        }


def read_proxy_header(data: bytes, mode: str) -> tuple[ProxyHeader | None, int] | None:
    """Return what a connection that begins with ``data`` says, and how many bytes that took.

    None: more must be read. No header, and 0 bytes: there is no header. No header, and some bytes:
    the proxy speaks for itself (a health check), the socket's own addresses are right. ``mode`` is
    ``v1``, ``v2`` or ``auto``. Raises RequestError.
    """
    for version, start, read in (("v1", V1_START, _read_v1), ("v2", V2_SIGNATURE, _read_v2)):
        if mode not in (version, "auto"):
            continue
        if data.startswith(start):
            return read(data)
        if start.startswith(data):
            return None
    return None, 0


def check_proxy(policy: RequestPolicy, peer: str | None) -> None:
    """Raise RequestError unless a peer may speak for others; None is that of a Unix socket."""
    if not policy.proxies.includes(peer):
        raise RequestError(403, "this peer may not speak the PROXY protocol")


def _read_v1(data: bytes) -> tuple[ProxyHeader | None, int] | None:
    end = data.find(b"\r\n", 0, V1_SIZE)
    if end < 0:
        if len(data) >= V1_SIZE:
            raise RequestError(400, "the PROXY line is too long")
        return None
    parts = data[:end].decode("latin-1").split(" ")
    if parts[1] == "UNKNOWN":
        return None, end + 2  # section 2.1: "the receiver must ignore anything presented"
    if len(parts) != 6 or parts[1] not in ("TCP4", "TCP6"):
        raise RequestError(400, "the PROXY line is not protocol, two addresses and two ports")
    _, protocol, source, destination, *ports = parts
    try:
        for address in (source, destination):
            socket.inet_pton(socket.AF_INET if protocol == "TCP4" else socket.AF_INET6, address)
        client: Address = [source, _read_port(ports[0])]
        server: Address = [destination, _read_port(ports[1])]
    except (OSError, ValueError) as exc:
        raise RequestError(400, f"the PROXY line has a bad address or port: {exc}") from exc
    return ProxyHeader(protocol, client, server), end + 2


def _read_port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"{text[:20]!r} is no port")
    return int(text)


def _read_v2(data: bytes) -> tuple[ProxyHeader | None, int] | None:
    if len(data) < V2_HEAD.size:
        return None
    _, command, family, length = V2_HEAD.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise RequestError(400, f"PROXY version and command 0x{command:02x} are not known")
    end = V2_HEAD.size + length
    if end > V2_SIZE:
        raise RequestError(400, "the PROXY header is too long")
    if len(data) < end:
        return None
    if command == _LOCAL or not family >> 4:
        return None, end
    if family & 15 != _STREAM or family >> 4 not in _FAMILIES:
        raise RequestError(400, f"PROXY family and protocol 0x{family:02x} are not TCP")
    return _read_addresses(data[V2_HEAD.size : end], family >> 4), end


def _read_addresses(data: bytes, family: int) -> ProxyHeader:
    size, protocol = _FAMILIES[family]
    if len(data) < 2 * size + 4:
        raise RequestError(400, "the PROXY header is too short for its addresses")
    source, destination = data[:size], data[size : 2 * size]
    ports = struct.unpack_from("!HH", data, 2 * size)
    kind = socket.AF_INET if protocol == "TCP4" else socket.AF_INET6
    # As the socket module writes addresses: ::ffff:192.0.2.1, which ipaddress does only from 3.13.
    client, server = (socket.inet_ntop(kind, packed) for packed in (source, destination))
    return ProxyHeader(protocol, [client, ports[0]], [server, ports[1]])
