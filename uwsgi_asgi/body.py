"""The bodies of requests in a worker of uWSGI: read before a request is handed over, or chunked.

uWSGI has read the beginning of a body already, so that only it can read the rest. A chunked one it
has a function for, and no `wsgi.input`.
"""

from __future__ import annotations

import io
import tempfile
from typing import Any, BinaryIO

from uwsgi_asgi.message import BadRequest, Environ, has_chunked_body

__all__ = ["MAX_INLINE", "read_body", "serve_chunks"]

# Bytes of a body that go into the queue with their request; as many as gunicorn_asgi puts inline.
MAX_INLINE = 65536
READ_SIZE = 65536
# Seconds that the next chunk of a body may take. nginx's client_body_timeout.
CHUNK_TIMEOUT = 60


def read_body(environ: Environ) -> tuple[bytes, BinaryIO | None]:
    """Return the body of a request, or a file with it, whose position is its beginning.

    Raises BadRequest when it does not come, or not as it should.
    """
    stream = open_chunks() if has_chunked_body(environ) else environ["wsgi.input"]
    try:
        first: bytes = stream.read(MAX_INLINE + 1)
        if len(first) <= MAX_INLINE:
            _check_length(environ, len(first))
            return first, None
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it goes to another process
        try:
            _check_length(environ, _copy(first, stream, file))
            file.seek(0)
        except BaseException:
            file.close()
            raise
    except OSError as exc:
        raise BadRequest(f"the body of the request does not come: {exc}") from exc
    return b"", file


def serve_chunks(environ: dict[str, Any]) -> None:
    """Give an app a `wsgi.input` that reads a chunked body, to the end of it."""
    if has_chunked_body(environ):
        environ["wsgi.input"] = open_chunks()
        environ["wsgi.input_terminated"] = True


def open_chunks() -> io.BufferedReader:
    """Return the chunked body of the present request as a stream."""
    return io.BufferedReader(_Chunks(), READ_SIZE)


def _copy(first: bytes, stream: Any, file: BinaryIO) -> int:
    size = 0
    data = first
    while data:
        size += file.write(data)
        data = stream.read(READ_SIZE)
    return size


def _check_length(environ: Environ, size: int) -> None:
    """RFC 9112 section 8: half a body must not be taken for the whole."""
    length = environ.get("CONTENT_LENGTH")
    if length and int(length) != size:
        raise BadRequest(f"the body of the request ends after {size} of {length} bytes")


class _Chunks(io.RawIOBase):
    """What uWSGI reads of a chunked body."""

    def __init__(self) -> None:
        self._left = b""
        self._has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        if not self._left and not self._has_ended:
            import uwsgi

            self._left = uwsgi.chunked_read(CHUNK_TIMEOUT)
            self._has_ended = not self._left
        size = min(len(view), len(self._left))
        view[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
