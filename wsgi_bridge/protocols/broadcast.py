"""A group message on its way to many sockets: encoded, and compressed, once per process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from wsgi_bridge.protocols.frames import encode_frame
from wsgi_bridge.protocols.history import enveloped, has_place
from wsgi_bridge.protocols.http import ResponseError


class Broadcast:
    """One group message for many sockets: encoded once, compressed once for each window size."""

    __slots__ = ("_frames", "is_plain", "message")

    def __init__(self, message: Mapping[str, Any]) -> None:
        if has_place(message):
            message = enveloped(message)
        self.message = message
        self._frames: dict[int, bytes] = {}
        text, data = message.get("text"), message.get("bytes")
        # Anything but one piece of data, an accept beside it included, takes the general way.
        self.is_plain = (text is None) != (data is None) and not message.get("close")

    def encode(self, deflate_bits: int, threshold: int) -> bytes:
        """Return the frame for peers with these window bits (0: not compressed).

        Raises ResponseError for text that has no UTF-8.
        """
        frame = self._frames.get(deflate_bits)
        if frame is None:
            frame = self._frames[deflate_bits] = self._encode(deflate_bits, threshold)
        return frame

    def _encode(self, deflate_bits: int, threshold: int) -> bytes:
        text = self.message.get("text")
        try:
            payload = self.message["bytes"] if text is None else text.encode()
        except UnicodeEncodeError as exc:
            raise ResponseError(f"text is not Unicode: {exc.reason}") from exc
        extensions = []
        if deflate_bits and len(payload) >= threshold:
            extensions = [PerMessageDeflate(True, True, 15, deflate_bits, {"memLevel": 5})]
        opcode = Opcode.BINARY if text is None else Opcode.TEXT
        if not extensions:
            return encode_frame(opcode, payload)
        return Frame(opcode, payload).serialize(mask=False, extensions=extensions)
