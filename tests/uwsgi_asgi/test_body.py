"""Bodies of requests in a worker of uWSGI."""

from __future__ import annotations

import io
import sys
import types

import pytest

from tests.uwsgi_asgi.environ import make_environ
from uwsgi_asgi.body import MAX_INLINE, read_body, serve_chunks
from uwsgi_asgi.message import BadRequest


def with_body(body, length=None):
    size = str(len(body) if length is None else length)
    return make_environ(CONTENT_LENGTH=size, **{"wsgi.input": io.BytesIO(body)})


@pytest.fixture
def chunks(monkeypatch):
    """What uWSGI reads of a chunked body: one of these at each call."""
    left = []
    uwsgi = types.SimpleNamespace(chunked_read=lambda timeout: left.pop(0))
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    return left


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE])
def test_a_short_body_is_bytes(size):
    assert read_body(with_body(b"x" * size)) == (b"x" * size, None)


@pytest.mark.parametrize("size", [MAX_INLINE + 1, 5 * MAX_INLINE + 7])
def test_a_long_one_is_a_file(size):
    content, file = read_body(with_body(b"x" * size))
    with file:
        assert (content, file.read()) == (b"", b"x" * size)


@pytest.mark.parametrize("size", [3, 2 * MAX_INLINE])
def test_half_a_body_is_no_body(size):
    with pytest.raises(BadRequest, match=f"ends after {size} of {size + 1} bytes"):
        read_body(with_body(b"x" * size, size + 1))


def test_a_client_that_goes_away_is_a_bad_request():
    class Gone:
        def read(self, size):
            raise OSError("error during read(65536) on wsgi.input")

    with pytest.raises(BadRequest, match="does not come"):
        read_body(make_environ(CONTENT_LENGTH="3", **{"wsgi.input": Gone()}))


@pytest.mark.parametrize("size", [10, MAX_INLINE])
def test_a_chunked_body_is_read_to_its_end(chunks, size):
    chunks += [b"x" * size, b"y" * size, b""]
    content, file = read_body(make_environ(HTTP_TRANSFER_ENCODING="chunked"))
    with file or io.BytesIO(content) as found:
        assert found.read() == b"x" * size + b"y" * size


def test_an_app_can_read_a_chunked_body_as_any_other(chunks):
    chunks += [b"a li", b"ne\nand ", b"another", b"", b"behind its end"]
    environ = make_environ(HTTP_TRANSFER_ENCODING="chunked")
    serve_chunks(environ)
    stream = environ["wsgi.input"]
    assert environ["wsgi.input_terminated"]
    assert (stream.readline(), stream.read(3), stream.read(), stream.read()) == (
        b"a line\n",
        b"and",
        b" another",
        b"",
    )


def test_a_body_with_a_length_stays_uwsgis():
    environ = with_body(b"abc")
    before = environ["wsgi.input"]
    serve_chunks(environ)
    assert environ["wsgi.input"] is before
