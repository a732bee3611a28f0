"""Says what it was asked, as WSGI: the method and the body; or streams."""

import json
from urllib.parse import parse_qs


def application(environ, start_response):
    """Answer `[method, body]`; `/stream?count=&size=` so many pieces of so many bytes."""
    if environ["PATH_INFO"] == "/stream":
        asked = parse_qs(environ["QUERY_STRING"])
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (b"x" * int(asked["size"][0]) for _ in range(int(asked["count"][0])))
    method = environ["REQUEST_METHOD"]
    body = environ["wsgi.input"].read()
    content = json.dumps([method, body.decode("latin-1")]).encode()
    # To CONNECT 2xx would mean that a tunnel begins.
    status = "405 Not Here" if method == "CONNECT" else "200 OK"
    start_response(status, [("Content-Length", str(len(content)))])
    return [content]
