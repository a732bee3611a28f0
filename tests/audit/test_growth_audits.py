"""Bounded runs of the audit of growth; ten million messages are sent by hand."""

import pytest

from tests.audit.__main__ import read_options, run
from tests.audit.growth import compare
from tests.audit.report import table
from tests.wsgi_bridge.layers.redis.servers import need_redis

#: So short that what is kept for a while has to be kept for less.
SHORT = ("--messages", "40000", "--expiry", "0.5", "--grace", "0.6")

#: Other tests come and go beside it, and the load with them; caches are not full yet. What must not
#: be is that something is left at the end.
ROUGH = ("--tolerance", "5", "--bound", "16000000")


@pytest.fixture
def audit(tmp_path):
    return lambda url: run(read_options([url, "growth", *SHORT, *ROUGH]), str(tmp_path))


@pytest.mark.slow
def test_nothing_grows_in_ipc(audit):
    account = audit("ipc")
    assert account.is_balanced, table(account)
    assert {"file bytes", "LMDB pages"} <= account.last_quarter.keys()


@pytest.mark.slow
@pytest.mark.redis
def test_nothing_grows_in_redis(audit):
    need_redis()
    account = audit("redis")
    assert account.is_balanced, table(account)
    assert {"used memory", "keys"} <= account.last_quarter.keys()


def samples(figures, name="memory"):
    return [
        {"seconds": float(at), "messages": 1000.0 * at, name: figure}
        for at, figure in enumerate(figures)
    ]


def test_what_grows_with_every_message_is_found():
    account = compare(samples([1e6 + 1e5 * at for at in range(100)]), bound=4e6)
    assert account.grown == ["memory: from 4700000 to 9700000"]
    assert not account.is_balanced


def test_what_goes_up_and_down_has_not_grown():
    assert compare(samples([1e6 + 3e6 * (at % 3) for at in range(100)]), bound=1e5).is_balanced


def test_what_is_kept_within_its_bound_has_not_grown():
    assert compare(samples([100 + at for at in range(100)], "keys"), bound=1.0).is_balanced


def test_a_run_without_samples_shows_nothing():
    assert not compare([], bound=1.0).is_balanced
