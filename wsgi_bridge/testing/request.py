"""A request as a test asks for it, and as a protocol server would have read it."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode, urljoin, urlsplit

from wsgi_bridge.testing.headers import Fields, Headers, encode_fields

Content = bytes | str | Iterable[bytes]
Query = str | Mapping[str, object] | Iterable[tuple[str, object]]

# Bytes of a body that come with the request, in one message (gunicorn_asgi.request).
MAX_INLINE_BODY = 65536
# Bytes that a server reads of a socket at once.
READ_SIZE = 65536

_SAFE = "/:@!$&'()*+,;=~%-._"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 9110 section 15.4: what is asked for again with a GET; 307 and 308 say the same again.
_SEE_OTHER = (301, 302, 303)
REDIRECTS = (*_SEE_OTHER, 307, 308)


@dataclass(frozen=True)
class Request:
    """One request. ``url`` is absolute; ``content`` None is no body at all."""

    method: str
    url: str
    headers: Headers
    content: bytes | Iterable[bytes] | None = None

    @property
    def path(self) -> str:
        """The path as in the message: percent-decoded."""
        return unquote_to_bytes(_raw_path(self.url)).decode("utf-8", "replace")

    @property
    def is_inline(self) -> bool:
        """Whether the body comes with the request (MESSAGES.md section 2)."""
        if "expect" in self.headers or not isinstance(self.content, (bytes, type(None))):
            return False
        return len(self.content or b"") <= MAX_INLINE_BODY

    def blocks(self) -> Iterator[bytes]:
        """Yield the body as it is read from a socket."""
        content = self.content
        if isinstance(content, bytes):
            yield from (content[at : at + READ_SIZE] for at in range(0, len(content), READ_SIZE))
        elif content is not None:
            yield from content

    def to_message(self, client: tuple[str, int]) -> dict[str, Any]:
        """Return its ``http.request``, without ``reply_channel`` (MESSAGES.md section 2)."""
        parts = urlsplit(self.url)
        return {
            "http_version": "1.1",
            "method": self.method,
            "scheme": parts.scheme,
            "path": self.path,
            "raw_path": _raw_path(self.url),
            "root_path": "",
            "query_string": quote(parts.query, safe=_SAFE + "?[]").encode("ascii"),
            "headers": encode_fields(self.headers.fields()),
            "body": self.content if self.is_inline and isinstance(self.content, bytes) else b"",
            "client": list(client),
            "server": [parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 80)],
        }

    def redirect(self, status: int, location: str) -> Request:
        """Return the request that a redirection asks for."""
        url = urljoin(self.url, location)
        if status not in _SEE_OTHER or self.method == "HEAD":
            return replace(self, url=url)
        kept = [pair for pair in self.headers.fields() if not pair[0].lower().startswith("content")]
        kept = [pair for pair in kept if pair[0].lower() != "transfer-encoding"]
        return Request("GET", url, Headers(kept))


def make_request(
    method: str,
    url: str,
    headers: Fields,
    *,
    query: Query = (),
    content: Content | None = None,
    form: Query | None = None,
    json: Any = None,
) -> Request:
    """Return a request with the fields that its body needs. Raise TypeError for two bodies."""
    if sum(body is not None for body in (content, form, json)) > 1:
        raise TypeError("a request has one body: content, form or json")
    kind = ""
    if form is not None:
        content, kind = encode_query(form), "application/x-www-form-urlencoded"
    elif json is not None:
        content, kind = json_format.dumps(json), "application/json"
    body = content.encode() if isinstance(content, str) else content
    text = encode_query(query)
    if text:
        url += ("&" if "?" in url else "?") + text
    given = Headers(headers)
    ours = [("Host", urlsplit(url).netloc), ("Content-Type", kind), *_framing(method, body)]
    missing = [(name, value) for name, value in ours if value and name not in given]
    return Request(method.upper(), url, Headers([*missing, *given.fields()]), body)


def encode_query(query: Query) -> str:
    """Return a query string, or a form."""
    return query if isinstance(query, str) else urlencode(_pairs(query), doseq=True)


def _raw_path(url: str) -> bytes:
    return quote(urlsplit(url).path or "/", safe=_SAFE).encode("ascii")


def _pairs(query: Mapping[str, object] | Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return list(query.items() if isinstance(query, Mapping) else query)


def _framing(method: str, body: bytes | Iterable[bytes] | None) -> list[tuple[str, str]]:
    if body is None:
        # RFC 9110 section 8.6: methods that usually have a body say that this one has none.
        return [("Content-Length", "0")] if method.upper() in ("POST", "PUT", "PATCH") else []
    if isinstance(body, bytes):
        return [("Content-Length", str(len(body)))]
    return [("Transfer-Encoding", "chunked")]
