"""The fragments of a WebSocket message, and text that is refused before all of it has come.

RFC 6455 section 8.1 has an endpoint fail a connection whose text is not UTF-8. Here that happens at
the byte that shows it: in the middle of a fragmented message, and of a frame. A compressed frame is
looked at when it is whole.
"""

from __future__ import annotations

import codecs

from websockets.frames import Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

from wsgi_bridge.protocols.frames import find_payload

_Decoder = codecs.getincrementaldecoder("utf-8")


class Fragments:
    """The fragments of one message so far.

    One buffer: a list of a million fragments of a byte each would take fifty times their size.
    """

    __slots__ = ("_decoder", "is_compressed", "payload")

    def __init__(self, is_text: bool, is_compressed: bool) -> None:
        self.is_compressed = is_compressed
        self.payload = bytearray()
        self._decoder = _Decoder() if is_text else None

    @property
    def is_text(self) -> bool:
        """Whether they are a text's."""
        return self._decoder is not None

    @property
    def decoder_state(self) -> tuple[bytes, int]:
        """What the decoder of a text has of a character that is not whole."""
        assert self._decoder is not None
        return self._decoder.getstate()

    def add(self, payload: bytes, is_last: bool) -> None:
        """Take the next one. Raises UnicodeDecodeError."""
        if self._decoder is not None:
            self._decoder.decode(payload, is_last)
        self.payload += payload


class Preview:
    """A look at the text frame of which only the beginning has come, piece by piece."""

    __slots__ = ("_decoder", "_position", "_start")

    def __init__(self, fragments: Fragments | None) -> None:
        """Go on behind the ``fragments`` of the same text, if there are any."""
        self._decoder = _Decoder()
        if fragments is not None:
            self._decoder.setstate(fragments.decoder_state)
        self._start = self._position = 0

    def check(self, frame: bytes | bytearray) -> None:
        """Decode what has come of a masked ``frame`` since the last call: UnicodeDecodeError."""
        if not self._start:
            self._start = self._position = find_payload(frame)
            if not self._start:
                return
        key = bytes(frame[self._start - 4 : self._start])
        turn = (self._position - self._start) % 4
        piece = apply_mask(bytes(frame[self._position :]), key[turn:] + key[:turn])
        self._position = len(frame)
        self._decoder.decode(piece)


def is_plain_text(first: int, fragments: Fragments | None) -> bool:
    """Whether a frame with this first byte brings text as it is: not compressed."""
    if first & 0x70:
        return False
    opcode = first & 0x0F
    if fragments is None:
        return opcode == Opcode.TEXT
    return opcode == Opcode.CONT and fragments.is_text and not fragments.is_compressed
