"""gunicorn's corpus of requests, from a socket to a WSGI app: whole, by bytes, in random pieces."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest
from gunicorn.config import Config

from gunicorn_asgi.policy import read_policy
from tests.corpus.gunicorns import (
    Sample,
    expected_environ,
    load_corpus,
    pieces,
    relevant_environ,
    usable,
)
from tests.gunicorn_asgi.site_rig import SiteRig

SPLITS = 20


def whole(data: bytes) -> Iterator[list[int]]:
    yield []


def by_bytes(data: bytes) -> Iterator[list[int]]:
    yield list(range(1, len(data)))


def in_pieces(data: bytes) -> Iterator[list[int]]:
    """Cut at random, the same in each run."""
    chance = random.Random(len(data))
    for _ in range(SPLITS):
        count = chance.randint(1, min(8, len(data) - 1))
        yield sorted(chance.sample(range(1, len(data)), count))


@pytest.fixture(scope="module")
def corpus() -> list[Sample]:
    return usable(load_corpus(), Config().settings)


def status_of(method: str) -> int:
    """Return the site's status; 2xx would make a tunnel of a CONNECT."""
    return 405 if method == "CONNECT" else 200


class Recorder:
    """A site that notes every request whose body it could read to its end."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, object], bytes]] = []

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read()
        self.taken.append((environ, body))
        start_response(f"{status_of(environ['REQUEST_METHOD'])} Said", [("Content-Length", "0")])
        return []


def policy_of(sample: Sample):
    cfg = Config()
    for name, value in sample.settings.items():
        cfg.set(name, value)
    return read_policy(cfg)


def check(rig: SiteRig, site: Recorder, sample: Sample, cuts: list[int]) -> str:
    """Return what is wrong with how a sample is served, if anything is."""
    site.taken.clear()
    answer = rig.talk(pieces(sample.data, cuts))
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
    if not sample.is_valid:
        is_refused = not site.taken and all(status >= 400 for status in statuses)
        return "" if is_refused else f"answered {statuses}, served {site.taken}"
    if statuses[: len(sample.requests)] != [status_of(r["method"]) for r in sample.requests]:
        return f"answered {statuses}"
    if len(site.taken) != len(sample.requests):
        return f"{len(site.taken)} requests instead of {len(sample.requests)}"
    for (environ, body), request in zip(site.taken, sample.requests, strict=True):
        expected = expected_environ(request)
        found = relevant_environ(environ, expected)
        if found != expected or body != (request["body"] or b""):
            return f"{found} {body[:99]!r} instead of {expected} {request['body'][:99]!r}"
    return ""


@pytest.mark.parametrize("kind", ["valid", "invalid"])
@pytest.mark.parametrize("cut", [whole, by_bytes, in_pieces])
def test_what_is_valid_is_served_as_it_says_and_what_is_not_is_refused(
    corpus: list[Sample], kind: str, cut: Callable[[bytes], Iterator[list[int]]]
) -> None:
    faults = []
    site = Recorder()
    with SiteRig(site) as rig:
        for sample in corpus:
            if sample.is_valid == (kind == "valid"):
                rig.http.policy = policy_of(sample)
                found = {check(rig, site, sample, cuts) for cuts in cut(sample.data)}
                faults += [f"{sample.name}: {fault}" for fault in found if fault]
    assert not faults, "\n".join(faults)
