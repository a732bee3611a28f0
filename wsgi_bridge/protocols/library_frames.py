"""LibraryFrames: the frames that the ``websockets`` library reads, and the messages they make.

Those are compressed ones, fragments, control frames that are not whole in one read, and all that is
wrong. The others, nearly all, are read in a tenth of the time without it: see ``websocket``.
"""

from __future__ import annotations

from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol

from wsgi_bridge.protocols.texts import Fragments, Preview, is_plain_text

_STARTS = (Opcode.TEXT, Opcode.BINARY)  # also as the first byte of one that is not final
_DATA = frozenset((Opcode.TEXT, Opcode.BINARY, Opcode.CONT))


class LibraryFrames:
    """Has the library read whole frames, one at a time. Owned by an open connection's machine.

    ``fragments`` are those of the message that is not complete; ``is_text`` is about the message
    that ``take`` returned last.
    """

    __slots__ = ("_protocol", "fragments", "is_text", "preview")

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.fragments: Fragments | None = None
        self.is_text = False
        self.preview: Preview | None = None  # of a text whose frame is not whole

    def take(self, frame: bytes) -> bytes | None:
        """Return the message that a frame completes, or None. Raises UnicodeDecodeError.

        What breaks the protocol changes the state of the library's ``Protocol``.
        """
        if self.fragments is None and frame[0] & 0x8F in _STARTS:  # the first of several
            self.fragments = Fragments(frame[0] & 0x0F == Opcode.TEXT, bool(frame[0] & 0x40))
        if frame[0] & 0x0F == Opcode.CLOSE and self.fragments is not None:
            # The rest of the message will not come. That is no error, though the library has it so.
            self._protocol.current_size = None
        self._protocol.receive_data(frame)
        content = None
        for event in cast("list[Frame]", self._protocol.events_received()):
            if event.opcode in _DATA:
                content = self._join(event)
        return content

    def _join(self, frame: Frame) -> bytes | None:
        """RFC 6455 section 5.4: a message is its fragments, joined."""
        fragments = self.fragments
        if fragments is None:  # the whole message, compressed
            self.is_text = frame.opcode is Opcode.TEXT
            return bytes(frame.data)
        fragments.add(bytes(frame.data), frame.fin)
        if not frame.fin:
            return None
        self.fragments, self.is_text = None, fragments.is_text
        return bytes(fragments.payload)

    def look_ahead(self, frame: bytes | bytearray, is_next: bool) -> None:
        """Decode what has come of a frame that is not whole, if it is a text's: UnicodeDecodeError.

        ``is_next`` says whether nothing before it waits, so that it may be refused already.
        """
        if self.preview is None:
            if not is_next or not is_plain_text(frame[0], self.fragments):
                return
            self.preview = Preview(self.fragments)
        self.preview.check(frame)
