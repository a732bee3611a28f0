"""Strategies for what a consumer may send: what is right, and what the layer lets through beside.

A layer carries plain values of any type (MESSAGES.md section 1), under any key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

wrong = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), 0.5, 1e308]),
    st.sampled_from(["", "x", "1", "²", "\x00\r\n"]),
    st.sampled_from([b"", b"x", b"1"]),
    st.sampled_from([[], [1], [[]], [b"a", b"b"], {}, {"a": 1}, [{}], ["ab"]]),
)
names = st.sampled_from(
    [b"X-A", b"x-a", b"Content-Length", b"content-length", b"Connection", b"Transfer-Encoding",
     b"Date", b"Server", b"Set-Cookie", b"Content-Type", b"Upgrade", b"Keep-Alive", b"TE",
     b"Sec-WebSocket-Accept", b"Trailer"]
)  # fmt: skip
values = st.sampled_from(
    [b"a", b"", b"0", b"3", b"03", b"3, 3", b"-1", b"99", b"9" * 20, b"close", b"keep-alive",
     b"chunked", b"\xe9", b"a\tb", b" a "]
)  # fmt: skip
bad_names = st.sampled_from([b"", b"a b", b"a:", b"\r\n", b"a\r\nb", b"\xff", b"a\0"])
bad_values = st.sampled_from([b"a\r\nX: b", b"\n", b"\0", b"\x7f", b"a\r", b"\r\n\r\n"])
plain_names = st.sampled_from([b"X-A", b"x-a", b"Set-Cookie", b"Content-Type", b"Date", b"Server"])
lengths = st.tuples(
    st.just(b"Content-Length"), st.sampled_from([b"0", b"3", b"03", b"5", b"300"])
).map(list)
options = st.tuples(
    st.sampled_from([b"Connection", b"Transfer-Encoding", b"Upgrade", b"TE"]), values
).map(list)
# What can be sent, whatever it means.
fields = st.builds(
    lambda plain, option, length: [*plain, *option, *length],
    st.lists(st.tuples(plain_names, values).map(list), max_size=2),
    st.lists(options, max_size=1),
    st.lists(lengths, max_size=1),
)
bad_fields = st.lists(
    st.tuples(names | bad_names | wrong, values | bad_values | wrong).map(list), max_size=3
)


def message(keys: Mapping[str, SearchStrategy[Any]]) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy of dicts with some of these keys, now and then of a wrong type."""
    # One in ten, so that a message is right more often than not.
    each = {
        key: st.integers(0, 9).flatmap(lambda n, right=right: right if n else wrong)
        for key, right in keys.items()
    }
    return st.fixed_dictionaries({}, optional=each)
