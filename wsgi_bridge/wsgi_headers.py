"""A WSGI app's status and headers → what a response message carries, checked.

What could split a response, or is not HTTP, is an error here, before any byte is out: ValueError or
TypeError, raised through ``start_response`` into the app's own frame. Rules kept here:

- a status is ``"200 OK"``: three digits from 200, since 1xx is no final response (RFC 9110 15)
- a name is a token, a value latin-1 without control characters but tab (RFC 9110 section 5.5)
- hop-by-hop fields are the server's (PEP 3333, "Other HTTP Features"). PEP 3333 calls them a fatal
  error; gunicorn leaves them out, and the sites that run on it send them: they are left out here
  too, but for ``Connection: close``, which the server obeys
- Content-Length is one number
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Iterable
from typing import Any

from wsgi_bridge.events.consumers import APP_FIELD_LEFT_OUT

logger = logging.getLogger(__name__)

# Names, and status lines, remembered after their check. Apps make few, but may make them up.
CACHE_LIMIT = 1024

_match_status = re.compile(r"([2-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?").fullmatch
_match_name = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_match_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
    )
)


class _Kind(enum.Enum):
    """What has to be done with a field."""

    PLAIN = enum.auto()
    LENGTH = enum.auto()
    HOP_BY_HOP = enum.auto()


_PLAIN, _LENGTH, _HOP = _Kind
_statuses: dict[str, int] = {}
_names: dict[str, tuple[bytes, _Kind]] = {}
_warned: set[str] = set()


def parse_status(status: str) -> int:
    """Return the code of a status such as ``"200 OK"``. Raises TypeError, ValueError."""
    code = _statuses.get(status) if type(status) is str else None
    return code or _add_status(status)


def encode_headers(headers: Iterable[tuple[str, str]]) -> tuple[list[list[bytes]], int | None]:
    """Return the headers of a response message, and the Content-Length (None without one).

    ``headers`` is what the app gave to ``start_response``. Raises TypeError, ValueError.
    """
    fields: list[list[bytes]] = []
    length: int | None = None
    for name, value in headers:
        try:
            encoded_name, kind = _names[name]
        except KeyError:
            encoded_name, kind = _add_name(name)
        if type(value) is str and value.isascii() and value.isprintable():
            encoded_value = value.encode()
        else:
            encoded_value = _encode_value(name, value)
        if kind is _PLAIN:
            fields.append([encoded_name, encoded_value])
        elif kind is _LENGTH:
            length = _parse_length(encoded_value, length)
            fields.append([encoded_name, encoded_value])
        elif encoded_value.strip().lower() == b"close":
            fields.append([encoded_name, encoded_value])
        else:
            _warn_left_out(name)
    return fields, length


def _add_status(status: Any) -> int:
    if not isinstance(status, str):
        raise TypeError(f"a status is a str such as '200 OK', not {status!r}")
    match = _match_status(status)
    if not match:
        raise ValueError(f"a status is three digits from 200 and a reason, not {status!r}")
    code = int(match[1])
    if len(_statuses) < CACHE_LIMIT:
        _statuses[str(status)] = code
    return code


def _add_name(name: Any) -> tuple[bytes, _Kind]:
    if not isinstance(name, str):
        raise TypeError(f"the name of a header field is a str, not {name!r}")
    if not _match_name(name):
        raise ValueError(f"the name of a header field is a token (RFC 9110), not {name!r}")
    kind = _PLAIN
    if name.lower() == "content-length":
        kind = _LENGTH
    elif name.lower() in _HOP_BY_HOP:
        kind = _HOP
    if len(_names) < CACHE_LIMIT:
        _names[str(name)] = name.encode("ascii"), kind
    return name.encode("ascii"), kind


def _warn_left_out(name: str) -> None:
    """Warn once for each name: a site that sends one sends it with every response."""
    if name.lower() not in _warned:
        _warned.add(name.lower())
        APP_FIELD_LEFT_OUT.log(
            logger,
            "hop-by-hop field %(field)s of the app is left out of its responses",
            cause="hop-by-hop",
            field=name,
        )


def _encode_value(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"the value of header field {name} is a str, not {type(value).__name__}")
    # The value is not shown: it may be a cookie.
    if not _match_value(value):
        raise ValueError(f"the value of header field {name} has a character that HTTP has not")
    return value.encode("latin-1")


def _parse_length(value: bytes, earlier: int | None) -> int:
    if not value.isdigit() or (earlier is not None and earlier != int(value)):
        raise ValueError(f"Content-Length is one number, not {value!r}")
    return int(value)
