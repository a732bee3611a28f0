"""Bounded runs of the audit of queues; long ones are made by hand, as docs/topics/delivery.md says.

The auditor itself must find a layer that loses one message in a thousand, or delivers one twice.
"""

import tempfile

import pytest

from tests.audit.__main__ import main, read_options, run
from tests.audit.report import table
from tests.wsgi_bridge.layers.redis.servers import need_redis

pytestmark = pytest.mark.slow

#: Short, and rough: channels that are soon full, messages that soon expire.
SHORT = ("--seconds", "2", "--messages", "2000", "--expiry", "1", "--capacity", "20")

#: A machine on which everything else is tested at the same time may stop a process for a second.
BUSY = ("--life", "5")


@pytest.fixture
def audit(tmp_path):
    return lambda *arguments: run(read_options(arguments), str(tmp_path))


def check(account):
    assert account.is_balanced, table(account)
    assert account.delivered > 100, table(account)


def test_memory_loses_nothing(audit):
    account = audit("memory", *SHORT)
    check(account)
    assert account.expired > 0
    assert account.sent == account.delivered + account.expired


def test_ipc_accounts_for_everything_while_processes_are_killed(audit):
    account = audit("ipc", *SHORT, "--kill", "0.5", "--kill-senders")
    check(account)
    assert account.expired > 0
    assert account.kills > 0


@pytest.mark.redis
def test_redis_accounts_for_everything_while_processes_and_redis_are_killed(audit):
    need_redis()
    account = audit("redis", *SHORT, *BUSY, "--kill", "0.7", "--restart-backend", "0.8")
    check(account)
    assert account.kills > 0
    assert account.outages > 0


def test_local_first_accounts_for_everything_while_processes_are_killed(audit):
    check(audit("ipc", "--local-first", *SHORT, "--kill", "0.7"))


@pytest.mark.parametrize(
    ("sabotage", "figure"), [("lose", "unaccounted"), ("twice", "twice"), ("swap", "out_of_order")]
)
def test_a_fault_in_a_thousand_messages_is_found(audit, sabotage, figure):
    fast = ("--seconds", "0", "--messages", "5000", "--expiry", "0.5", "--rate", "0")
    account = audit("memory", *fast, "--sabotage", sabotage)
    assert not account.is_balanced
    assert getattr(account, figure) > 0


def test_a_fault_is_found_among_the_losses_of_killed_processes(audit):
    # Seven faults: one or two may look like losses with a process that was killed at that moment.
    many = ("--messages", "7500", "--rate", "2000")
    account = audit("ipc", *SHORT, *many, "--kill", "1.5", "--sabotage", "lose")
    assert account.kills > 0
    assert account.unaccounted > 0


def test_the_exit_status_tells(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fast = ("--seconds", "0", "--messages", "5000", "--expiry", "0.5", "--rate", "0")
    arguments = ["memory", *fast]
    assert main(arguments) == 0
    assert "unaccounted                             0\n" in capsys.readouterr().out
    assert main([*arguments, "--sabotage", "twice", "--json"]) == 1
    assert '"is_balanced": false' in capsys.readouterr().out
