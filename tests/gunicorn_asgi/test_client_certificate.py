"""Distinguished names as RFC 2253 writes them, whatever a certificate has in them."""

from __future__ import annotations

import pytest

from gunicorn_asgi.client_certificate import encode_name

NAMES = {
    "the last part first": (
        [[("countryName", "DE")], [("organizationName", "A")], [("commonName", "b")]],
        "CN=b,O=A,C=DE",
    ),
    "a part of two": ([[("commonName", "b"), ("userId", "7")]], "CN=b+UID=7"),
    "an attribute without a short name": ([[("emailAddress", "a@b.c")]], "emailAddress=a@b.c"),
    "a value that looks like two parts": ([[("commonName", "a,O=b+C=c")]], r"CN=a\,O=b\+C=c"),
    "quotes and brackets": ([[("commonName", '"<;>\\')]], r"CN=\"\<\;\>\\"),
    "spaces around": ([[("commonName", "  a b  ")]], r"CN=\  a b \ "),
    "a space only": ([[("commonName", " ")]], r"CN=\ "),
    "a number sign first": ([[("commonName", "#a#")]], r"CN=\#a#"),
    "letters beyond ASCII": ([[("commonName", "Müller")]], r"CN=M\C3\BCller"),
    "lines and zeros": ([[("commonName", "a\r\n\0b")]], r"CN=a\0D\0A\00b"),
    "nothing": ([], ""),
}


@pytest.mark.parametrize(("name", "text"), NAMES.values(), ids=NAMES)
def test_a_name_is_written_so_that_nothing_in_it_can_pass_for_another(name, text):
    assert encode_name(name) == text
