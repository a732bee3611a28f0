"""A request as it was read, and the message that it becomes.

It is a value: what may be in one is decided in ``head``, bytes come to it through ``reader``.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

# Bytes of a request body that are read before its consumer is asked, so that small ones come
# inline.
MAX_INLINE_BODY = 65536

# RFC 9112 section 3.2.2, with the host that RFC 9110 section 4.2.1 asks for; user information is
# left out (section 4.2.4).
_match_absolute = re.compile(
    rb"(?i:https?)://(?:[^/?@]*@)?"
    rb"((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]*)?)([/?].*)?"
).fullmatch


class RequestError(Exception):
    """A request that is refused; ``status`` is the answer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Request:
    """A request as it was read. Its body's bytes are in ``parts`` until somebody takes them."""

    # Defaults on the class: most requests have no body, and set none of these.
    is_upgrade = False
    forwarded: str | None = None  # the scheme that a trusted proxy says
    root_path = ""  # the mount point, when a trusted proxy says it
    variables: dict[str, str] | None = None  # what else goes into the environ
    expects_continue = False
    has_body = False
    body_size: int | None = None  # None: chunked
    parts: list[bytes] | None = None
    is_complete = True  # until a body is due
    started = 0.0

    def __init__(
        self, method: str, target: bytes, version: str, headers: list[list[bytes]], keep_alive: bool
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive

    @property
    def is_inline(self) -> bool:
        """Whether the body is short enough to wait for before a consumer is asked."""
        size = self.body_size
        return size is not None and size <= MAX_INLINE_BODY and not self.expects_continue

    @property
    def path(self) -> str:
        """The path as in the message: percent-decoded."""
        return unquote_to_bytes(self._split()[1]).decode("utf-8", "replace")

    def take_body(self) -> bytes:
        """Return the body bytes read so far, and forget them."""
        parts, self.parts = self.parts, None
        return b"" if parts is None else parts[0] if len(parts) == 1 else b"".join(parts)

    def to_message(
        self, reply_channel: str, scheme: str, root_path: str, client: Any, server: Any
    ) -> dict[str, Any]:
        """Return the ``http.request`` message; ``client`` and ``server`` are pairs, or None."""
        raw_path, _, query = self.target.partition(b"?")
        if not raw_path.startswith(b"/"):
            raw_path, path_bytes, query = self._split()
            path = unquote_to_bytes(path_bytes).decode("utf-8", "replace")
        elif b"%" in raw_path:
            path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        else:
            path = raw_path.decode("ascii")
        message = {
            "reply_channel": reply_channel,
            "http_version": self.version,
            "method": self.method,
            "scheme": scheme,
            "path": path,
            "raw_path": raw_path,
            "root_path": self.root_path or root_path,
            "query_string": query,
            "headers": self.headers,
            "body": b"" if self.parts is None else self.take_body(),
            "client": client,
            "server": server,
        }
        if self.variables is not None:
            message["variables"] = self.variables
        return message

    def _split(self) -> tuple[bytes, bytes, bytes]:
        """Return raw path, path and query of any target (RFC 9112 section 3.2)."""
        target = self.target
        if self.method == "CONNECT":
            return target, b"", b""
        if not target.startswith((b"/", b"*")):
            target = split_absolute(target)[1]
        raw_path, _, query = target.partition(b"?")
        return raw_path, raw_path, query


def split_absolute(target: bytes) -> tuple[bytes, bytes]:
    """Return host (with port), and path with query, of a target that is a URL.

    Raises RequestError for what is none.
    """
    match = _match_absolute(target)
    if match is None:
        raise RequestError(400, f"request target {target[:40]!r} does not fit its method")
    rest = match[2] or b"/"
    return match[1], rest if rest.startswith(b"/") else b"/" + rest
