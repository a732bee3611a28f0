"""Damage: strategies that change, cut and join what would have been right."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

# (place, bytes left out, bytes put in)
Edit = tuple[int, int, bytes]
MAX_PLACE = 5000


def edit(data: bytes, edits: Sequence[Edit]) -> bytes:
    """Return `data`, changed."""
    for place, left_out, put_in in edits:
        place %= len(data) + 1
        data = data[:place] + put_in + data[place + left_out :]
    return data


def damaged(good: SearchStrategy[bytes], pieces: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Return a strategy of damaged bytes; `pieces` are those that mean something."""
    put_in = st.one_of(st.just(b""), st.sampled_from(pieces), st.binary(max_size=3))
    edits = st.tuples(st.integers(0, MAX_PLACE), st.integers(0, 4), put_in)
    return st.builds(edit, good, st.lists(edits, max_size=4))


def places() -> SearchStrategy[list[int]]:
    """Return a strategy of places to cut at."""
    return st.lists(st.integers(0, MAX_PLACE), max_size=5)


def cut(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Yield `data` in pieces, none of them empty."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in cuts)})
    for start, end in itertools.pairwise(edges):
        yield data[start:end]
