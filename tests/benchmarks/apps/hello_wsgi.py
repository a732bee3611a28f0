"""Hello world as a WSGI app: the same object for our worker and for gunicorn's gevent worker."""

BODY = b"Hello, world!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def application(environ, start_response):
    """Answer every request with the same 14 bytes."""
    start_response("200 OK", HEADERS.copy())
    return [BODY]
