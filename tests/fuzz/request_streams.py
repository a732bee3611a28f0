"""Bytes of an HTTP connection: read the same however they are cut, and as other parsers read them.

What is accepted must be accepted by gunicorn's strict parser, by llhttp and by h11 too, with the
same method, target, fields and body, or for a reason of the tables below. Whatever is refused is
refused with all that follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.damage import cut, damaged
from tests.fuzz.parsers import (
    IS_STRICT_GUNICORN,
    Outcome,
    Read,
    read_gunicorn,
    read_h11,
    read_llhttp,
    read_ours,
)
from tests.fuzz.target import Target
from tests.gunicorn_asgi import test_reader, test_samples

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"0", b"1", b"5", b"\0", b"\x7f", b"\x80",
    b'"', b"\\", b"=", b"#", b"?", b"/", b"%", b"+", b"-", b"_", b"a", b"x" * 9, b"\r\n\r\n",
    b"HTTP/1.1", b"HTTP/1.0", b"http://a/", b"chunked", b"gzip", b"0\r\n\r\n", b"1\r\na\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n",
    b"Host: b\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"X: \x0b\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"CONNECT a:1 ",
    b"Trailer: X\r\n", b"X_Y: 1\r\n", b"POST / HTTP/1.1\r\n",
]  # fmt: skip

methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"M-SEARCH", b"ab"])
targets = st.sampled_from([b"/", b"/a?b=c#d", b"*", b"a:80", b"http://a/b", b"//x", b"/%00%ff"])
names = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"Upgrade", b"X",
     b"X_Y", b"Content-Type", b"TE", b"Trailer", b"Host"]
)  # fmt: skip
values = st.sampled_from(
    [b"a", b"", b"0", b"3", b"03", b"chunked", b"Chunked, gzip", b"gzip, chunked", b"close",
     b"keep-alive", b"keep-alive, close", b"Upgrade", b"websocket", b"h2c", b"100-continue",
     b"identity", b"a, b", b"\xe9", b"[::1]:80", b"deflate,chunked"]
)  # fmt: skip
chunks = st.lists(
    st.sampled_from(
        [b"1\r\na\r\n", b"3;x=y\r\nabc\r\n", b'2;q="\\""\r\n\r\n\r\n', b"0A\r\n0123456789\r\n",
         b"0\r\n\r\n", b"0\r\nX: 1\r\n\r\n", b"00;e\r\n\r\n"]
    ),
    max_size=4,
).map(b"".join)  # fmt: skip


def join_head(method, target, version, has_host, fields) -> bytes:
    lines = [b"%b %b HTTP/%b" % (method, target, version)]
    lines += [b"Host: a"] if has_host else []
    lines += [b"%b: %b" % pair for pair in fields]
    return b"\r\n".join([*lines, b"", b""])


heads = st.builds(
    join_head, methods, targets, st.sampled_from([b"1.1", b"1.1", b"1.0", b"1.7", b"2.0"]),
    st.sampled_from([True, True, False]),
    st.lists(st.tuples(names, values), max_size=5),
)  # fmt: skip
requests = st.builds(lambda head, body: head + body, heads, st.one_of(st.just(b""), chunks))
SEEDS = [
    *test_reader.STREAMS.values(),
    *(data for _, data in test_reader.REFUSED),
    *(text.encode("latin-1") for text, _ in test_samples.SERVED.values()),
    *(text.encode("latin-1") for text in test_samples.REFUSED.values()),
    *map(corpus.load, corpus.paths("requests")),
]
good = st.one_of(
    st.sampled_from(SEEDS),
    st.lists(st.one_of(requests, st.sampled_from(SEEDS)), min_size=1, max_size=3).map(b"".join),
)


Test = Callable[[Read, bytes], bool]


def _has(name: bytes, pattern: bytes = b"") -> Test:
    """Return a test for a field whose value has the pattern."""
    search = re.compile(pattern, re.I).search
    return lambda read, _: any(each == name and search(value) for each, value in read.fields)


# What others refuse though the RFCs allow it, or read in another way: a reason, and its test.
LLHTTP_METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "M-SEARCH")
GUNICORN: dict[str, Test] = {}
LLHTTP: dict[str, Test] = {
    "what follows an upgrade, or CONNECT, is no request to it": (
        lambda read, _: read.method == "CONNECT" or _has(b"upgrade")(read, b"")
    ),
    "RFC 9110 section 2.5 has us read a later minor version as 1.1; it knows two": (
        lambda _, data: re.search(rb"HTTP/1\.[2-9]", data) is not None
    ),
    "it knows a list of methods, of which these are used here": lambda read, _: (
        read.method not in LLHTTP_METHODS
    ),
}
H11: dict[str, Test] = {
    "it wants a Host, as RFC 9112 section 3.2 does; gunicorn's corpus has requests without": (
        lambda read, _: not _has(b"host")(read, b"") or not read.target.startswith(b"/")
    ),
}
# Why we end a connection, or go on with one, where others do not.
ENDS: dict[str, Test] = {
    "gunicorn takes the options of a Connection field for one": _has(b"connection", rb","),
    "h11 keeps no connection of HTTP/1.0": lambda read, _: read.version == "1.0",
}
# What we refuse though gunicorn, llhttp and h11 all read it, and the same: how our reason begins.
STRICTER: dict[str, str] = {
    "more than one expect field": "there is one expectation, and to say it twice is a sign of two",
    "more than one content-type field": "RFC 9110 section 5.3: it is no list",
    "request target": "RFC 9110 section 4.2.1: a URL has a host",
    "the target of CONNECT is host and port": "RFC 9112 section 3.2.3",
}


def compare(ours: list[Read], theirs: list[Read], known: dict[str, Test], who: str, data: bytes):
    """Check that they have what we have, up to what is known to be different."""
    for index, read in enumerate(ours):
        if any(test(read, data) for test in known.values()):
            return  # what they make of the rest is another matter
        assert theirs[index : index + 1] == [read], f"{who} reads {theirs} instead of {ours}"
        other = theirs[index].keep_alive
        if other is not None and other != read.keep_alive:
            assert any(test(read, data) for test in ENDS.values()), f"{who} says {other}: {read}"
            return


def check_refusal(outcome: Outcome, others: list[list[Read]]) -> None:
    """Check that nothing is refused, or left waiting, that all others read, and as one."""
    place = len(outcome.requests)
    found = [other[place] for other in others if len(other) > place]
    if len(found) < len(others) or any(other != found[0] for other in found):
        return
    if outcome.requests and not outcome.requests[-1].keep_alive:
        return
    why = str(outcome.error)
    assert any(why.startswith(reason) for reason in STRICTER), f"{why}: {found[0]}"


def status(outcome: Outcome) -> int | None:
    return outcome.error and outcome.error.status


def check(data: bytes) -> None:
    """See the module's docstring."""
    outcome = read_ours([data])
    ours = outcome.requests
    for pieces in (cut(data, range(len(data))), cut(data, range(0, len(data), 7))):
        other = read_ours(pieces)
        assert other.requests == ours
        assert status(other) == status(outcome), f"{outcome.error} {other.error}"
    if outcome.error is not None:
        assert read_ours([data + SMUGGLED]).requests == ours
        assert read_ours([data, SMUGGLED]).requests == ours
    for request in ours[:-1]:
        assert request.keep_alive
    gunicorn, llhttp, h11 = read_gunicorn(data), read_llhttp(data), read_h11(data)
    if IS_STRICT_GUNICORN:
        compare(ours, gunicorn, GUNICORN, "gunicorn", data)
    compare(ours, llhttp, LLHTTP, "llhttp", data)
    compare(ours, h11, H11, "h11", data)
    if not outcome.rest:
        check_refusal(outcome, [gunicorn, llhttp, h11])


TARGET = Target("requests", damaged(good, PIECES), check, examples=600, known=SEEDS)
