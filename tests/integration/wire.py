"""An HTTP/1 client that hides nothing: requests are bytes, a response is what came on the wire.

``http.client`` forgives, follows and reconnects; tests of a server want to see framing, pipelining
and the end of a connection as they are.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.integration.servers import Server

BODILESS = (204, 304)


@dataclass
class Response:
    """One response. ``fields`` keeps order and duplicates, names in lower case."""

    status: int
    version: str
    fields: list[tuple[str, str]]
    content: bytes = b""
    interim: list[int] = field(default_factory=list)  # the 1xx that came before
    is_complete: bool = True  # False: the connection ended inside its content

    def __getitem__(self, name: str) -> str:
        """Return a field's only value; KeyError when it is not there."""
        values = [value for known, value in self.fields if known == name]
        if len(values) != 1:
            raise KeyError(f"{name}: {values}")
        return values[0]

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.fields)

    @property
    def text(self) -> str:
        return self.content.decode()


class Wire:
    """One connection, and the bytes read from it that no response has taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, data: bytes, **options: bool) -> Response:
        """Send a request and return its response."""
        self.send(data)
        return self.read_response(**options)

    def read_response(self, *, is_head: bool = False) -> Response:
        """Read one response, the interim ones before it too."""
        interim: list[int] = []
        while True:
            response = self.read_head()
            if response.status >= 200:
                break
            interim.append(response.status)
        response.interim = interim
        if not is_head and response.status not in BODILESS:
            self._read_content(response)
        return response

    def read_head(self) -> Response:
        """Read one response's head."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        fields = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(": ")
                fields.append((name.lower(), value))
        return Response(int(status), version.removeprefix("HTTP/"), fields)

    def _read_content(self, response: Response) -> None:
        assert not ("transfer-encoding" in response and "content-length" in response)
        try:
            if "transfer-encoding" in response:
                self._read_chunks(response)
            elif "content-length" in response:
                size = int(response["content-length"])
                while len(response.content) < size:
                    response.content += self.read_some(size - len(response.content))
            else:
                response.content = self.read_rest()
        except EOFError:
            response.is_complete = False

    def _read_chunks(self, response: Response) -> None:
        assert response["transfer-encoding"] == "chunked"
        while True:
            chunk = self.read_chunk()
            if not chunk:
                return
            response.content += chunk

    def read_chunk(self) -> bytes:
        """Read one chunk; empty at the end of the content."""
        size = int(self.read_until(b"\r\n"), 16)
        data = self.read_exactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    def read_until(self, mark: bytes) -> bytes:
        """Read up to and with ``mark``. Raises EOFError."""
        while mark not in self._buffer:
            self._buffer += self._receive()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def read_exactly(self, size: int) -> bytes:
        """Read ``size`` bytes. Raises EOFError."""
        data = b""
        while len(data) < size:
            data += self.read_some(size - len(data))
        return data

    def read_some(self, size: int) -> bytes:
        """Read 1 to ``size`` bytes. Raises EOFError."""
        if not self._buffer:
            self._buffer = self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read_rest(self) -> bytes:
        """Read to the end of the connection."""
        with contextlib.suppress(EOFError):
            while True:
                self._buffer += self._receive()
        data, self._buffer = self._buffer, b""
        return data

    def is_ended(self) -> bool:
        """Whether the server ends the connection, waiting for that, and sends nothing before."""
        return self.read_rest() == b""

    def end_sending(self) -> None:
        """Half-close: nothing more will be sent, answers are still read."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave at once, as a client that was killed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.sock.close()

    def _receive(self) -> bytes:
        data = self.sock.recv(262144)
        if not data:
            raise EOFError("the server ended the connection")
        return data


@contextlib.contextmanager
def open_wire(server: Server, **options: Any) -> Iterator[Wire]:
    """Connect to a server; see ``Server.connect`` for the options."""
    with server.connect(**options) as sock:
        yield Wire(sock)


def request(
    target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    """Return a request's bytes; ``Host``, and ``Content-Length`` of a body, are added."""
    lines = [f"{method} {target} HTTP/{version}", "Host: site.example", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def post(target: str, body: bytes, *fields: str) -> bytes:
    """Return the bytes of a POST with a Content-Length, also of an empty body."""
    length = () if body else ("Content-Length: 0",)
    return request(target, *fields, *length, method="POST", body=body)


def chunked(target: str, chunks: Iterable[bytes], *fields: str, trailer: str = "") -> bytes:
    """Return the bytes of a chunked POST."""
    head = request(target, "Transfer-Encoding: chunked", *fields, method="POST")
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + b"0\r\n" + trailer.encode() + b"\r\n"


def ask(server: Server, data: bytes, **options: bool) -> Response:
    """Send one request on a connection of its own and return its response."""
    with open_wire(server) as wire:
        return wire.ask(data, **options)
