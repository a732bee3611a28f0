"""WebSocket frames as bytes (RFC 6455 section 5): the little that is not left to the library.

Nearly all frames are whole, final, uncompressed data frames; a server writes their heads in a line.
The rest, and all checks, are the ``websockets`` library's.
"""

from __future__ import annotations

import struct

from websockets.frames import EXTERNAL_CLOSE_CODES

# Close codes, RFC 6455 section 7.4.1 and the registry it made.
NORMAL_CLOSURE = 1000
ABNORMAL_CLOSURE = 1006
INVALID_DATA = 1007
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

# RFC 6455 section 5.5: a control frame's payload is at most 125 bytes, two of which are the code.
_MAX_REASON = 123
# First bytes of final frames without reserved bits.
FINAL_TEXT, FINAL_BINARY, FINAL_PING, FINAL_PONG = 0x81, 0x82, 0x89, 0x8A
# A ping of ours. It needs no payload: whatever comes from the peer shows that it is there.
PING_FRAME = b"\x89\x00"
# Opcodes of all frames but close frames.
_IDLE_OPCODES = frozenset((0, 1, 2, 9, 10))
_ANY_SIZE = 1 << 63
_HEAD_16 = struct.Struct("!BBH").pack
_HEAD_64 = struct.Struct("!BBQ").pack


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole, final, uncompressed frame as a server sends it (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65536:
        return _HEAD_16(0x80 | opcode, 126, length) + payload
    return _HEAD_64(0x80 | opcode, 127, length) + payload


def read_length(data: bytes, position: int, length: int) -> tuple[int, int]:
    """Return where a payload begins and how long it is, for a length field of 126 or 127.

    A head that is not whole gives an end that is behind the data.
    """
    if length == 126:
        return position + 8, int.from_bytes(data[position + 2 : position + 4], "big")
    return position + 14, int.from_bytes(data[position + 2 : position + 10], "big")


def find_payload(frame: bytes | bytearray) -> int:
    """Return where the payload of a masked frame begins; 0 while its head is not whole."""
    if len(frame) < 2:
        return 0
    length = frame[1] & 0x7F
    start = 6 if length < 126 else 8 if length == 126 else 14
    return start if start <= len(frame) else 0


def find_frame_end(data: bytes, start: int, max_size: int) -> int:
    """Return the offset behind the frame that begins at ``start``.

    It is behind the data if the frame is partial. Only whole frames are fed to the library, so
    that the bytes of a partial one can be carried to another process. A frame longer than
    ``max_size`` counts as whole: the library refuses it by its head (1009).
    """
    size = len(data)
    if start + 2 > size:
        return size + 1
    length, masked = data[start + 1] & 0x7F, data[start + 1] & 0x80
    head = 2
    if length == 126:
        head, length = 4, int.from_bytes(data[start + 2 : start + 4], "big")
    elif length == 127:
        head, length = 10, int.from_bytes(data[start + 2 : start + 10], "big")
    if start + head > size:
        return size + 1
    if length > max_size or not masked:
        return size
    return start + head + 4 + length


def skip_frames(data: bytes, position: int) -> int:
    """Return the offset behind the whole frames that do not matter behind our close frame.

    That is up to the peer's own close frame, or to what is no frame at all (RFC 6455 section 1.4).
    """
    size = len(data)
    while position + 6 <= size and data[position] & 0x0F in _IDLE_OPCODES:
        end = find_frame_end(data, position, _ANY_SIZE)
        if end > size or data[position + 1] < 0x80:
            break
        position = end
    return position


def is_close_code(code: object) -> bool:
    """Whether an endpoint may send this close code (RFC 6455 section 7.4)."""
    return type(code) is int and (code in EXTERNAL_CLOSE_CODES or 3000 <= code < 5000)


def cut_reason(reason: str) -> str:
    """Return the reason cut to what a close frame holds, at a character's edge."""
    raw = reason.encode("utf-8", "replace")
    return raw.decode() if len(raw) <= _MAX_REASON else raw[:_MAX_REASON].decode("utf-8", "ignore")
