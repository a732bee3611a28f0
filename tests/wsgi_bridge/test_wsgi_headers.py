"""Status and headers of an app: what is let through, what is refused."""

from __future__ import annotations

import pytest

from wsgi_bridge import wsgi_headers
from wsgi_bridge.wsgi_headers import encode_headers, parse_status


class Subclass(str):
    """As django's SafeString."""


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", 200),
        ("404 Not Found", 404),
        ("299 ", 299),
        ("200", 200),
        ("599 caf\xe9", 599),
        ("999 Any", 999),
        (Subclass("200 OK"), 200),
    ],
)
def test_a_status_is_parsed(status, code):
    assert parse_status(status) == parse_status(status) == code


@pytest.mark.parametrize(
    "status",
    ["", "OK", "20 OK", "2000 OK", "199 X", "100 Continue", "101 X", "200 a\nb", "200 a\0",
     "200 \u20ac", " 200 OK", "200\tOK", "٢٠٠ OK"],
)  # fmt: skip
def test_a_bad_status_is_a_value_error(status):
    with pytest.raises(ValueError, match="a status is three digits"):
        parse_status(status)


@pytest.mark.parametrize("status", [200, b"200 OK", None, ["200 OK"]])
def test_a_status_that_is_no_str_is_a_type_error(status):
    with pytest.raises(TypeError, match="a status is a str"):
        parse_status(status)


GOOD = {
    "order and duplicates are kept": (
        [("B", "1"), ("A", "2"), ("B", "3")],
        [[b"B", b"1"], [b"A", b"2"], [b"B", b"3"]],
    ),
    "latin-1": ([("X", "\xe9")], [[b"X", b"\xe9"]]),
    "a tab": ([("X", "a\tb")], [[b"X", b"a\tb"]]),
    "an empty value": ([("X", "")], [[b"X", b""]]),
    "a no-break space": ([("X", "a\xa0b")], [[b"X", b"a\xa0b"]]),
    "a subclass of str": ([(Subclass("X"), Subclass("v"))], [[b"X", b"v"]]),
    "every token character": ([("!#$%&'*+-.^_`|~09AZaz", "v")], [[b"!#$%&'*+-.^_`|~09AZaz", b"v"]]),
    "an iterator of pairs": (iter([("X", "v")]), [[b"X", b"v"]]),
    "pairs that are lists": ([["X", "v"]], [[b"X", b"v"]]),
    "hop-by-hop fields are left out": (
        [("Transfer-Encoding", "chunked"), ("connection", "keep-alive"), ("Upgrade", "h2c"),
         ("Keep-Alive", "5"), ("TE", "trailers"), ("Proxy-Connection", "x"), ("X", "v")],
        [[b"X", b"v"]],
    ),
    "Connection: close is for the server": ([("Connection", "Close")], [[b"Connection", b"Close"]]),
    "Proxy-Authenticate is the app's": ([("Proxy-Authenticate", "x")],
                                        [[b"Proxy-Authenticate", b"x"]]),
}  # fmt: skip


@pytest.mark.parametrize(("headers", "expected"), GOOD.values(), ids=GOOD.keys())
def test_headers_are_encoded(headers, expected):
    assert encode_headers(headers) == (expected, None)


BAD_VALUES = ["a\r\nb", "a\nb", "a\rb", "a\0b", "\x01", "\x7f", "\x0b", "\u20ac", "\u2028"]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_that_http_has_not_is_refused(value):
    with pytest.raises(ValueError, match="header field X-Name"):
        encode_headers([("X-Name", value)])


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\n", "é", "a\0", "(a)", "a\r\nb"])
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(ValueError, match="is a token"):
        encode_headers([(name, "v")])


@pytest.mark.parametrize(
    "headers", [[(b"X", "v")], [("X", b"v")], [("X", 5)], [(1, "v")], [("X", None)], None]
)
def test_what_is_no_str_is_a_type_error(headers):
    with pytest.raises(TypeError):
        encode_headers(headers)


def test_an_error_does_not_show_the_value():
    with pytest.raises(ValueError) as caught:
        encode_headers([("Set-Cookie", "secret\n")])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("values", "length"), [(["0"], 0), (["12"], 12), (["5", "5"], 5)])
def test_content_length_is_found(values, length):
    fields, found = encode_headers([("content-Length", value) for value in values])
    assert found == length
    assert len(fields) == len(values)


@pytest.mark.parametrize("values", [[""], ["-1"], ["+1"], ["1.0"], ["1 "], ["5", "6"], ["5,5"]])
def test_a_content_length_that_is_not_one_number_is_refused(values):
    with pytest.raises(ValueError, match="Content-Length is one number"):
        encode_headers([("Content-Length", value) for value in values])


def test_a_hop_by_hop_field_is_warned_of_once(caplog, monkeypatch):
    monkeypatch.setattr(wsgi_headers, "_warned", set())
    for name in ("Keep-Alive", "keep-alive", "Keep-Alive"):
        encode_headers([(name, "5"), ("Connection", "close")])
    (record,) = caplog.records
    assert record.getMessage() == (
        "hop-by-hop field Keep-Alive of the app is left out of its responses"
    )


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(wsgi_headers, "_names", {})
    monkeypatch.setattr(wsgi_headers, "_statuses", {})
    for number in range(wsgi_headers.CACHE_LIMIT + 10):
        encode_headers([(f"X-{number}", "v")])
        parse_status(f"200 {number}")
    assert len(wsgi_headers._names) == len(wsgi_headers._statuses) == wsgi_headers.CACHE_LIMIT
