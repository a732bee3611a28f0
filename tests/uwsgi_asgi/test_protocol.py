"""The uwsgi protocol: a request as nginx sends it, whole, in single bytes, and broken."""

from __future__ import annotations

import pytest

from tests.uwsgi_asgi.packets import make_packet
from uwsgi_asgi.protocol import UwsgiError, UwsgiReader

VARIABLES = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/ä",
    "CONTENT_LENGTH": "",
    "HTTP_COOKIE": "x" * 9000,
}


def test_the_variables_of_a_request_are_read():
    assert UwsgiReader().feed(make_packet(VARIABLES)) == VARIABLES
    assert UwsgiReader().feed(make_packet({})) == {}


def test_they_may_come_byte_by_byte():
    reader = UwsgiReader()
    data = make_packet({"A": "b", "C": "d"})
    *before, last = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert set(before) == {None}
    assert last == {"A": "b", "C": "d"}


@pytest.mark.parametrize("rest", [b"", b"the body"])
def test_what_is_behind_them_is_left(rest):
    reader = UwsgiReader()
    assert reader.feed(make_packet(VARIABLES) + rest) == VARIABLES
    assert reader.rest == rest


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "modifier1 is 71"),
        (make_packet({}, modifier=5), "modifier1 is 5"),
        (b"\0\1\0\0\0", "a length is cut off"),
        (b"\0\4\0\0\3\0ab", "a text is cut off"),
        (b"\0\3\0\0\1\0a", "a name has no value"),
    ],
)
def test_what_is_no_request_is_an_error(data, reason):
    with pytest.raises(UwsgiError, match=reason):
        UwsgiReader().feed(data)
