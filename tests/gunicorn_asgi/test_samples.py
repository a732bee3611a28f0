"""What the tests of other servers ask of a request, from a socket to a WSGI app, however it is cut.

The situations are those of llhttp's ``test/request/*.md`` and of waitress' ``test_parser.py``,
``test_receiver.py`` and ``test_functional.py``, as far as their rules are those of RFC 9112; the
bytes are our own. Where they are laxer, or settle otherwise what it leaves open, they are left out:
HTTP/0.9, RTSP and ICE, a bare LF, a body that ends with the connection.
"""

from __future__ import annotations

import re

import pytest

from tests.corpus.gunicorns import pieces
from tests.gunicorn_asgi.site_rig import SiteRig
from tests.gunicorn_asgi.test_corpus import Recorder, by_bytes, in_pieces, whole

TE = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
END = "0\r\n\r\n"


def head(*fields: str, line: str = "GET / HTTP/1.1") -> str:
    return "\r\n".join([line, *fields, "", ""])


# situation → bytes, and the requests that they are: method, path, body
SERVED = {
    "no field at all": (head(), [("GET", "/", "")]),
    "a field without a value": (head("X:"), [("GET", "/", "")]),
    "a value with spaces around it": (head("Content-Length: \t 0 \t"), [("GET", "/", "")]),
    "names in any case": (
        head("cOnTeNt-LeNgTh: 2", line="POST /p HTTP/1.1") + "ab", [("POST", "/p", "ab")],
    ),
    "a value that is not ASCII": (head("X: \xe9\xff"), [("GET", "/", "")]),
    "every character of a token": (head("!#$%&'*+-.^`|~09azAZ: 1"), [("GET", "/", "")]),
    "a method with a hyphen": (head(line="M-SEARCH /s HTTP/1.1"), [("M-SEARCH", "/s", "")]),
    "a method that is not known": (head(line="MKCOLA /s HTTP/1.1"), [("MKCOLA", "/s", "")]),
    "a colon and quotes in a target": (head(line='GET /a:"b" HTTP/1.1'), [("GET", '/a:"b"', "")]),
    "a query with question marks": (head(line="GET /a?b?c HTTP/1.1"), [("GET", "/a", "")]),
    "two slashes": (head(line="GET //a//b HTTP/1.1"), [("GET", "//a//b", "")]),
    "an empty line before it": ("\r\n" + head(), [("GET", "/", "")]),
    "the options of the server": (head(line="OPTIONS * HTTP/1.1"), [("OPTIONS", "*", "")]),
    "three at once": (
        head() + head("Content-Length: 1", line="PUT /2 HTTP/1.1") + "x" + head(),
        [("GET", "/", ""), ("PUT", "/2", "x"), ("GET", "/", "")],
    ),
    "HTTP/1.0 that is kept": (
        head("Connection: keep-alive", line="GET /1 HTTP/1.0") + head(line="GET /2 HTTP/1.0"),
        [("GET", "/1", ""), ("GET", "/2", "")],
    ),
    "HTTP/1.0 that is not": (
        head(line="GET /1 HTTP/1.0") + head(line="GET /2 HTTP/1.0"), [("GET", "/1", "")],
    ),
    "several options of the connection": (
        head("Connection: foo, close ,bar") + head(), [("GET", "/", "")],
    ),
    "an upgrade that is not known": (
        head("Upgrade: TLS/1.0", "Connection: Upgrade", "Content-Length: 2") + "ab" + head(),
        [("GET", "/", "ab"), ("GET", "/", "")],
    ),
    "an upgrade that the connection does not name": (
        head("Upgrade: websocket") + head(), [("GET", "/", ""), ("GET", "/", "")],
    ),
    "chunks": (TE + "4\r\nWiki\r\n5\r\npedia\r\n" + END, [("POST", "/c", "Wikipedia")]),
    "line ends in a chunk": (TE + "4\r\n\r\n\r\n\r\n" + END, [("POST", "/c", "\r\n\r\n")]),
    "sizes in any case, with zeros": (
        TE + "00a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n",
        [("POST", "/c", "0123456789" * 2)],
    ),
    "extensions": (TE + '1;a;b=c;d="e;\\"f"\r\nx\r\n0;g\r\n\r\n', [("POST", "/c", "x")]),
    "trailers": (TE + "1\r\nx\r\n0\r\nVary: *\r\nX: 1\r\n\r\n" + head(),
                 [("POST", "/c", "x"), ("GET", "/", "")]),
    "no chunk but the last": (TE + END, [("POST", "/c", "")]),
    "chunked in any case": (TE.replace("chunked", "CHUNKed") + END, [("POST", "/c", "")]),
}  # fmt: skip

