"""The uwsgi protocol, as far as a request goes: what nginx's `uwsgi_pass` sends. Sans I/O.

Four bytes (a modifier, the size of what follows as a little-endian number, another modifier), then
pairs of a name and a value, each with its length before it. The body comes behind that, as it is.
"""

from __future__ import annotations

import struct

__all__ = ["UwsgiError", "UwsgiReader"]

_HEAD = struct.Struct("<BHB")
_LENGTH = struct.Struct("<H")


class UwsgiError(ValueError):
    """What came is no request in this protocol."""


class UwsgiReader:
    """The reader of one connection. What is behind the variables is in ``rest``."""

    __slots__ = ("_data", "rest")

    def __init__(self) -> None:
        self._data = b""
        self.rest = b""

    @property
    def is_begun(self) -> bool:
        """Whether anything has come."""
        return bool(self._data)

    def feed(self, data: bytes) -> dict[str, str] | None:
        """Read bytes; return the variables when they are all there. Raises UwsgiError."""
        self._data = data = self._data + data
        if len(data) < _HEAD.size:
            return None
        modifier, size, _ = _HEAD.unpack_from(data)
        if modifier:
            raise UwsgiError(f"modifier1 is {modifier}; expected 0, a request")
        end = _HEAD.size + size
        if len(data) < end:
            return None
        self.rest = data[end:]
        self._data = b""
        return dict(_pairs(data[_HEAD.size : end]))


def _pairs(block: bytes) -> list[tuple[str, str]]:
    texts = []
    at = 0
    while at < len(block):
        text, at = _read(block, at)
        texts.append(text)
    if len(texts) % 2:
        raise UwsgiError("a name has no value")
    return list(zip(texts[::2], texts[1::2], strict=True))


def _read(block: bytes, at: int) -> tuple[str, int]:
    start = at + _LENGTH.size
    if start > len(block):
        raise UwsgiError("a length is cut off")
    end = start + _LENGTH.unpack_from(block, at)[0]
    if end > len(block):
        raise UwsgiError("a text is cut off")
    return block[start:end].decode("latin-1"), end
