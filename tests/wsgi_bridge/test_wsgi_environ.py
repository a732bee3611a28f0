"""The environ of a request: PEP 3333 and RFC 3875, a row per variable."""

from __future__ import annotations

import io
import sys

import pytest

from tests.wsgi_bridge.wsgi_fakes import FLAGS, make_request
from wsgi_bridge import wsgi_environ
from wsgi_bridge.wsgi_environ import make_environ


def environ_of(request=None, **options):
    return make_environ(request or make_request(), io.BytesIO(), **{**FLAGS, **options})


def test_the_environ_of_a_plain_get_is_complete():
    stream, errors = io.BytesIO(), io.StringIO()
    headers = [(b"host", b"example.com"), (b"accept", b"*/*")]
    request = make_request(path="/a", raw_path=b"/a", query_string=b"q=1", headers=headers)
    environ = make_environ(request, stream, errors=errors, **FLAGS)
    file_wrapper = environ.pop("wsgi.file_wrapper")
    assert b"".join(file_wrapper(io.BytesIO(b"ab"), 1)) == b"ab"
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "q=1",
        "RAW_URI": "/a?q=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "test/1",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "example.com",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": stream,
        "wsgi.errors": errors,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


PATHS = {
    # path, raw_path, root_path → SCRIPT_NAME, PATH_INFO
    "ascii": ("/a b", b"/a%20b", "", "", "/a b"),
    "utf-8 is latin-1 of its bytes": ("/é", None, "", "", "/\xc3\xa9"),
    "utf-8, from the raw path": ("/é", b"/%C3%A9", "", "", "/\xc3\xa9"),
    "bytes that are no utf-8": ("/\ufffd", b"/%ff", "", "", "/\xff"),
    "surrogates": ("/\udcff", None, "", "", "/\xff"),
    "raw bytes": ("/\ufffd", b"/\xff", "", "", "/\xff"),
    "an encoded slash is a slash": ("/a/b", b"/a%2Fb", "", "", "/a/b"),
    "an absolute-form target": ("/é", b"http://h/%C3%A9", "", "", "/\xc3\xa9"),
    "a root path that the path has": ("/app/x", b"/app/x", "/app", "/app", "/x"),
    "a root path that the path is": ("/app", b"/app", "/app", "/app", ""),
    "a root path that the path has not": ("/x", b"/x", "/app", "/app", "/x"),
    "a root path that is part of a name": ("/apple", b"/apple", "/app", "/app", "/apple"),
    "a root path that ends in a slash": ("/app/x", b"/app/x", "/app/", "/app", "/x"),
    "a root path of a slash": ("/x", b"/x", "/", "", "/x"),
    "a root path in utf-8": ("/é/ü", None, "/é", "/\xc3\xa9", "/\xc3\xbc"),
    "an asterisk": ("*", b"*", "", "", "*"),
}


@pytest.mark.parametrize(
    ("path", "raw_path", "root_path", "script_name", "path_info"), PATHS.values(), ids=PATHS.keys()
)
def test_paths(path, raw_path, root_path, script_name, path_info):
    request = make_request(path=path, root_path=root_path)
    if raw_path is not None:
        request["raw_path"] = raw_path
    environ = environ_of(request)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script_name, path_info)


TARGETS = {
    "as received": ("/é", b"/%c3%A9", b"", "/%c3%A9"),
    "with the query": ("/", b"/", b"a=%20&b", "/?a=%20&b"),
    "made of the path": ("/é b", None, b"x", "/%C3%A9%20b?x"),
    "latin-1": ("/\ufffd", b"/\xff", b"\xfe", "/\xff?\xfe"),
}


@pytest.mark.parametrize(
    ("path", "raw_path", "query", "expected"), TARGETS.values(), ids=TARGETS.keys()
)
def test_raw_uri(path, raw_path, query, expected):
    request = make_request(path=path, query_string=query)
    if raw_path is not None:
        request["raw_path"] = raw_path
    environ = environ_of(request)
    assert environ["RAW_URI"] == expected
    assert environ["QUERY_STRING"] == query.decode("latin-1")


FIELDS = {
    "a field": ([(b"x-name", b"v")], {"HTTP_X_NAME": "v"}),
    "a value is latin-1": ([(b"x", b"\xe9")], {"HTTP_X": "\xe9"}),
    "Content-Type": ([(b"content-type", b"text/plain")], {"CONTENT_TYPE": "text/plain"}),
    "Content-Length": ([(b"content-length", b"5")], {"CONTENT_LENGTH": "5"}),
    "an underscore is dropped": ([(b"x_name", b"v")], {}),
    "an underscore spoofs nothing": (
        [(b"x-forwarded-for", b"real"), (b"x_forwarded_for", b"spoof")],
        {"HTTP_X_FORWARDED_FOR": "real"},
    ),
    "an underscore spoofs no length": ([(b"content_length", b"5")], {}),
    "duplicates are joined with a comma": (
        [(b"accept", b"a"), (b"x", b"1"), (b"accept", b"b"), (b"accept", b"")],
        {"HTTP_ACCEPT": "a,b,", "HTTP_X": "1"},
    ),
    "cookies are joined with a semicolon": (
        [(b"cookie", b"a=1"), (b"cookie", b"b=2")],
        {"HTTP_COOKIE": "a=1; b=2"},
    ),
    "of two types the first counts": (
        [(b"content-type", b"a/a"), (b"content-type", b"b/b")],
        {"CONTENT_TYPE": "a/a"},
    ),
    "of two lengths the first counts": (
        [(b"content-length", b"5"), (b"content-length", b"5")],
        {"CONTENT_LENGTH": "5"},
    ),
    "an empty value": ([(b"x", b"")], {"HTTP_X": ""}),
    "Transfer-Encoding stays": (
        [(b"transfer-encoding", b"chunked")],
        {"HTTP_TRANSFER_ENCODING": "chunked"},
    ),
}


