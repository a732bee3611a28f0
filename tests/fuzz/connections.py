"""Bytes of an HTTP connection, from a socket to a site: what is answered is the same in any pieces.

The site is asked what the reader reads, each of its answers is one response, and a refusal is the
last thing that is said.
"""

from __future__ import annotations

from hypothesis import strategies as st

from gunicorn_asgi.policy import RequestPolicy
from tests.fuzz.answers import read_answers
from tests.fuzz.damage import cut, damaged, places
from tests.fuzz.parsers import Outcome, read_ours
from tests.fuzz.request_streams import PIECES, good
from tests.fuzz.target import Target
from tests.gunicorn_asgi.site_rig import SiteRig
from tests.gunicorn_asgi.test_corpus import Recorder

# (where to cut, the bytes)
inputs = st.tuples(places(), damaged(good, PIECES))


def talk(data: bytes, pieces) -> tuple[list[tuple[object, bytes]], list[int]]:
    """Return what a site was asked, and the statuses of the answers."""
    site = Recorder()
    with SiteRig(site) as rig:
        answer = rig.talk(pieces)
    asked = [(environ["REQUEST_METHOD"], body) for environ, body in site.taken]
    methods = [request.method for request in read(data).requests]
    return asked, read_answers(methods, answer)[0]


def read(data: bytes) -> Outcome:
    return read_ours([data], RequestPolicy())


def check(value: tuple[list[int], bytes]) -> None:
    """See the module's docstring."""
    cuts, data = value
    outcome = read(data)
    asked, statuses = talk(data, [data])
    served = [(request.method, request.body) for request in outcome.requests]
    if outcome.rest or 101 in statuses or any(n == b"upgrade" for r in outcome.requests
                                              for n, _ in r.fields):  # fmt: skip
        assert [each for each in asked if each in served] == asked
    else:
        assert asked == served[: len(asked)]
        assert len(asked) >= len(served) - 1
    assert len(statuses) <= len(served) + 1
    is_last = bool(outcome.requests) and not outcome.requests[-1].keep_alive
    if outcome.error is not None and not is_last:
        assert statuses
        assert statuses[-1] == outcome.error.status
    assert talk(data, cut(data, cuts)) == (asked, statuses)


TARGET = Target("connections", inputs, check, examples=60)
