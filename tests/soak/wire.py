"""A small HTTP client on asyncio, that hides nothing: requests are bytes, the end is an error.

Not one of `http.client`'s kind: it neither forgives, nor follows, nor asks again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Answer", "ClosedBetweenError", "Wire", "WrongAnswerError", "connected", "request"]

#: Bytes of one line, or of one read, at most.
LIMIT = 1 << 18


class WrongAnswerError(Exception):
    """What came is not what should have."""


class ClosedBetweenError(Exception):
    """The server closed a connection that it had kept, before any byte of the next answer."""


@dataclass
class Answer:
    """One response. Field names in lower case."""

    status: int
    fields: dict[str, str]
    content: bytes = b""

    @property
    def is_last(self) -> bool:
        """Whether the server will close the connection."""
        return self.fields.get("connection", "").lower() == "close"


class Wire:
    """One connection. Owner: the `connected` block."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, data: bytes, status: int = 200) -> Answer:
        """Send a request, and return its response. Raises WrongAnswerError, EOFError, OSError."""
        await self.send(data)
        return await self.read_answer(status)

    async def ask_again(self, data: bytes) -> Answer:
        """Ask on a kept connection. Raises ClosedBetweenError if it was closed meanwhile."""
        try:
            await self.send(data)
            first = await self.reader.readline()
        except ConnectionError as exc:
            raise ClosedBetweenError from exc
        if not first:
            raise ClosedBetweenError
        answer = await self._read_fields(first)
        await self._read_content(answer)
        return check_status(answer, 200)

    async def read_answer(self, status: int) -> Answer:
        """Read one response, the interim ones before it too."""
        answer = await self.read_head()
        await self._read_content(answer)
        return check_status(answer, status)

    async def read_head(self) -> Answer:
        """Read the head of a response; interim ones are passed over."""
        answer = await self._read_fields(await self.reader.readline())
        while 100 <= answer.status < 200 and answer.status != 101:
            answer = await self._read_fields(await self.reader.readline())
        return answer

    async def _read_fields(self, first: bytes) -> Answer:
        words = first.split(b" ", 2)
        if len(words) < 3 or not first.startswith(b"HTTP/1."):
            if not first.endswith(b"\n"):
                raise EOFError(f"the server ended the connection after {first!r}")
            raise WrongAnswerError(f"not a status line: {first!r}")
        answer = Answer(int(words[1]), {})
        while (line := await self.reader.readline()) != b"\r\n":
            if not line.endswith(b"\n"):
                raise EOFError("the server ended the connection in a head")
            name, _, value = line.decode("latin-1").partition(":")
            answer.fields[name.lower()] = value.strip()
        return answer

    async def _read_content(self, answer: Answer) -> None:
        if "transfer-encoding" in answer.fields:
            answer.content = b"".join([chunk async for chunk in self.chunks()])
        elif "content-length" in answer.fields:
            answer.content = await self.reader.readexactly(int(answer.fields["content-length"]))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks of a response's content, to its end."""
        while True:
            if not (line := await self.reader.readline()):
                raise EOFError("the server ended the connection between two chunks")
            size = int(line, 16)
            data = await self.reader.readexactly(size + 2)
            if not size:
                return
            yield data[:-2]

    def reset(self) -> None:
        """Leave at once, as a client that was killed."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


def check_status(answer: Answer, status: int) -> Answer:
    """Raise WrongAnswerError unless a response has this status."""
    if answer.status != status:
        raise WrongAnswerError(f"{answer.status} in place of {status}")
    return answer


@asynccontextmanager
async def connected(port: int, *, window: int = 0) -> AsyncIterator[Wire]:
    """Connect to a port of this machine. `window`: bytes that the kernel takes for us."""
    sock = socket.socket()
    if window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    limit = window or LIMIT
    reader, writer = await asyncio.open_connection(sock=sock, limit=limit)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def request(target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Return a request's bytes; ``Host``, and ``Content-Length`` of a body, are added."""
    lines = [f"{method} {target} HTTP/1.1", "Host: site.example", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
