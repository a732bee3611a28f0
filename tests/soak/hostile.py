"""Visits of those who mean no good, or cannot help it: malformed input, and slow clients.

Each must be answered as it deserves and in time: that nothing at all comes is a failure.
"""

from __future__ import annotations

import asyncio
import os
import struct

from tests.soak.visitor import Kind, Visitor
from tests.soak.wire import Wire, WrongAnswerError, connected, request

__all__ = ["KINDS", "SERVER_TIMEOUTS"]

#: What the server is told, so that slow clients need not be waited for: seconds.
SERVER_TIMEOUTS = {"ASGI_HEAD_TIMEOUT": "5", "ASGI_WRITE_TIMEOUT": "3", "ASGI_PING_INTERVAL": "5",
                   "ASGI_PING_TIMEOUT": "10"}  # fmt: skip

#: Bytes that a client with a small window has the kernel take.
SMALL_WINDOW = 4096

POST = "POST /digest HTTP/1.1\r\nHost: a\r\n"
MALFORMED = {
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "an unknown version": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "a second length": (POST + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx").encode(),
    "a length and chunks": (
        POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ).encode(),
    "a length below zero": (POST + "Content-Length: -1\r\n\r\n").encode(),
    "an unknown coding": (POST + "Transfer-Encoding: fog\r\n\r\n").encode(),
    "a chunk of no size": (POST + "Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n").encode(),
    "a blank in a name": b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "a line too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "fields without end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3000,
    "no words at all": b"\r\n\x00\xff\xfe\r\n\r\n\r\n",
}

TEXT, CLOSE = 0x81, 0x88
MASK = bytes(4)


def frame(first: int, payload: bytes = b"", *, masked: int = 0x80) -> bytes:
    """Return a short frame, whose mask changes nothing."""
    return bytes([first, masked | len(payload)]) + (MASK if masked else b"") + payload


#: Bytes on an open WebSocket, and the close code that they deserve (RFC 6455, section 7.4.1).
BAD_FRAMES = {
    "no mask": (frame(TEXT, b"x", masked=0), 1002),
    "a reserved opcode": (frame(0x83, b"x"), 1002),
    "a reserved bit": (frame(0xB1, b"x"), 1002),
    "bytes that are no text": (frame(TEXT, b"\xff\xfe"), 1007),
    "a close frame of one byte": (frame(CLOSE, b"x"), 1002),
    "a close code of nobody's": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "a ping in parts": (frame(0x09, b"x"), 1002),
    "a continuation of nothing": (frame(0x80, b"x"), 1002),
    "a frame of a terabyte": (bytes([TEXT, 0xFF]) + struct.pack("!Q", 1 << 40) + MASK, 1009),
}


async def send_malformed(visitor: Visitor) -> None:
    """Send what is no request; be refused, and let go."""
    name = visitor.chance.choice([*MALFORMED, "noise"])
    async with connected(visitor.port) as wire:
        await wire.send(MALFORMED.get(name) or b"GET " + visitor.chance.randbytes(400) + b"\n\n")
        try:
            answer = await wire.read_head()
        except ConnectionError:
            return  # the refusal was overtaken by a reset, for what was sent behind it
        if not 400 <= answer.status < 600 or answer.status in (500, 503, 504):
            raise WrongAnswerError(f"{answer.status} to {name}")
        await read_to_end(wire)


async def read_to_end(wire: Wire) -> bytes:
    """Read all there is; a reset is an end as well."""
    try:
        return await wire.reader.read()
    except ConnectionError:
        return b""


async def send_bad_frame(visitor: Visitor) -> None:
    """Open a socket and break the protocol; be closed with the right code."""
    name = visitor.chance.choice(list(BAD_FRAMES))
    data, code = BAD_FRAMES[name]
    async with connected(visitor.port) as wire:
        if not await open_raw(wire):
            return
        visitor.begin()
        await wire.send(data)
        found = await read_close_code(wire)
        # One may be overtaken by a reload that closes all sockets.
        if found not in (code, 1012):
            raise WrongAnswerError(f"{found} to {name}, not {code}")


async def open_raw(wire: Wire, path: str = "/echo") -> bool:
    """Send a handshake; whether it was accepted, and not refused by a server that stops."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    await wire.send(request(path, *upgrade))
    answer = await wire.read_head()
    if answer.status not in (101, 503):
        raise WrongAnswerError(f"{answer.status} to a handshake")
    return answer.status == 101


async def read_close_code(wire: Wire) -> int:
    """Read frames up to a close frame; return its code."""
    while True:
        first, size = await wire.reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await wire.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await wire.reader.readexactly(8))
        payload = await wire.reader.readexactly(size)
        if first == CLOSE:
            return int.from_bytes(payload[:2], "big")


async def shake_hands_badly(visitor: Visitor) -> None:
    """Ask for a WebSocket in the wrong way, or from a page of another site."""
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
              "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
    field, value, statuses = visitor.chance.choice(
        [
            ("Sec-WebSocket-Version", "12", (400, 426)),
            ("Sec-WebSocket-Key", "short", (400,)),
            ("Origin", "http://evil.example", (403,)),
        ]
    )
    fields[field] = value
    async with connected(visitor.port) as wire:
        await wire.send(request("/echo", *(f"{name}: {each}" for name, each in fields.items())))
        answer = await wire.read_head()
        if answer.status not in (*statuses, 503):
            raise WrongAnswerError(f"{answer.status} to a bad {field}")


async def send_head_slowly(visitor: Visitor) -> None:
    """Send a byte of a head now and then; be told that it takes too long."""
    async with connected(visitor.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
        answering = asyncio.ensure_future(wire.read_head())
        while not answering.done():
            wire.writer.write(b"x")
            await asyncio.sleep(0.2)
        answer = await answering
        if answer.status not in (408, 503):
            raise WrongAnswerError(f"{answer.status} to a slow head")


async def read_slowly(visitor: Visitor) -> None:
    """Ask for megabytes and take hardly any: be dropped."""
    async with connected(visitor.port, window=SMALL_WINDOW) as wire:
        await wire.send(request("/stream?count=300&size=50000&pause=0"))
        await stall(visitor)
        if len(await read_to_end(wire)) > 300 * 50_000:
            raise WrongAnswerError("a stream came whole, that nobody took for so long")


async def take_no_frames(visitor: Visitor) -> None:
    """Ask for megabytes of frames and read none: be dropped."""
    async with connected(visitor.port, window=SMALL_WINDOW) as wire:
        if await open_raw(wire, "/flood"):
            visitor.begin()
            await wire.send(frame(TEXT, b"x"))
            await stall(visitor)
            await read_to_end(wire)


async def stall(visitor: Visitor) -> None:
    """Read nothing for twice as long as the server suffers, and longer: it may be late itself."""
    await asyncio.sleep(12.0 + visitor.chance.random())


async def say_nothing(visitor: Visitor) -> None:
    """Open a socket and answer no ping: be cut off."""
    async with connected(visitor.port) as wire:
        if await open_raw(wire):
            visitor.begin()
            await read_to_end(wire)


async def shout(visitor: Visitor) -> None:
    """Send noise on an open socket, frames that are none, as fast as it goes."""
    async with connected(visitor.port) as wire:
        if await open_raw(wire):
            for _ in range(20):
                wire.writer.write(os.urandom(2000))
            await read_to_end(wire)


KINDS = (
    Kind("malformed request", send_malformed, 3, 0.3),
    Kind("malformed frame", send_bad_frame, 3, 0.3),
    Kind("malformed handshake", shake_hands_badly, 1, 0.5),
    Kind("noise", shout, 1, 1.0),
    Kind("slow head", send_head_slowly, 2, 1.0),
    Kind("slow reader", read_slowly, 2, 1.0),
    Kind("reads no frames", take_no_frames, 1, 2.0),
    Kind("answers no ping", say_nothing, 2, 1.0),
)
