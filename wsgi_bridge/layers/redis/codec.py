"""Entries of queues and changes of memberships: packed by msgpack, encrypted if there are keys.

    kind      1 byte: m a message, g a group message for the members behind a reader
    deadline  8 bytes, big-endian double: seconds since the epoch
    version   8 bytes, the same, of g only: which changes of memberships came before (push.lua)
    content   packed [name, message], encrypted or not

Kind, deadline and version are in the clear: scripts read them. Nothing is ever unpickled.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack

from wsgi_bridge.layers.redis.naming import ADVICE, HiddenNames, Naming, PlainNames, Undecodable

__all__ = ["GROUP", "MESSAGE", "Change", "Codec", "Entry", "Undecodable", "read_double"]

MESSAGE = b"m"
GROUP = b"g"

_head = struct.Struct(">cd")
_double = struct.Struct(">d")
_change = struct.Struct(">dB")
_VERSIONED = _head.size + _double.size


class Entry(NamedTuple):
    """An entry, decoded. `name` is a channel, or the group of a group message."""

    kind: bytes
    deadline: float
    version: float
    name: str
    message: dict[str, Any]


class Change(NamedTuple):
    """A change of memberships. `is_real` if it changed any, and was not a renewal, say."""

    version: float
    is_real: bool
    content: list[Any]


class Codec:
    """Packs and encrypts. `keys` are secrets: the first one encrypts, all of them decrypt.

    With `hash_names`, the last one hides names as well.
    """

    def __init__(self, keys: Sequence[str | bytes] = (), *, hash_names: bool = False) -> None:
        self._cipher = _cipher(keys) if keys else None
        names: Naming = HiddenNames(keys[-1]) if hash_names and keys else PlainNames()
        self.hashes_names = isinstance(names, HiddenNames)
        self.hashed = names.hashed
        self.token = names.token
        self.name_of = names.name_of

    def head(self, kind: bytes, deadline: float) -> bytes:
        """Return the part of an entry that scripts read."""
        return _head.pack(kind, deadline)

    def seal(self, *content: Any) -> bytes:
        """Return packed and encrypted content."""
        packed: bytes = msgpack.packb(content)
        return packed if self._cipher is None else self._cipher.encrypt(packed)

    def open(self, data: bytes) -> list[Any]:
        """Return what was sealed; raises Undecodable."""
        try:
            packed = data if self._cipher is None else self._cipher.decrypt(data)
            content = msgpack.unpackb(packed, strict_map_key=True)
        except (ValueError, TypeError, _InvalidToken, msgpack.UnpackException) as exc:
            raise Undecodable(f"{type(exc).__name__} in {len(data)} bytes") from exc
        if not isinstance(content, list):
            raise Undecodable(f"{type(content).__name__} in {len(data)} bytes: expected a list")
        return content

    def open_as(self, data: bytes, *kinds: type | tuple[type, ...]) -> list[Any]:
        """Return what was sealed, of these types; raises Undecodable."""
        content = self.open(data)
        if len(content) != len(kinds) or not all(map(isinstance, content, kinds)):
            found = ", ".join(type(part).__name__ for part in content[:9])
            raise Undecodable(f"not what is expected, but {found or 'nothing'}")
        return content

    def encode(self, deadline: float, channel: str, message: dict[str, Any]) -> bytes:
        """Return the entry of a message."""
        return _head.pack(MESSAGE, deadline) + self.seal(channel, message)

    def decode(self, entry: bytes) -> Entry:
        """Return what an entry holds; raises Undecodable."""
        try:
            kind, deadline = _head.unpack_from(entry)
            version = _double.unpack_from(entry, _head.size)[0] if kind == GROUP else 0.0
        except struct.error as exc:
            raise Undecodable(f"{len(entry)} bytes") from exc
        content = self.open(entry[_VERSIONED if kind == GROUP else _head.size :])
        if kind not in (MESSAGE, GROUP) or len(content) != 2:
            raise Undecodable(f"kind {kind!r} of {len(content)} parts")
        name, message = content
        if not isinstance(name, str) or not isinstance(message, dict):
            raise Undecodable("not a name and a message")
        return Entry(kind, deadline, version, name, message)

    def change(self, data: bytes) -> Change:
        """Return a change of memberships; raises Undecodable."""
        try:
            version, is_real = _change.unpack_from(data)
        except struct.error as exc:
            raise Undecodable(f"{len(data)} bytes") from exc
        return Change(version, bool(is_real), self._membership(data[_change.size :]))

    def membership(self, data: bytes) -> list[Any]:
        """Return the content of a membership that a script keeps; raises Undecodable."""
        return self._membership(data[_double.size :])

    def _membership(self, data: bytes) -> list[Any]:
        content = self.open(data)
        if [type(each) for each in content[:3]] != [str, str, str] or len(content) not in (4, 5):
            raise Undecodable(f"not a membership, of {len(content)} parts")
        return content


def read_double(data: bytes) -> float:
    """Return what `struct.pack('>d')` of a script wrote; raises Undecodable."""
    try:
        number: float = _double.unpack_from(data)[0]
    except struct.error as exc:
        raise Undecodable(f"{len(data)} bytes") from exc
    return number


class _InvalidToken(Exception):
    """Stands for cryptography's, which is there only where it is installed."""


def _derived(key: str | bytes) -> bytes:
    secret = key.encode() if isinstance(key, str) else key
    return hashlib.sha256(secret).digest()


class _Fernet:
    """Fernet with rotation of keys, of any length."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet
        except ImportError as exc:
            raise ImportError(ADVICE) from exc
        self._invalid = InvalidToken
        encoded = [base64.urlsafe_b64encode(_derived(key)) for key in keys]
        self._fernet = MultiFernet([Fernet(key) for key in encoded])

    def encrypt(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        try:
            return self._fernet.decrypt(data)
        except self._invalid as exc:
            raise _InvalidToken from exc


def _cipher(keys: Sequence[str | bytes]) -> _Fernet:
    return _Fernet(keys)
