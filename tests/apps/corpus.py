"""A site that says what it was asked: the environ's strings, and the body it could read whole."""

from __future__ import annotations

import json


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    said = {name: value for name, value in environ.items() if isinstance(value, str)}
    content = json.dumps([said, body.decode("latin-1")]).encode()
    fields = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    # To CONNECT 2xx would mean that a tunnel begins.
    is_tunnel = environ["REQUEST_METHOD"] == "CONNECT"
    start_response("405 Not Here" if is_tunnel else "200 OK", fields)
    return [content]
