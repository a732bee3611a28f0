"""Bounded soaks; the half hour is `make soak`."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import pytest

from tests.soak.ledger import KILL, RELOAD
from tests.soak.plan import SPLIT, Plan
from tests.soak.plot import PANELS, draw
from tests.soak.report import report
from tests.soak.run import run_soak
from tests.soak.traffic import KINDS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: Seconds in place of minutes. Nothing gets as old as to have done with growing up: memory may grow
#: by more than in half an hour.
SHORT = Plan(seconds=12, calm=8, settle=3, youth=3, hup_every=5, kill_every=8, interval=0.25,
             scale=0.4, bound=16_000_000)  # fmt: skip
SABOTAGES = "memory,descriptors,error,failure"


@pytest.mark.parametrize("worker", [Plan.worker, SPLIT])
def test_nothing_grows_complains_or_fails(worker: str) -> None:
    outcome = run_soak(dataclasses.replace(SHORT, worker=worker))
    assert outcome.is_sound, report(outcome)
    assert {mark.what for mark in outcome.ledger.marks} >= {RELOAD, KILL}
    assert all(outcome.ledger.has_ended(kind.name) for kind in KINDS), outcome.ledger.visits
    figure = ElementTree.fromstring(draw(outcome))
    assert len(figure.findall("{*}rect")) == len(PANELS) + 1


def test_a_site_that_leaks_complains_and_fails_is_found_out() -> None:
    outcome = run_soak(
        dataclasses.replace(
            SHORT, seconds=4, calm=4, hup_every=0, kill_every=0, sabotage=SABOTAGES, visits=300
        )
    )
    assert not outcome.is_sound
    assert {"memory", "files"} <= {each.figure for each in outcome.grown}, report(outcome)
    assert any("nobody asked for this error" in each.text for each in outcome.complaints)
    assert any("500 in place of 200" in each.what for each in outcome.failures)
    assert "**Not sound**" in report(outcome)