@pytest.mark.parametrize(("headers", "expected"), FIELDS.values(), ids=FIELDS.keys())
def test_fields(headers, expected):
    environ = environ_of(make_request(headers=headers))
    found = {key: value for key, value in environ.items() if key.startswith(("HTTP_", "CONTENT_"))}
    assert found == expected


def test_a_field_never_reaches_a_variable_of_the_server():
    headers = [(b"server-name", b"x"), (b"remote-addr", b"x"), (b"wsgi.input", b"x")]
    environ = environ_of(make_request(headers=headers))
    assert (environ["SERVER_NAME"], environ["REMOTE_ADDR"]) == ("192.0.2.1", "192.0.2.7")
    assert environ["HTTP_SERVER_NAME"] == "x"
    assert environ["wsgi.input"] != "x"


def test_the_names_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(wsgi_environ, "_keys", {})
    headers = [(b"x-%d" % number, b"v") for number in range(wsgi_environ.NAMES_LIMIT + 10)]
    environ = environ_of(make_request(headers=headers))
    assert len(wsgi_environ._keys) == wsgi_environ.NAMES_LIMIT
    assert environ[f"HTTP_X_{wsgi_environ.NAMES_LIMIT + 9}"] == "v"


ADDRESSES = {
    # server, Host, scheme → SERVER_NAME, SERVER_PORT
    "a socket's": (["192.0.2.1", 8000], b"example.com", "http", "192.0.2.1", "8000"),
    "IPv6": (["::1", 8000], b"", "http", "::1", "8000"),
    "the Host": (None, b"example.com", "http", "example.com", "80"),
    "the Host with TLS": (None, b"example.com", "https", "example.com", "443"),
    "the Host with a port": (None, b"example.com:81", "http", "example.com", "81"),
    "an IPv6 Host": (None, b"[::1]", "http", "[::1]", "80"),
    "an IPv6 Host with a port": (None, b"[::1]:81", "http", "[::1]", "81"),
    "no Host": (None, b"", "http", "localhost", "80"),
}


@pytest.mark.parametrize(
    ("server", "host", "scheme", "name", "port"), ADDRESSES.values(), ids=ADDRESSES.keys()
)
def test_the_server_s_address(server, host, scheme, name, port):
    request = make_request(scheme=scheme, headers=[(b"host", host)])
    request["server"] = server
    environ = environ_of(request)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)
    assert environ["wsgi.url_scheme"] == scheme


def test_a_client_without_an_address_has_an_empty_one():
    request = make_request()
    del request["client"]
    environ = environ_of(request)
    assert environ["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in environ


@pytest.mark.parametrize(
    ("version", "protocol"),
    [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2.0"), ("3", "HTTP/3")],
)
def test_the_protocol(version, protocol):
    assert environ_of(make_request(http_version=version))["SERVER_PROTOCOL"] == protocol


def test_the_method_is_the_request_s():
    assert environ_of(make_request("PROPFIND"))["REQUEST_METHOD"] == "PROPFIND"


@pytest.mark.parametrize(("scheme", "expected"), [("ws", "http"), ("wss", "https")])
def test_a_websocket_handshake_is_a_get(scheme, expected):
    connect = make_request(scheme=scheme)
    for key in ("method", "http_version"):
        del connect[key]
    environ = environ_of(connect)
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.url_scheme"] == expected


def test_only_the_required_keys_are_required():
    keys = ("reply_channel", "http_version", "method", "path", "query_string", "headers")
    full = make_request()
    environ = environ_of({key: full[key] for key in keys})
    assert (environ["wsgi.url_scheme"], environ["SERVER_NAME"]) == ("http", "localhost")


def test_errors_go_to_stderr_unless_told_otherwise(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    assert environ_of()["wsgi.errors"] is stream


def test_every_request_has_an_environ_of_its_own():
    environ_of()["key"] = 1
    assert "key" not in environ_of()


def test_what_the_server_vouches_for_is_added():
    request = make_request(headers=[(b"remote_user", b"eve")])
    assert "HTTP_REMOTE_USER" not in environ_of(request)
    request["variables"] = {"HTTP_REMOTE_USER": "alice", "PROXY_PROTOCOL": "TCP4"}
    environ = environ_of(request)
    assert (environ["HTTP_REMOTE_USER"], environ["PROXY_PROTOCOL"]) == ("alice", "TCP4")
