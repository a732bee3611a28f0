"""The message that a request in a worker of uWSGI becomes, and back."""

from __future__ import annotations

import io

import pytest

from tests.uwsgi_asgi.environ import make_environ, make_handshake
from uwsgi_asgi.message import BadRequest, check_framing, has_chunked_body, to_message
from wsgi_bridge import open_layer
from wsgi_bridge.wsgi_environ import make_environ as environ_of


def test_a_request_becomes_a_message():
    assert to_message(make_environ(), is_websocket=False) == {
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a b/ä",
        "raw_path": b"/a%20b/%C3%A4",
        "root_path": "",
        "query_string": b"x=1",
        "headers": [[b"host", b"site.example"], [b"x-a", b"1, 2"]],
        "client": ["192.0.2.1", 0],
        "server": ["vm", 9871],
    }


def test_the_message_is_one_that_a_layer_takes():
    message = to_message(make_handshake(HTTPS="on", REMOTE_USER="me"), is_websocket=True)
    layer = open_layer("memory://")
    layer.send("websocket.connect", message)
    assert layer.receive_many(["websocket.connect"]) == [("websocket.connect", message)]


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({"wsgi.url_scheme": "https"}, "scheme", "https"),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, "http_version", "1.0"),
        ({"REMOTE_ADDR": None}, "client", None),
        ({"REMOTE_PORT": "1234"}, "client", ["192.0.2.1", 1234]),
        ({"REQUEST_URI": None}, "raw_path", b"/a b/\xc3\xa4"),
        ({"PATH_INFO": "/\u00ff", "REQUEST_URI": "/%FF"}, "path", "/\ufffd"),
        ({"REMOTE_USER": "me", "SSL_CLIENT_VERIFY": "SUCCESS"}, "variables",
         {"REMOTE_USER": "me", "SSL_CLIENT_VERIFY": "SUCCESS"}),
        ({"UWSGI_SCHEME": "https", "DOCUMENT_ROOT": "/x"}, "variables", None),
    ],
)  # fmt: skip
def test_what_the_front_end_says_is_in_it(changes, key, value):
    assert to_message(make_environ(**changes), is_websocket=False).get(key) == value


@pytest.mark.parametrize(("scheme", "expected"), [("http", "ws"), ("https", "wss")])
def test_a_websocket_has_schemes_of_its_own(scheme, expected):
    environ = make_handshake(**{"wsgi.url_scheme": scheme})
    assert to_message(environ, is_websocket=True)["scheme"] == expected


def test_content_fields_are_fields_unless_they_are_empty():
    environ = make_environ(CONTENT_TYPE="text/plain", CONTENT_LENGTH="")
    assert [b"content-type", b"text/plain"] in to_message(environ, is_websocket=False)["headers"]
    assert b"content-length" not in dict(to_message(environ, is_websocket=False)["headers"])


@pytest.mark.parametrize(("has_root", "root"), [(True, "/app"), (False, "")])
def test_a_mount_point_is_the_sites_or_merely_ours(has_root, root):
    environ = make_environ(SCRIPT_NAME="/app", PATH_INFO="/x", REQUEST_URI="/app/x")
    message = to_message(environ, is_websocket=False, has_root=has_root)
    assert (message["path"], message["root_path"]) == ("/app/x", root)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"SCRIPT_NAME": "/app", "PATH_INFO": "/x", "REQUEST_URI": "/app/x?x=1"},
        {"HTTP_COOKIE": "a=1; b=\u00e4", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "3"},
        {"PATH_INFO": "/\u00ff", "REQUEST_URI": "/%FF?x=1", "REMOTE_USER": "me"},
        {"wsgi.url_scheme": "https"},
    ],
)
def test_the_site_sees_the_same_in_another_process(changes):
    before = make_environ(**changes)
    after = environ_of(
        to_message(before, is_websocket=False),
        io.BytesIO(),
        multithread=True,
        multiprocess=True,
        server_software="uWSGI",
    )
    for key in before:
        if not key.startswith(("uwsgi.", "REQUEST_URI")):
            assert after[key] == before[key], key
    assert after["RAW_URI"] == before["REQUEST_URI"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, None),
        ({"CONTENT_LENGTH": "3"}, None),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, None),
        ({"HTTP_TRANSFER_ENCODING": " Chunked", "CONTENT_LENGTH": ""}, None),
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "3"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, 501),
        # nginx has read the chunks, and says how many bytes they were.
        ({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "3", "REQUEST_SCHEME": "http"},
         None),
        ({"HTTP_TRANSFER_ENCODING": "gzip, chunked", "REQUEST_SCHEME": "http"}, 501),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(changes, status):
    environ = make_environ(**changes)
    if status is None:
        check_framing(environ)
    else:
        with pytest.raises(BadRequest) as caught:
            check_framing(environ)
        assert caught.value.status == status


def test_a_message_says_one_length_of_its_body():
    environ = make_environ(
        HTTP_TRANSFER_ENCODING="chunked", CONTENT_LENGTH="3", REQUEST_SCHEME="http"
    )
    names = [name for name, _ in to_message(environ, is_websocket=False)["headers"]]
    assert b"content-length" in names
    assert b"transfer-encoding" not in names


def test_a_body_without_length_is_known():
    assert has_chunked_body(make_environ(HTTP_TRANSFER_ENCODING="chunked"))
    assert not has_chunked_body(make_environ(CONTENT_LENGTH="3"))
