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
# First bytes of a final data frame without reserved bits.
FINAL_TEXT, FINAL_BINARY = 0x81, 0x82
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


def is_close_code(code: object) -> bool:
    """Whether an endpoint may send this close code (RFC 6455 section 7.4)."""
    return type(code) is int and (code in EXTERNAL_CLOSE_CODES or 3000 <= code < 5000)


def cut_reason(reason: str) -> str:
    """Return the reason cut to what a close frame holds, at a character's edge."""
    raw = reason.encode("utf-8", "replace")
    return raw.decode() if len(raw) <= _MAX_REASON else raw[:_MAX_REASON].decode("utf-8", "ignore")
