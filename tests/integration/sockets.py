"""WebSocket clients: the `websockets` library's, and one that hides nothing."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.request
from typing import Any

from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader
from websockets.sync.client import ClientConnection, connect

from tests.integration.servers import PATIENCE, Server
from tests.integration.wire import Response, Wire


def open_socket(server: Server, path: str, **options: Any) -> ClientConnection:
    """Return an open connection of the `websockets` library, which a `with` closes."""
    options = {"open_timeout": PATIENCE, "close_timeout": PATIENCE, "compression": None, **options}
    return connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None, **options)


def get(server: Server, path: str) -> Any:
    """Return what a page of the test site says, decoded."""
    with urllib.request.urlopen(server.url + path, timeout=PATIENCE) as response:
        return json.loads(response.read())


class RawSocket:
    """A connection on which an opening handshake was sent. Its answer's head is in `response`."""

    def __init__(
        self,
        server: Server,
        path: str,
        *,
        with_it: bytes = b"",
        tls: ssl.SSLContext | None = None,
        **fields: str | None,
    ) -> None:
        """Open one. `fields`: those of the handshake, None leaves one out; `with_it`: bytes sent
        in the same packet; `tls`: what a `wss` client believes.
        """  # fmt: skip
        self.wire = Wire(server.connect(tls=tls))
        self.wire.send(handshake(server, path, **fields) + with_it)
        self.start_reading()

    def start_reading(self) -> None:
        """Begin with no frame."""
        self._reader = StreamReader()

    def read_response(self) -> Response:
        """Return the answer to the handshake: its head if it is a 101, else all of it."""
        head = self.wire.read_head()
        if head.status != 101:
            self.wire._read_content(head)
        return head

    def send(self, data: bytes) -> None:
        self.wire.send(data)

    def read_frame(self) -> tuple[Opcode, Any]:
        """Return the next frame as (opcode, payload), of a close frame (code, reason)."""
        frame = self.read_raw_frame()
        if frame.opcode is Opcode.CLOSE:
            close = Close.parse(frame.data)
            return frame.opcode, (int(close.code), close.reason)
        return frame.opcode, bytes(frame.data)

    def read_raw_frame(self) -> Frame:
        """Return the next frame as it came."""
        parser = _parse(self._reader)
        while True:
            try:
                next(parser)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            self._reader.feed_data(self.wire.read_some(65536))

    def close(self) -> None:
        self.wire.sock.close()

    def __enter__(self) -> RawSocket:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _parse(reader: StreamReader) -> Any:
    """Parse a frame without checking it: a compressed one is shown as it is."""
    first, second = yield from reader.read_exact(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes((yield from reader.read_exact(2 if size == 126 else 8)), "big")
    data = yield from reader.read_exact(size)
    return Frame(Opcode(first & 15), data, bool(first & 128), bool(first & 64))


def handshake(server: Server, path: str, **fields: str | None) -> bytes:
    """Return an opening handshake; `sec_websocket_key="…"` and the like change its fields."""
    wanted = {
        "host": f"127.0.0.1:{server.port}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_key": base64.b64encode(os.urandom(16)).decode(),
        "sec_websocket_version": "13",
        **fields,
    }
    lines = [f"GET {path} HTTP/1.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in wanted.items() if value]
    return "\r\n".join([*lines, "", ""]).encode()


def get_text(server: Server, path: str) -> str:
    """Return a page's text."""
    with urllib.request.urlopen(server.url + path, timeout=PATIENCE) as response:
        return str(response.read().decode())
