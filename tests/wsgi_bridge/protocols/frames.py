"""The client's side of the wire, for the tests: frames out, frames in, and a machine to talk to."""

from __future__ import annotations

from collections.abc import Iterator

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from wsgi_bridge.protocols.handshake import Handshake
from wsgi_bridge.protocols.websocket import WebSocketConnection

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG
PREAMBLE = b"Server: test\r\n"
MAX_SIZE = 2000
THRESHOLD = 100


def deflate() -> PerMessageDeflate:
    """Return the extension as a client of ours negotiates it: no context takeover."""
    return PerMessageDeflate(True, True, 12, 15)


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, compressed: bool = False
) -> bytes:
    """Return a masked frame. Unlike the library's, it may be one that nobody should send."""
    if compressed:
        frame = deflate().encode(Frame(Opcode(opcode), payload))
        return raw_frame(opcode | 0xC0, bytes(frame.data))
    return raw_frame(opcode | (0x80 if fin else 0), payload)


def raw_frame(first: int, payload: bytes, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """Return a masked frame with this first byte."""
    length = len(payload)
    if length < 126:
        head = bytes((first, 0x80 | length))
    elif length < 65536:
        head = bytes((first, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, 0x80 | 127)) + length.to_bytes(8, "big")
    masked = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
    return head + key + masked


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a client's close frame, whatever its code."""
    return client_frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def server_frames(data: bytes, extensions: tuple[PerMessageDeflate, ...] = ()) -> list[Frame]:
    """Return the frames that a server sent; fails on a partial one."""
    return list(_parse(data, extensions))


def _parse(data: bytes, extensions: tuple[PerMessageDeflate, ...]) -> Iterator[Frame]:
    reader = StreamReader()
    reader.feed_data(data)
    while reader.buffer:
        parser = Frame.parse(reader.read_exact, mask=False, extensions=extensions)
        try:
            next(parser)
        except StopIteration as done:
            yield done.value
        else:
            raise AssertionError(f"a partial frame: {bytes(reader.buffer)!r}")


def sent(machine: WebSocketConnection) -> list[tuple[Opcode, object]]:
    """Return what the machine has to send: (opcode, payload), of close frames (code, reason)."""
    found: list[tuple[Opcode, object]] = []
    for frame in server_frames(machine.data_to_send()):
        payload: object = bytes(frame.data)
        if frame.opcode is CLOSE:
            close = Close.parse(frame.data)
            payload = (int(close.code), close.reason)
        found.append((frame.opcode, payload))
    return found


def connecting(**fields: object) -> WebSocketConnection:
    """Return a machine whose handshake is held."""
    return WebSocketConnection(Handshake(b"KEY", **fields), MAX_SIZE, THRESHOLD)  # type: ignore[arg-type]


def opened(*extensions: PerMessageDeflate) -> WebSocketConnection:
    """Return a machine that is open, its 101 taken away."""
    machine = connecting(extensions=extensions)
    machine.answer({"accept": True}, PREAMBLE)
    machine.data_to_send()
    return machine


def inbox(machine: WebSocketConnection) -> list[str | bytes]:
    """Return what waits for a consumer."""
    return list(machine.inbox or ())


def consumed(machine: WebSocketConnection) -> list[str | bytes]:
    """Take what is there as a consumer does, message for message, and return it."""
    found = []
    while (content := machine.next_message()) is not None:
        found.append(content)
        machine.acknowledge(machine.order)
    return found
