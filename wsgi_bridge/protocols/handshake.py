"""The WebSocket opening handshake, server side (RFC 6455 section 4.2), sans I/O.

``read_handshake`` checks a request and returns what is to be answered; ``encode_accept`` is the
101, ``encode_refusal`` any other response. The origin check is here too, since it is the
handshake's rule (section 10.2).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension
from websockets.utils import accept_key

from wsgi_bridge.exceptions import BridgeError
from wsgi_bridge.protocols.fields import has_bad_byte, is_token
from wsgi_bridge.protocols.http import HttpExchange, ResponseError, error_response

# No context takeover in either direction: a broadcast is compressed once for all sockets, and an
# idle connection keeps no 300 KB of zlib state. Window and memory as the websockets library has it.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=12,
    compress_settings={"memLevel": 5},
)

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# Fields of the 101 that are not the consumer's to write.
_RESERVED = frozenset(
    (b"connection", b"upgrade", b"content-length", b"transfer-encoding", b"date", b"server")
)


class HandshakeError(BridgeError):
    """An opening handshake that RFC 6455 refuses; ``status`` and ``headers`` say how."""

    def __init__(
        self, reason: str, status: int = 400, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = tuple(headers)


@dataclass(frozen=True)
class Handshake:
    """A valid opening handshake, not answered yet."""

    accept_key: bytes
    subprotocols: tuple[str, ...] = ()
    extension_header: bytes = b""
    extensions: tuple[Extension, ...] = field(default=())


def is_websocket_upgrade(headers: Iterable[Sequence[bytes]]) -> bool:
    """Whether a request that asks for an upgrade asks for a WebSocket."""
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in headers)


def read_handshake(
    method: str, http_version: str, headers: Iterable[Sequence[bytes]], compression: bool
) -> Handshake:
    """Check an opening handshake by the numbered rules of RFC 6455 section 4.2.1.

    ``headers``: [lower-case name, value] pairs. Raises HandshakeError. Does not block.
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    if method != "GET":  # rule 1
        raise HandshakeError("a WebSocket handshake is a GET", 405, [(b"Allow", b"GET")])
    if http_version != "1.1":
        raise HandshakeError("a WebSocket handshake needs HTTP/1.1")
    if "upgrade" not in _tokens(fields, b"connection"):  # rule 4
        raise HandshakeError("the Connection field lacks Upgrade")
    key = _single(fields, b"sec-websocket-key")  # rule 5
    if not _is_key(key):
        raise HandshakeError("Sec-WebSocket-Key is not 16 bytes in base64")
    if _single(fields, b"sec-websocket-version") != b"13":  # rule 6, and section 4.4
        raise HandshakeError(
            "this server speaks WebSocket version 13", 426, [(b"Sec-WebSocket-Version", b"13")]
        )
    subprotocols = _subprotocols(fields)  # rule 8
    header, extensions = _negotiate(fields) if compression else (b"", ())  # rule 9
    return Handshake(accept_key(key.decode()).encode(), subprotocols, header, extensions)


def encode_accept(
    handshake: Handshake,
    subprotocol: str | None,
    headers: Iterable[Sequence[bytes]],
    preamble: bytes,
) -> bytes:
    """Return the 101 response (RFC 6455 section 4.2.2).

    Raises ResponseError for a subprotocol the client did not offer, or a field that cannot be sent.
    """
    parts = [
        b"HTTP/1.1 101 Switching Protocols\r\n",
        preamble,
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        handshake.accept_key,
        b"\r\n",
    ]
    if handshake.extension_header:
        parts += (b"Sec-WebSocket-Extensions: ", handshake.extension_header, b"\r\n")
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            offered = ", ".join(handshake.subprotocols) or "none"
            raise ResponseError(
                f"subprotocol {subprotocol!r} is not one of those offered: {offered}"
            )
        parts += (b"Sec-WebSocket-Protocol: ", subprotocol.encode("ascii"), b"\r\n")
    for name, value in headers:
        if not is_token(name) or has_bad_byte(value):
            raise ResponseError(f"header field {name!r} has a byte that is not allowed")
        if name.lower() not in _RESERVED and not name.lower().startswith(b"sec-websocket-"):
            parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def encode_refusal(message: Mapping[str, Any], preamble: bytes) -> tuple[bytes, int]:
    """Return the response that refuses a handshake, and its status: 403 unless a message says.

    Raises ResponseError for one that cannot be sent.
    """
    response = error_response(403)
    if message.get("status") is not None:
        response = {key: message[key] for key in ("status", "headers", "content") if key in message}
    exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
    return exchange.encode(response, preamble), exchange.status


def is_origin_allowed(origin: bytes | None, host: bytes | None, allowed: Sequence[str]) -> bool:
    """Whether a page of ``origin`` may open a WebSocket here.

    A request without Origin is not a browser page's and is let through (RFC 6455 section 10.2).
    Same origin means the host and port of the Host field, the port being the origin's scheme's
    unless given: behind a proxy that ends TLS, the server cannot know the scheme itself.
    ``allowed``: origins such as ``https://example.com``, or ``*``.
    """
    if origin is None or "*" in allowed:
        return True
    text = origin.decode("latin-1").lower()
    if any(text == item.lower().rstrip("/") for item in allowed):
        return True
    try:
        parts = urlsplit(text)
        page = (parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme))
        ours = urlsplit(f"{parts.scheme}://{(host or b'').decode('latin-1').lower()}")
        here = (ours.hostname, ours.port or _DEFAULT_PORTS.get(parts.scheme))
    except ValueError:
        return False
    return page[0] is not None and page == here


def _single(fields: dict[bytes, list[bytes]], name: bytes) -> bytes:
    values = fields.get(name, [])
    if len(values) != 1:
        raise HandshakeError(f"the handshake has {len(values)} {name.decode()} fields, not one")
    return values[0].strip()


def _tokens(fields: dict[bytes, list[bytes]], name: bytes) -> list[str]:
    text = b",".join(fields.get(name, [])).decode("latin-1")
    return [item.strip().lower() for item in text.split(",")]


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _subprotocols(fields: dict[bytes, list[bytes]]) -> tuple[str, ...]:
    joined = b",".join(fields.get(b"sec-websocket-protocol", []))
    names = [item.strip() for item in joined.split(b",") if item.strip()]
    if not all(is_token(name) for name in names):
        raise HandshakeError("Sec-WebSocket-Protocol is not a list of tokens")
    return tuple(name.decode() for name in names)


def _negotiate(fields: dict[bytes, list[bytes]]) -> tuple[bytes, tuple[Extension, ...]]:
    """Take the first permessage-deflate offer that can be met (RFC 7692 section 5.1)."""
    for value in fields.get(b"sec-websocket-extensions", []):
        try:
            offers = parse_extension(value.decode("latin-1"))
        except InvalidHeader as exc:
            raise HandshakeError("Sec-WebSocket-Extensions is malformed") from exc
        for name, parameters in offers:
            if name != _DEFLATE.name:
                continue
            try:
                response, extension = _DEFLATE.process_request_params(parameters, [])
            except NegotiationError:
                continue
            return build_extension([(name, response)]).encode(), (extension,)
    return b"", ()
