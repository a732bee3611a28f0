"""`http.request` message → WSGI environ (PEP 3333; RFC 3875 for the names).

It is not a request object, and it reads no body: `wsgi.input` is given to it. It runs once for
each request, so it is written for speed; the rules that it keeps:

- a native string is latin-1 of the bytes on the wire (PEP 3333, "Unicode Issues"); ``PATH_INFO``
  therefore is latin-1 of the UTF-8 of ``path``, and comes from ``raw_path`` when ``path`` has more
  than ASCII, since bytes that are no UTF-8 survive only there
- a field name with ``_`` is dropped: ``X_Forwarded_For`` must never pass for ``X-Forwarded-For``;
  a server that vouches for one puts it in ``variables``
- a field sent twice is joined with ``,``, a cookie with ``; `` (RFC 9110 section 5.2, RFC 6265
  section 5.4); of Content-Type and Content-Length, which are no lists, the first counts
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from wsgi_bridge.wsgi_files import FileWrapper

Environ = dict[str, Any]

# Field names remembered with their environ key. Clients choose the names, so there must be a bound;
# a site sees some dozens.
NAMES_LIMIT = 1024

_PROTOCOLS = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0", "2": "HTTP/2.0"}
_SCHEMES = {"ws": "http", "wss": "https"}
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SINGLE = frozenset(("CONTENT_TYPE", "CONTENT_LENGTH"))

# name on the wire → environ key; "" for a name that is dropped
_keys: dict[bytes, str] = {}


def make_environ(
    message: Mapping[str, Any],
    stream: object,
    *,
    multithread: bool,
    multiprocess: bool,
    server_software: str,
    errors: object | None = None,
) -> Environ:
    """Return the environ of one request.

    ``message`` is an ``http.request`` or a ``websocket.connect`` (then a GET), ``stream`` what
    becomes ``wsgi.input``, ``errors`` a text stream (``sys.stderr`` unless given). Does not block.
    Source: PEP 3333, "environ Variables"; ``RAW_URI`` is gunicorn's.
    """
    get = message.get
    scheme = get("scheme") or "http"
    path = message["path"]
    query = message["query_string"].decode("latin-1")
    raw_path = get("raw_path")
    target = raw_path.decode("latin-1") if raw_path else quote_from_bytes(_encode_path(path))
    version = get("http_version", "1.1")
    # One literal: half the cost of as many assignments.
    environ: Environ = {
        "REQUEST_METHOD": get("method", "GET"),
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else _decode_path(path, raw_path),
        "QUERY_STRING": query,
        "RAW_URI": target + "?" + query if query else target,
        "SERVER_PROTOCOL": _PROTOCOLS.get(version) or "HTTP/" + version,
        "SERVER_SOFTWARE": server_software,
        "wsgi.version": (1, 0),
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        # The end of the body is the end of `wsgi.input`, Content-Length or not (as gunicorn has
        # it).
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": _SCHEMES.get(scheme, scheme),
        "wsgi.input": stream,
        "wsgi.errors": sys.stderr if errors is None else errors,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": multiprocess,
    }
    _add_fields(environ, message["headers"])
    _add_addresses(environ, get("client"), get("server"))
    root_path = get("root_path")
    if root_path:
        _split_root(environ, root_path)
    if "variables" in message:
        environ.update(message["variables"])
    return environ


def _add_fields(environ: Environ, headers: Iterable[Sequence[bytes]]) -> None:
    for name, value in headers:
        try:
            key = _keys[name]
        except KeyError:
            key = _add_key(name)
        if key in environ:
            _join_field(environ, key, value.decode("latin-1"))
        elif key:
            environ[key] = value.decode("latin-1")


def _add_key(name: bytes) -> str:
    """Return the environ key of a field name, "" when the field is dropped."""
    if b"_" in name:
        key = ""
    else:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in _SINGLE:
            key = "HTTP_" + key
    if len(_keys) < NAMES_LIMIT:
        _keys[name] = key
    return key


def _join_field(environ: Environ, key: str, value: str) -> None:
    if key not in _SINGLE:
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] += separator + value


def _add_addresses(
    environ: Environ, client: Sequence[Any] | None, server: Sequence[Any] | None
) -> None:
    if client:
        environ["REMOTE_ADDR"] = client[0]
        environ["REMOTE_PORT"] = str(client[1])
    else:
        # A Unix socket has no peer address. Sites index REMOTE_ADDR, so that it must be there.
        environ["REMOTE_ADDR"] = ""
    if server:
        environ["SERVER_NAME"] = server[0]
        environ["SERVER_PORT"] = str(server[1])
    else:
        name, port = _split_host(environ.get("HTTP_HOST", ""))
        environ["SERVER_NAME"] = name or "localhost"
        environ["SERVER_PORT"] = port or _DEFAULT_PORTS.get(environ["wsgi.url_scheme"], "80")


def _split_host(host: str) -> tuple[str, str]:
    """Return the name and the port, "" where there is none, of a Host field."""
    if host.endswith("]"):  # an IPv6 address without a port
        return host, ""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon else (host, "")


def _split_root(environ: Environ, root_path: str) -> None:
    """Set SCRIPT_NAME, and cut it off PATH_INFO when the path still has it."""
    root = _decode_path(root_path, None).rstrip("/")
    path = environ["PATH_INFO"]
    environ["SCRIPT_NAME"] = root
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        environ["PATH_INFO"] = path[len(root) :]


def _encode_path(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _decode_path(path: str, raw_path: bytes | None) -> str:
    """Return the native string of a path: latin-1 of its bytes."""
    # An absolute-form target (RFC 9112 section 3.2.2) has more than the path in it.
    if raw_path and raw_path.startswith(b"/"):
        return unquote_to_bytes(raw_path).decode("latin-1")
    return _encode_path(path).decode("latin-1")
