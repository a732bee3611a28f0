"""How names of channels and groups stand in Redis: in the clear, or hidden by a secret.

A name stands there in two forms: hashed, in the names of keys; and as a token, where it has to be
read back: equal names are equal tokens, and the part up to `!` stays a part of its own, since
scripts find the reader of a channel by it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import Any, Protocol

from wsgi_bridge.exceptions import InvalidName
from wsgi_bridge.names import check_channel

__all__ = ["ADVICE", "HiddenNames", "Naming", "PlainNames", "Undecodable"]

ADVICE = "encryption needs the extra: pip install wsgi-bridge[crypto]"

#: Names that are remembered with what stands for them in Redis.
CACHE_SIZE = 8192

#: Bytes by which a hidden name grows, so that its length tells little.
STEP = 16


class Undecodable(ValueError):
    """Not an entry of ours, or encrypted with a key that we do not have."""


class Naming(Protocol):
    """How names of channels and groups stand in Redis."""

    def hashed(self, name: str) -> str:
        """Return a name as it stands in the names of keys."""

    def token(self, name: str) -> str:
        """Return a name as it stands where it has to be read back."""

    def name_of(self, token: bytes) -> str:
        """Return the name of a token; raises Undecodable."""


class PlainNames:
    """They stand in the clear; see Naming."""

    def hashed(self, name: str) -> str:
        """Return `name`."""
        return name

    def token(self, name: str) -> str:
        """Return `name`."""
        return name

    def name_of(self, token: bytes) -> str:
        """Return the token as text."""
        try:
            name = token.decode()
            check_channel(name)
        except (UnicodeDecodeError, InvalidName) as exc:
            raise Undecodable(f"not a name, in {len(token)} bytes") from exc
        return name


class HiddenNames:
    """They are hashed, and encrypted by AES-SIV (RFC 5297) without a nonce; see Naming."""

    def __init__(self, key: str | bytes) -> None:
        siv, self._invalid = _siv()
        secret = key.encode() if isinstance(key, str) else key
        self._hash_key = hashlib.sha512(b"hash " + secret).digest()
        self._siv = siv(hashlib.sha512(b"names " + secret).digest())
        self.hashed = lru_cache(CACHE_SIZE)(self._hashed)
        self.token = lru_cache(CACHE_SIZE)(self._token)
        self.name_of = lru_cache(CACHE_SIZE)(self._name_of)

    def _hashed(self, name: str) -> str:
        digest = hmac.digest(self._hash_key, name.encode(), "sha256")[:18]
        return base64.urlsafe_b64encode(digest).decode()

    def _token(self, name: str) -> str:
        return "!".join([self._hidden(part) if part else "" for part in name.split("!")])

    def _hidden(self, part: str) -> str:
        padded = part.ljust(-len(part) // STEP * -STEP).encode()
        return base64.urlsafe_b64encode(self._siv.encrypt(padded, None)).decode()

    def _name_of(self, token: bytes) -> str:
        try:
            name = "!".join([self._shown(part) if part else "" for part in token.split(b"!")])
            check_channel(name)
        except (ValueError, InvalidName, self._invalid) as exc:
            raise Undecodable(f"not a name of ours, in {len(token)} bytes") from exc
        return name

    def _shown(self, part: bytes) -> str:
        shown: bytes = self._siv.decrypt(base64.urlsafe_b64decode(part), None)
        return shown.rstrip().decode("ascii")


def _siv() -> Any:
    """Return the cipher, and what it raises. Its types differ between versions."""
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    except ImportError as exc:
        raise ImportError(ADVICE) from exc
    return AESSIV, InvalidTag