REFUSED = {
    "another protocol": head(line="GET / ICE/1.0"),
    "a protocol that begins otherwise": head(line="GET / XHTTP/1.1"),
    "a protocol in lower case": head(line="GET / http/1.1"),
    "no version": head(line="GET /"),
    "a version of one digit": head(line="GET / HTTP/1"),
    "a version of three digits": head(line="GET / HTTP/1.11"),
    "a version with a comma": head(line="GET / HTTP/1,1"),
    "a later major version": head(line="GET / HTTP/5.6"),
    "something behind the version": head(line="GET / HTTP/1.1 x"),
    "two spaces": head(line="GET  / HTTP/1.1"),
    "a tab for a space": head(line="GET\t/ HTTP/1.1"),
    "a space in the target": head(line="GET /a b HTTP/1.1"),
    "a control character in the target": head(line="GET /\x01 HTTP/1.1"),
    "a delete character in the target": head(line="GET /\x7f HTTP/1.1"),
    "a method with another character": head(line="GE@T / HTTP/1.1"),
    "a space before it": head(line=" GET / HTTP/1.1"),
    "a byte order mark before it": "\xef\xbb\xbf" + head(),
    "fields that CR parts": head("A: 1\rB: 2"),
    "fields that LF parts": head("A: 1\nTransfer-Encoding: chunked"),
    "an empty field that CR ends": head("A:\rTransfer-Encoding: chunked"),
    "an empty field that LF ends": head("A:\nTransfer-Encoding: chunked"),
    "a head that CR ends": "GET / HTTP/1.1\r\nConnection: close\r\n\rZGET /2 HTTP/1.1\r\n\r\n",
    "a head that two CR end": "GET / HTTP/1.1\r\nA: 1\r\n\r\r\n\r\n",
    "LF all over": head("A: 1").replace("\r\n", "\n"),
    "CR all over": head("A: 1").replace("\r\n", "\r") + "\r\n\r\n",
    "a name with another character": head("Fo@: 1"),
    "a name with a control character": head("Fo\x01o: 1"),
    "a name with a space": head("Fo o: 1"),
    "a name that is not ASCII": head("F\xf6: 1"),
    "no name": head(": 1"),
    "no colon": head("A: 1", "nothing"),
    "a space before the colon": head("A : 1"),
    "a tab before the colon": head("Content-Length\t: 1"),
    "a vertical tab for a space": head("A:\x0b1"),
    "a NUL in a value": head("A: b\0c"),
    "a field that is folded": head("A: 1", " 2"),
    "a name that is folded": head("A", " : 1"),
    "a space before the first field": head(" Host: a"),
    "two hosts": head("HOST: a", "Host: b"),
    "two types": head("Content-Type: a", "content-type: b"),
    "two lengths": head("Content-Length: 1", "Content-Length: 2") + "ab",
    "one length twice": head("Content-Length: 1", "Content-Length: 1") + "a",
    "a length of letters": head("Content-Length: abc"),
    "a length with a plus": head("Content-Length: +1") + "a",
    "a length with a minus": head("Content-Length: -1"),
    "a length in hexadecimal": head("Content-Length: 0x1") + "a",
    "a length with a space": head("Content-Length: 4 2"),
    "a length with an underline": head("Content-Length: 4_2"),
    "a length of other digits": head("Content-Length: \xb2"),
    "no length": head("Content-Length:"),
    "a length that overflows": head("Content-Length: 18446744073709551617"),
    "a length and chunks": head("Content-Length: 1", "Transfer-Encoding: chunked") + END,
    "chunks and a length": head("Transfer-Encoding: chunked", "Content-Length: 1") + END,
    "a length and no coding": head("Transfer-Encoding:", "Content-Length: 1") + "a",
    "a coding that is not known": head("Transfer-Encoding: pigeons"),
    "a coding that only looks like chunked": head("Transfer-Encoding: xchunked") + END,
    "a coding behind another space": head("Transfer-Encoding: \x85chunked") + END,
    "a coding with a Kelvin sign": head("Transfer-Encoding: chun\xe2\x84\xaaed") + END,
    "chunked, not last": head("Transfer-Encoding: chunked, deflate") + END,
    "chunked twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + END,
    "chunked with a parameter": head("Transfer-Encoding: chunked;q=1") + END,
    "chunked in quotes": head('Transfer-Encoding: "chunked"') + END,
    "an expectation that is not known": head("Expect: cookies"),
    "a size of letters": TE + "garbage\r\n",
    "a size in hexadecimal notation": TE + "0x4\r\ntest\r\n" + END,
    "a size with a plus": TE + "+4\r\ntest\r\n" + END,
    "a size with a space before it": TE + " 4\r\ntest\r\n" + END,
    "a size with a space behind it": TE + "4 \r\ntest\r\n" + END,
    "no size": TE + "\r\ntest\r\n" + END,
    "a size that overflows": TE + "f" * 17 + "\r\ntest\r\n",
    "a size that LF ends": TE + "4\ntest\r\n" + END,
    "a chunk that LF ends": TE + "4\r\ntest\n" + END,
    "a chunk that is longer": TE + "4\r\ntestbad\r\n" + END,
    "an extension without a semicolon": TE + "4 ext\r\ntest\r\n" + END,
    "an extension without a name": TE + "4;\r\ntest\r\n" + END,
    "an extension without a value": TE + "4;a=\r\ntest\r\n" + END,
    "an extension with two words": TE + "4;a=b c\r\ntest\r\n" + END,
    "an extension with an open quote": TE + '4;a="b; c\r\ntest\r\n' + END,
    "an extension with a CR": TE + "4;a\rb\r\ntest\r\n" + END,
    "an extension with a LF": TE + "4;\n\r\ntest\r\n" + END,
    "a trailer that is none": TE + "0\r\nabc\r\n\r\n",
    "a trailer with a space before its colon": TE + "0\r\nA : 1\r\n\r\n",
    "a trailer that is folded": TE + "0\r\nA: 1\r\n 2\r\n\r\n",
    "a trailer that frames": TE + "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an end without an empty line": TE + "1\r\nx\r\n0\r\nX",
}  # fmt: skip


@pytest.fixture(scope="module")
def rig():
    with SiteRig(Recorder()) as rig:
        yield rig


def serve(rig, data, cuts):
    """Return what the site was asked, and the statuses of the answers."""
    rig.app = site = Recorder()
    answer = rig.talk(pieces(data, cuts))
    asked = [
        (environ["REQUEST_METHOD"], environ["PATH_INFO"], body.decode())
        for environ, body in site.taken
    ]
    return asked, [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@pytest.mark.parametrize("cut", [whole, by_bytes, in_pieces])
@pytest.mark.parametrize("name", SERVED)
def test_what_is_right_is_served(rig, name, cut):
    text, requests = SERVED[name]
    data = text.encode("latin-1")
    for cuts in cut(data):
        assert serve(rig, data, cuts) == (requests, [200] * len(requests))


@pytest.mark.parametrize("cut", [whole, by_bytes, in_pieces])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_with_all_that_follows(rig, name, cut):
    data = (REFUSED[name] + head(line="GET /smuggled HTTP/1.1")).encode("latin-1")
    for cuts in cut(data):
        asked, statuses = serve(rig, data, cuts)
        assert asked == []
        assert [status for status in statuses if status < 400] == []
