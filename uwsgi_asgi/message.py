"""A request in a worker of uWSGI, as its WSGI environ has it, and the message that it becomes.

The way back of `wsgi_bridge.wsgi_environ`. uWSGI has parsed the request, or nginx has: what a name
or a path means was decided there, and here nothing is decided anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsgi_bridge.exceptions import BridgeError

__all__ = ["BadRequest", "check_framing", "has_chunked_body", "to_message"]

_SCHEMES = {"http": "ws", "https": "wss"}
# What has a place of its own in the message, or is the worker's affair.
_KNOWN = frozenset(
    (
        *("REQUEST_METHOD", "REQUEST_URI", "REQUEST_SCHEME", "QUERY_STRING", "DOCUMENT_URI"),
        *("SCRIPT_NAME", "PATH_INFO", "SERVER_PROTOCOL", "SERVER_NAME", "SERVER_PORT", "HTTPS"),
        *("REMOTE_ADDR", "REMOTE_PORT", "CONTENT_TYPE", "CONTENT_LENGTH", "DOCUMENT_ROOT"),
    )
)
# What nginx and Apache say of each request that they pass on, and uWSGI's own parser of HTTP and
# its routers never do; a client cannot, whose fields are all HTTP_ something.
_FRONT_END = "REQUEST_SCHEME"
# nginx's uwsgi_params pass these on also when they are empty.
_CONTENT_FIELDS = (("CONTENT_TYPE", b"content-type"), ("CONTENT_LENGTH", b"content-length"))

Environ = Mapping[str, Any]


class BadRequest(BridgeError):
    """A request that is refused; ``status`` is the answer's."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def to_message(environ: Environ, *, is_websocket: bool, has_root: bool = True) -> dict[str, Any]:
    """Return the message of a request, without reply channel and body.

    ``has_root``: whether SCRIPT_NAME is where the site is, and not merely where uWSGI found the
    app that hands over.
    """
    scheme = environ.get("wsgi.url_scheme") or "http"
    root = environ.get("SCRIPT_NAME", "")
    path = (root + environ.get("PATH_INFO", "")).encode("latin-1")
    message: dict[str, Any] = {
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        "method": environ["REQUEST_METHOD"],
        "scheme": _SCHEMES.get(scheme, scheme) if is_websocket else scheme,
        "path": path.decode("utf-8", "replace"),
        "raw_path": environ.get("REQUEST_URI", "").partition("?")[0].encode("latin-1") or path,
        "root_path": root.encode("latin-1").decode("utf-8", "replace") if has_root else "",
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": _headers(environ),
        "client": _address(environ, "REMOTE_ADDR", "REMOTE_PORT"),
        "server": _address(environ, "SERVER_NAME", "SERVER_PORT"),
    }
    variables = _variables(environ)
    if variables:
        message["variables"] = variables
    return message


def _headers(environ: Environ) -> list[list[bytes]]:
    headers = [
        [key[5:].lower().replace("_", "-").encode("latin-1"), value.encode("latin-1")]
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    for key, name in _CONTENT_FIELDS:
        if value := environ.get(key):
            headers.append([name, value.encode("latin-1")])
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("CONTENT_LENGTH"):
        # RFC 9112 section 6.3: it was undone where the length was found.
        headers = [field for field in headers if field[0] != b"transfer-encoding"]
    return headers


def _address(environ: Environ, name: str, port: str) -> list[Any] | None:
    """Return [name, port]; None behind a Unix socket that nobody speaks for."""
    found = environ.get(name)
    if not found:
        return None
    number = environ.get(port, "")
    return [found, int(number) if number.isdigit() else 0]


def _variables(environ: Environ) -> dict[str, str]:
    """Return what else the front end says, such as REMOTE_USER or a client's certificate."""
    return {
        key: value
        for key, value in environ.items()
        if key.isupper()
        and type(value) is str
        and not key.startswith(("HTTP_", "UWSGI_"))
        and key not in _KNOWN
    }


def has_chunked_body(environ: Environ) -> bool:
    """Whether a request's body has no length: uWSGI's own `wsgi.input` does not read such a one."""
    return "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH")


def check_framing(environ: Environ) -> None:
    """Refuse what two parsers could read in two ways (RFC 9112 section 6.1); raises BadRequest.

    Behind a front end that has parsed the request there is no second one: nginx undoes the chunks
    of a body, and passes its length on beside the field.
    """
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    if coding is None or (environ.get("CONTENT_LENGTH") and _FRONT_END in environ):
        return
    if environ.get("CONTENT_LENGTH"):
        raise BadRequest("Content-Length beside Transfer-Encoding")
    if coding.strip().lower() != "chunked":
        raise BadRequest(f"a transfer coding of {coding[:40]!r} is not implemented", 501)
