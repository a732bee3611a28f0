"""Slow clients by the hundred: an honest one is served, they are dropped."""

from __future__ import annotations

import pytest

from tests.slowloris.attackers import KINDS
from tests.slowloris.run import run_attack

pytestmark = pytest.mark.integration

MANY = 300
DEADLINE = 1.0
LATE = 10.0  # seconds that a busy machine may be late by


def test_slow_clients_are_dropped_and_an_honest_one_is_served() -> None:
    outcome = run_attack(connections=MANY, seconds=3, deadline=DEADLINE, again=False)
    assert outcome.statuses == {200}
    for kind in KINDS:
        lives = outcome.lives[kind]
        assert lives.dropped == lives.opened == MANY // len(KINDS), kind
        assert lives.longest < 2 * DEADLINE + LATE, kind
