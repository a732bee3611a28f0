"""The client's side of a WebSocket, as little of it as a load needs: frames, handshake, a socket.

Not a WebSocket implementation (RFC 6455): it knows what a well-behaved server sends to it, and
raises UnexpectedAnswerError at anything else. Frames of up to 64 KB.
"""

import base64
import hashlib
import socket
import zlib
from dataclasses import dataclass

TEXT, PING, PONG = 1, 9, 10
FIN, RSV1, MASKED = 0x80, 0x40, 0x80
MASK = b"\x5a\x0f\xc3\x96"
KEY = base64.b64encode(bytes(range(16)))
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
READ_BYTES = 65536
ANSWER_SECONDS = 30.0
# How many handshakes are under way at once: less than any server's listen backlog.
WAVE = 100
# An address has some 28,000 local ports, and those of earlier rounds stay in TIME_WAIT.
SOCKETS_PER_ADDRESS = 2000
# Of Linux's in.h: connect, which knows the whole pair, chooses the port. bind looks for one that
# has no connection at all, for seconds in all when some thousand have just ended.
IP_BIND_ADDRESS_NO_PORT = 24
DEFLATE_OFFER = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
DEFLATE_TAIL = b"\x00\x00\xff\xff"


class UnexpectedAnswerError(Exception):
    """The server did what no server of a benchmark does."""


@dataclass(slots=True)
class Connection:
    """One open WebSocket. Owner: the load that opened it."""

    sock: socket.socket
    expected: bytes | None = None
    """The frame that the server owes; None: it owes nothing but pings."""
    buffer: bytes = b""
    """What came and is not a whole frame yet."""
    sent_at: float = 0.0

    def send(self, frame: bytes) -> None:
        """Send `frame` whole; a closed loop never fills a socket's buffer."""
        if self.sock.send(frame) != len(frame):
            raise UnexpectedAnswerError("the server does not read what it is sent")

    def read(self) -> bool:
        """Read once and return whether the frame that was owed is there; answer pings.

        Does not block when the socket is readable. Raises UnexpectedAnswerError at any other frame.
        """
        data = self.sock.recv(READ_BYTES)
        if data == self.expected and not self.buffer:
            return True
        if not data:
            raise UnexpectedAnswerError("the server closed a socket")
        frames, self.buffer = split_frames(self.buffer + data)
        answers = [frame for frame in frames if not self._is_answered_ping(frame)]
        if answers and answers != [self.expected]:
            raise UnexpectedAnswerError(f"{answers!r:.200} came, not {self.expected!r:.200}")
        return bool(answers)

    def _is_answered_ping(self, frame: bytes) -> bool:
        if frame[0] == FIN | PING:
            self.send(client_frame(PONG, frame[2:]))
        return frame[0] == FIN | PING


def client_frame(opcode: int, payload: bytes, *, flags: int = FIN) -> bytes:
    """Return the masked frame that a client sends."""
    mask = (MASK * (len(payload) // 4 + 1))[: len(payload)]
    data = bytes(a ^ b for a, b in zip(payload, mask, strict=True))
    return _frame_head(flags | opcode, len(payload), MASKED) + MASK + data


def deflated_client_frame(payload: bytes) -> bytes:
    """Return the compressed and masked text frame of `payload` (RFC 7692, section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return client_frame(TEXT, data.removesuffix(DEFLATE_TAIL), flags=FIN | RSV1)


def server_frame(opcode: int, payload: bytes) -> bytes:
    """Return the unmasked frame that a server sends."""
    return _frame_head(FIN | opcode, len(payload), 0) + payload


def is_text_frame(frame: bytes, payload: bytes) -> bool:
    """Return whether `frame`, from a server, compressed or not, carries the text `payload`."""
    if frame[:1] == bytes([FIN | RSV1 | TEXT]):
        return zlib.decompressobj(-15).decompress(frame[2:] + DEFLATE_TAIL) == payload
    return frame == server_frame(TEXT, payload)


def _frame_head(first: int, length: int, masked: int) -> bytes:
    if length < 126:
        return bytes((first, masked | length))
    return bytes((first, masked | 126)) + length.to_bytes(2, "big")


def split_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole unmasked frames at the start of `data`, and the rest."""
    frames = []
    while len(data) >= 4 or (len(data) >= 2 and data[1] < 126):
        end = 2 + data[1] if data[1] < 126 else 4 + int.from_bytes(data[2:4], "big")
        if len(data) < end:
            break
        frames.append(data[:end])
        data = data[end:]
    return frames, data


def open_connections(
    port: int, path: str, count: int, *, deflate: bool, first: int = 0
) -> list[Connection]:
    """Return `count` open non-blocking WebSockets to 127.0.0.1:`port`; blocks.

    `first`: how many there are already.
    Raises UnexpectedAnswerError when a handshake is refused, or when it agrees on compression
    and `deflate` did not ask for it, or the other way round.
    """
    request = _opening_handshake(port, path, deflate)
    connections: list[Connection] = []
    for begin in range(first, first + count, WAVE):
        end = min(begin + WAVE, first + count)
        wave = [_connect(port, number) for number in range(begin, end)]
        for sock in wave:
            sock.sendall(request)
        for sock in wave:
            _read_handshake(sock, deflate)
            sock.setblocking(False)
        connections += map(Connection, wave)
    return connections


def _connect(port: int, number: int) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(ANSWER_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((f"127.0.0.{2 + number // SOCKETS_PER_ADDRESS}", 0))
    sock.connect(("127.0.0.1", port))
    return sock


def _opening_handshake(port: int, path: str, deflate: bool) -> bytes:
    fields = [
        b"GET %s HTTP/1.1" % path.encode(),
        b"Host: 127.0.0.1:%d" % port,
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + KEY,
    ]
    if deflate:
        fields.append(b"Sec-WebSocket-Extensions: " + DEFLATE_OFFER)
    return b"\r\n".join([*fields, b"", b""])


def _read_handshake(sock: socket.socket, deflate: bool) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (data := sock.recv(READ_BYTES)):
            raise UnexpectedAnswerError(f"closed in the opening handshake after {head!r}")
        head += data
    agreed = b"sec-websocket-extensions: permessage-deflate" in head.lower()
    if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head or agreed is not deflate:
        raise UnexpectedAnswerError(f"not the opening handshake that was asked for: {head!r}")
