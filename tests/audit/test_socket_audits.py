"""Bounded runs of the audits of sockets; long ones are made by hand."""

from __future__ import annotations

import pytest

from tests.audit.__main__ import read_options, run
from tests.audit.report import table
from tests.wsgi_bridge.layers.redis.servers import need_redis

pytestmark = [pytest.mark.slow, pytest.mark.integration]

SHORT = ("--sockets", "40", "--workers", "2", "--rate", "10")

#: A machine on which everything else is tested at the same time may stop a process for a second.
BUSY = ("--life", "5")


@pytest.fixture
def audit(tmp_path):
    return lambda *arguments: run(read_options(arguments), str(tmp_path))


def check(account):
    assert account.is_balanced, table(account)
    assert account.handled > 100, table(account)


def test_ipc_sockets_lose_what_was_in_flight_and_nothing_else(audit):
    account = audit("ipc", "sockets", *SHORT, "--seconds", "4", "--kill", "0.5")
    check(account)
    assert account.kills > 0


@pytest.mark.redis
def test_redis_sockets_lose_what_was_in_flight_and_nothing_else(audit):
    need_redis()
    account = audit(
        "redis", "sockets", *SHORT, *BUSY, "--expiry", "5", "--seconds", "4", "--kill", "0.5"
    )
    check(account)
    assert account.kills > 0


@pytest.mark.parametrize("arrangement", ["worker", "split"])
def test_nothing_is_lost_while_consumers_are_replaced(audit, arrangement):
    several = ("--times", "2", "--seconds", "1", "--arrangement", arrangement)
    account = audit("ipc", "redeploys", *SHORT, *several)
    check(account)
    assert account.deployments == 2
    assert account.answered == account.frames


@pytest.mark.parametrize(("sabotage", "figure"), [("lose", "unaccounted"), ("twice", "twice")])
def test_a_fault_in_a_thousand_frames_is_found(audit, sabotage, figure):
    many = ("--rate", "100", "--seconds", "1", "--messages", "2500", "--expiry", "2")
    account = audit("ipc", "sockets", *SHORT, *many, "--sabotage", sabotage)
    assert account.answered > 2000, table(account)
    assert getattr(account, figure) > 0, table(account)
    assert not account.is_balanced
