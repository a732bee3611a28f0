"""The deep copy that every layer takes of a message at `send`, which is also its type check.

MESSAGES.md section 1: values are `bytes`, `str`, `int` (signed 64 bit), `float`, `bool`, `None`,
`list` (a tuple arrives as a list) and `dict` with `str` keys; anything else is refused at `send`.
Made a part of the copy because both walk the same tree, and each send pays for it.

There are two walks with one meaning. The plain one knows exact types only, and raises `_Unusual` at
anything else; the thorough one then either converts (an `IntEnum` arrives as an `int`) or raises an
error that names the key path. Only the plain one has to be fast.

Not a serialiser: a layer that goes through a wire packs the copy, or packs instead of copying.
"""

from __future__ import annotations

from typing import Any

from wsgi_bridge.exceptions import InvalidMessage, MessageTooLarge

__all__ = ["MAX_DEPTH", "copy_message", "copy_trusted"]

#: Containers inside one another, the message being the first. Ends cycles; no format of ours
#: nests more than three.
MAX_DEPTH = 64

_INT_MIN = -(2**63)
_INT_MAX = 2**63 - 1

# Sizes are upper bounds of msgpack's: 5 bytes of header at most for a string, bytes, list or dict,
# and 9 bytes for a number with its header. So a size is never under the packed size.
_CONTAINER_SIZE = 5
_ITEM_SIZE = 9
_PAIR_SIZE = _ITEM_SIZE + _CONTAINER_SIZE + 2 * _ITEM_SIZE  # a list of two, inside a list
_KNOWN_KEY_SIZE = 16
_KEY_AND_ITEM_SIZE = 5 + _KNOWN_KEY_SIZE + _ITEM_SIZE

#: Keys of our own formats, under _KNOWN_KEY_SIZE bytes each: they need no check. Any other key is
#: carried as well, and costs a call.
_KNOWN_KEYS = frozenset(
    (
        *("accept", "ack", "body", "body_channel", "body_window", "bytes", "channel", "client"),
        *("close", "closed", "code", "content", "delay", "early_hints", "flow_channel", "headers"),
        *("http_version", "id", "method", "more_content", "order", "path", "query_string"),
        *("raw_path", "reason", "reply_channel", "root_path", "scheme", "sent", "server"),
        *("status", "subprotocol", "subprotocols", "text", "variables", "window"),
    )
)

_FIXED_SIZE_TYPES = frozenset((type(None), bool, float))


class _Unusual(Exception):
    """The plain walk met what it does not know; the thorough one decides."""


def copy_message(message: dict[str, Any], max_size: int) -> dict[str, Any]:
    """Return a deep copy of `message`, made of plain types only.

    A tuple becomes a list; a subclass of a carried type becomes that type. `max_size` is in bytes
    and compared to an upper bound of the packed size. Raises InvalidMessage, which names the key
    path and the type, and MessageTooLarge. Source: MESSAGES.md section 1.
    """
    try:
        copied, size = _copy_plain_dict(message, 1)
    except (_Unusual, UnicodeEncodeError):
        copied, size = _copy_dict(message, "message", 1)
    if size > max_size:
        raise MessageTooLarge(f"message of {size} bytes: expected at most {max_size}")
    return copied


