"""Names of channels and groups: their grammar, and the part that a receiver listens on.

MESSAGES.md section 1: ASCII letters, digits, `.`, `-`, `_`, at most one `?` or one `!`, under 100
characters; a group name is the same without `?` and `!`.

    http.request             normal: many senders, many receivers
    http.request.body?Kx3    single-reader: made by `new_channel("http.request.body?")`
    gunicorn.response.P9!c8  process-specific: its reader listens on `gunicorn.response.P9!`

No state and no I/O here. `check_*` raises InvalidName, which is also a TypeError, and returns None.
"""

from __future__ import annotations

import re

from wsgi_bridge.exceptions import InvalidName

__all__ = [
    "MAX_KEY_SIZE",
    "MAX_NAME_LENGTH",
    "SUFFIX_LENGTH",
    "check_channel",
    "check_group",
    "check_key",
    "check_pattern",
    "check_reader",
    "reader_of",
]

#: Longest name, in characters; the draft says "less than 100".
MAX_NAME_LENGTH = 99

#: Bytes of the longest key of a layer's storage: beside a channel's name there is room for it in a
#: key of any backend (LMDB's have 511 bytes).
MAX_KEY_SIZE = 250

#: What a layer appends to a pattern in `new_channel`, in characters (96 random bits).
SUFFIX_LENGTH = 16

_ALPHABET = r"[a-zA-Z0-9._\-]"
_match_channel = re.compile(rf"{_ALPHABET}+(?:[?!]{_ALPHABET}*)?").fullmatch
_match_group = re.compile(rf"{_ALPHABET}+").fullmatch
_match_pattern = re.compile(rf"{_ALPHABET}+\?").fullmatch

_CHARACTERS = "ASCII letters, digits, '.', '-', '_'"
_LENGTH = f"at most {MAX_NAME_LENGTH} characters"


def check_channel(name: str) -> None:
    """Refuse what is not a channel name of any of the three kinds.

    Raises InvalidName. Hot path: called for each send. Source: MESSAGES.md section 1.
    """
    if isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and _match_channel(name):
        return
    expected = f"{_CHARACTERS} and at most one '?' or '!', {_LENGTH}"
    raise InvalidName(f"{name!r} is not a channel name: expected {expected}")


def check_reader(name: str) -> None:
    """Refuse what one cannot receive on: a bad name, or a process-specific one past its `!`.

    Raises InvalidName. Source: MESSAGES.md section 1, "the receiver listens on the part up to
    and including `!`".
    """
    check_channel(name)
    if reader_of(name) != name:
        raise InvalidName(f"cannot receive on {name!r}: expected its reader, {reader_of(name)!r}")


def check_group(name: str) -> None:
    """Refuse what is not a group name.

    Raises InvalidName. Source: MESSAGES.md section 1.
    """
    if isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and _match_group(name):
        return
    raise InvalidName(f"{name!r} is not a group name: expected {_CHARACTERS}, {_LENGTH}")


def check_key(key: str) -> None:
    """Refuse what cannot name a value, a log or a scheduled message of a layer's storage.

    That is any text but the empty one, without a zero character. Raises InvalidName.
    """
    if isinstance(key, str) and key and "\0" not in key and len(_encoded(key)) <= MAX_KEY_SIZE:
        return
    expected = f"text of 1 to {MAX_KEY_SIZE} bytes in UTF-8, without a zero character"
    raise InvalidName(f"{key!r} is not a key: expected {expected}")


def _encoded(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError as exc:
        raise InvalidName(f"{key!r} is not a key: {exc.reason}") from exc


def check_pattern(pattern: str) -> None:
    """Refuse what `new_channel` cannot make a single-reader channel of.

    Raises InvalidName. A pattern ends in its only `?`, and leaves room for a suffix.
    """
    longest = MAX_NAME_LENGTH - SUFFIX_LENGTH
    if isinstance(pattern, str) and len(pattern) <= longest and _match_pattern(pattern):
        return
    raise InvalidName(
        f"{pattern!r} is not a pattern: expected {_CHARACTERS}, then '?' at the end, "
        f"at most {longest} characters"
    )


def reader_of(name: str) -> str:
    """Return the name that the receiver of `name` listens on.

    That is the part up to and including `!` of a process-specific name, and else the name itself.
    `name` is not checked.
    """
    return name[: name.find("!") + 1] or name
