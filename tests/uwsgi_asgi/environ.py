"""What uWSGI gives an app: the environ of 2.0.31 for `GET /a%20b/%C3%A4?x=1`."""

from __future__ import annotations

from typing import Any


def make_environ(**changes: Any) -> dict[str, Any]:
    """Return one, with changes; None leaves a key out."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b/\u00c3\u00a4",
        "REQUEST_URI": "/a%20b/%C3%A4?x=1",
        "QUERY_STRING": "x=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "vm",
        "SERVER_PORT": "9871",
        "REMOTE_ADDR": "192.0.2.1",
        "HTTP_HOST": "site.example",
        "HTTP_X_A": "1, 2",
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "uwsgi.version": b"2.0.31",
        "uwsgi.node": b"vm",
        **changes,
    }
    return {key: value for key, value in environ.items() if value is not None}


def make_handshake(**changes: Any) -> dict[str, Any]:
    """Return the environ of an opening handshake."""
    fields = {
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
    }
    return make_environ(**{**fields, **changes})