def copy_trusted(message: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of what `copy_message` returned; nothing is checked again."""
    return {key: _copy_trusted_value(value) for key, value in message.items()}


def _copy_trusted_value(value: Any) -> Any:
    if type(value) is list:
        return [_copy_trusted_value(item) for item in value]
    return copy_trusted(value) if type(value) is dict else value


# The plain walk. Type tests are in the order of how often a type is met in HTTP and WebSocket
# messages; strings are not encoded when they are ASCII, which CPython knows without looking.


def _copy_plain_dict(value: Any, depth: int) -> tuple[dict[str, Any], int]:
    if type(value) is not dict or depth > MAX_DEPTH:
        raise _Unusual
    copied = value.copy()
    size = _CONTAINER_SIZE + _KEY_AND_ITEM_SIZE * len(copied)
    for key, item in copied.items():
        if key not in _KNOWN_KEYS:
            size += _size_of_plain_key(key)
        kind = type(item)
        if kind is str:
            size += len(item) if item.isascii() else len(item.encode())
        elif kind is bytes:
            size += len(item)
        elif kind is list or kind is tuple:
            copied[key], item_size = _copy_plain_list(item, depth + 1)
            size += item_size
        elif kind is int:
            if not -0x8000_0000_0000_0000 <= item <= 0x7FFF_FFFF_FFFF_FFFF:
                raise _Unusual
        elif kind not in _FIXED_SIZE_TYPES:
            copied[key], item_size = _copy_plain_dict(item, depth + 1)
            size += item_size
    return copied, size


def _copy_plain_list(value: Any, depth: int) -> tuple[list[Any], int]:
    if depth >= MAX_DEPTH:  # not `>`, because the pairs below are not counted one by one
        raise _Unusual
    copied: list[Any] = []
    size = _CONTAINER_SIZE
    for item in value:
        kind = type(item)
        if (kind is list or kind is tuple) and len(item) == 2:
            first, second = item
            if type(first) is bytes and type(second) is bytes:  # a header
                copied.append([first, second])
                size += _PAIR_SIZE + len(first) + len(second)
                continue
        if kind is str:
            copied.append(item)
            size += _ITEM_SIZE + (len(item) if item.isascii() else len(item.encode()))
        else:
            plain, item_size = _copy_plain_item(item, kind, depth)
            copied.append(plain)
            size += _ITEM_SIZE + item_size
    return copied, size


def _copy_plain_item(item: Any, kind: type, depth: int) -> tuple[Any, int]:
    if kind is bytes:
        return item, len(item)
    if kind is int:
        if not _INT_MIN <= item <= _INT_MAX:
            raise _Unusual
        return item, 0
    if kind in _FIXED_SIZE_TYPES:
        return item, 0
    if kind is list or kind is tuple:
        return _copy_plain_list(item, depth + 1)
    return _copy_plain_dict(item, depth + 1)


def _size_of_plain_key(key: Any) -> int:
    if type(key) is not str:
        raise _Unusual
    return len(key.encode())


# The thorough walk: the same result for plain types, conversions, and errors that say where.


def _copy_dict(value: object, path: str, depth: int) -> tuple[dict[str, Any], int]:
    if not isinstance(value, dict):
        raise InvalidMessage(f"{path} is of type {_name(value)}: expected a dict")
    _check_depth(path, depth)
    copied: dict[str, Any] = {}
    size = _CONTAINER_SIZE
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidMessage(f"{path} has the key {key!r} of type {_name(key)}: expected a str")
        plain_key, key_size = _copy_str(key, f"key of {path}")
        copied[plain_key], item_size = _copy_value(item, f"{path}[{plain_key!r}]", depth)
        size += 5 + _KNOWN_KEY_SIZE + key_size + item_size
    return copied, size


def _copy_list(value: list[Any] | tuple[Any, ...], path: str, depth: int) -> tuple[list[Any], int]:
    _check_depth(path, depth)
    copied = []
    size = _CONTAINER_SIZE
    for index, item in enumerate(value):
        plain, item_size = _copy_value(item, f"{path}[{index}]", depth)
        copied.append(plain)
        size += item_size
    return copied, size


def _copy_value(value: Any, path: str, depth: int) -> tuple[Any, int]:
    if isinstance(value, dict):
        copied, size = _copy_dict(value, path, depth + 1)
        return copied, size + _ITEM_SIZE
    if isinstance(value, (list, tuple)):
        items, size = _copy_list(value, path, depth + 1)
        return items, size + _ITEM_SIZE
    if isinstance(value, str):
        text, size = _copy_str(value, path)
        return text, size + _ITEM_SIZE
    if isinstance(value, bytes):
        return bytes(memoryview(value)), len(value) + _ITEM_SIZE
    return _copy_scalar(value, path), _ITEM_SIZE


def _copy_str(value: str, path: str) -> tuple[str, int]:
    # str.__str__, because a subclass (an Enum) may say something else in its own.
    text = str.__str__(value)
    try:
        return text, len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidMessage(f"{path} cannot be encoded as UTF-8: {exc.reason}") from exc


def _copy_scalar(value: Any, path: str) -> int | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        number = int.__int__(value)
        if _INT_MIN <= number <= _INT_MAX:
            return number
        raise InvalidMessage(f"{path} is {number}: expected an int of 64 bits with sign")
    if isinstance(value, float):
        return float.__float__(value)
    raise InvalidMessage(
        f"{path} is of type {_name(value)}: expected bytes, str, int, float, bool, None, "
        "list, tuple or dict"
    )


def _check_depth(path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        where = path if len(path) <= 80 else path[:80] + "…"
        raise InvalidMessage(
            f"{where} is nested more than {MAX_DEPTH} deep, or contains itself: "
            f"expected at most {MAX_DEPTH} containers inside one another"
        )


def _name(value: object) -> str:
    return type(value).__qualname__
