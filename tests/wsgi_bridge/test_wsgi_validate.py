"""The bridge runs clean under wsgiref.validate, in every shape of app and request."""

from __future__ import annotations

import gc
import io
import sys
import warnings
from wsgiref.validate import validator

import pytest

from tests.wsgi_bridge.wsgi_fakes import BODY, RecordingLayer, exchange, make_request

TEXT = [("Content-Type", "text/plain")]


def list_app(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"a", b"b"]


def generator_app(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"a"
    yield b""
    yield b"b"


def sized_app(environ, start_response):
    start_response("200 OK", [*TEXT, ("Content-Length", "2")])
    return iter([b"a", b"b"])


def write_app(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"a")
    return [b"b"]


def exc_info_app(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError
    except ValueError:
        start_response("200 Fine", TEXT, sys.exc_info())
    return [b"ab"]


def file_app(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](io.BytesIO(b"ab"))


def no_content_app(environ, start_response):
    start_response("204 No Content", [])
    return []


def errors_app(environ, start_response):
    environ["wsgi.errors"].write("a line\n")
    environ["wsgi.errors"].writelines(["one\n", "two\n"])
    environ["wsgi.errors"].flush()
    return list_app(environ, start_response)


def read_app(environ, start_response):
    start_response("200 OK", TEXT)
    stream = environ["wsgi.input"]
    return [stream.read(1), stream.readline(), *stream.readlines(), *stream, stream.read(5)]


APPS = [list_app, generator_app, sized_app, write_app, exc_info_app, file_app, no_content_app,
        errors_app, read_app]  # fmt: skip

REQUESTS = {
    "get": make_request(headers=[(b"host", b"example.com")]),
    "head": make_request("HEAD"),
    "query and path": make_request(path="/é b", query_string=b"a=%20"),
    "mounted": make_request(path="/app/x", root_path="/app"),
    "mounted, at its root": make_request(path="/app", root_path="/app"),
    "mounted at a slash": make_request(path="/x", root_path="/"),
    "a body": make_request(
        "POST",
        body=b"a\nb",
        headers=[(b"content-length", b"3"), (b"content-type", b"text/plain")],
    ),
    "a body in chunks": make_request(
        "POST", body=b"a\n", body_channel=BODY, headers=[(b"transfer-encoding", b"chunked")]
    ),
    "no addresses": make_request(client=None, server=None),
}


@pytest.mark.parametrize("request_message", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("app", APPS)
def test_the_validator_is_content(app, request_message, caplog, capsys):
    layer = RecordingLayer()
    layer.waiting[BODY].append({"content": b"b\nc", "more_content": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        messages = exchange(validator(app), request_message, layer)
        gc.collect()  # the validator's iterator complains when it was not closed
    answers = [message for message in messages if "body_window" not in message]
    assert answers[0]["status"] == (204 if app is no_content_app else 200)
    assert answers[-1].get("more_content") is False
    assert caplog.records == []
    assert "without being closed" not in capsys.readouterr().err
