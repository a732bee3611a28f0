"""Hello world as a raw ASGI app: what `hello_wsgi` answers, without a framework."""

BODY = b"Hello, world!\n"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(BODY))],
}
END = {"type": "http.response.body", "body": BODY}


async def application(scope, receive, send):
    """Answer every request with the same 14 bytes."""
    await send(START)
    await send(END)
