"""Configurations that cannot work are refused, with what to do instead."""

from __future__ import annotations

import pytest

from uwsgi_asgi.checks import find_refusals

GOOD = {"master": True, "single-interpreter": True, "http-socket": b":8000"}


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"https-socket": b":443,a,b"}, "use https"),
        ({"suwsgi-socket": b":443,a,b"}, "nginx"),
        ({"http11-socket": b":80", "gevent": b"100"}, "use http-socket"),
        ({"http": b":80"}, "http-websockets = true"),
        ({"https": b":443,a,b"}, "http-websockets = true"),
        ({"master": None}, "master = true"),
        ({"single-interpreter": None}, "single-interpreter = true"),
    ],
)
def test_what_cannot_work_is_refused(changes, advice):
    opt = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    [sentence] = find_refusals(opt)
    assert advice in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"http11-socket": b":80"},
        {"http": b":80", "http-websockets": True},
        {"https": b":443,a,b", "http-websockets": True},
        {"gevent": b"100"},
    ],
)
def test_what_works_is_not(changes):
    assert find_refusals({**GOOD, **changes}) == []
