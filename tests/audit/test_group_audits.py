"""Bounded runs of the audit of groups."""

import pytest

from tests.audit.__main__ import read_options, run
from tests.audit.report import table
from tests.wsgi_bridge.layers.redis.servers import need_redis

pytestmark = pytest.mark.slow

SHORT = ("--seconds", "2", "--messages", "60", "--rate", "60", "--members", "600")


@pytest.fixture
def audit(tmp_path):
    return lambda url, *arguments: run(
        read_options([url, "groups", *SHORT, *arguments]), str(tmp_path)
    )


def check(account):
    assert account.is_balanced, table(account)
    assert account.members_that_stayed >= 400
    assert account.members_that_came_and_went > 10
    assert account.messages >= 60


def test_ipc_members_get_everything_while_others_join_leave_and_die(audit):
    account = audit("ipc", "--kill", "1")
    check(account)
    assert account.kills > 0


@pytest.mark.redis
def test_redis_members_get_everything_while_others_join_leave_and_die(audit):
    need_redis()
    # A machine on which everything else is tested at the same time may stop a process for a second.
    account = audit("redis", "--kill", "1", "--life", "2.5")
    check(account)
    assert account.kills > 0


def test_a_fault_in_a_thousand_messages_is_found(audit):
    account = audit("ipc", "--rate", "600", "--members", "20", "--sabotage", "swap")
    assert account.out_of_order > 0
