"""Says what it was asked, as ASGI: the method and the body; or streams."""

import json
from urllib.parse import parse_qs


async def application(scope, receive, send):
    """Answer `[method, body]`; `/stream?count=&size=` so many pieces of so many bytes."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/stream":
        await stream(parse_qs(scope["query_string"].decode()), send)
        return
    body = b""
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    content = json.dumps([scope["method"], body.decode("latin-1")]).encode()
    # To CONNECT 2xx would mean that a tunnel begins.
    status = 405 if scope["method"] == "CONNECT" else 200
    fields = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": content})


async def stream(asked, send):
    """Send so many pieces."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    piece = {"type": "http.response.body", "body": b"x" * int(asked["size"][0]), "more_body": True}
    for _ in range(int(asked["count"][0])):
        await send(piece)
    await send({"type": "http.response.body"})
