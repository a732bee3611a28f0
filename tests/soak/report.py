"""The report of a soak: Markdown, readable as it is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator

from tests.benchmarks.report import table
from tests.soak.growth import Growth
from tests.soak.ledger import KILL, RELOAD
from tests.soak.run import Outcome
from tests.soak.traffic import KINDS

__all__ = ["report"]

#: Failures and complaints that are shown, at most.
EXAMPLES = 20

Row = tuple[str, ...]


def report(outcome: Outcome, plot: str = "") -> str:
    """Return the report; `plot`: the file of its picture."""
    parts = [_summary(outcome)]
    if plot:
        parts.append(f"![What the site held, over the minutes]({plot})")
    parts += [*_wrong(outcome), table(list(_visits(outcome))), table(list(_growths(outcome)))]
    return "\n\n".join(parts) + "\n"


def _summary(outcome: Outcome) -> str:
    plan, ledger = outcome.plan, outcome.ledger
    done = {what: sum(mark.what == what for mark in ledger.marks) for what in (RELOAD, KILL)}
    verdict = "Sound" if outcome.is_sound else "**Not sound**"
    notes = "; ".join(f"{count:,} {what}" for what, count in sorted(ledger.notes.items()))
    return (
        f"`{shlex.join(['python', '-m', 'tests.soak', *sys.argv[1:]])}`\n\n"
        f"{verdict}: {len(outcome.grown)} figures grew, {len(outcome.complaints)} log entries and "
        f"{len(outcome.failures)} failures without an excuse.\n\n"
        f"`{plan.worker}`, {plan.workers} workers, {plan.seconds / 60:.3g} minutes with "
        f"{done[RELOAD]} reloads and {done[KILL]} kills, then {plan.calm / 60:.3g} minutes "
        f"without. {ledger.visits.total():,} visits went well; {notes or 'nothing to note'}. "
        f"Pages came in {ledger.percentile(0.5) * 1e3:.1f} ms (p50), "
        f"{ledger.percentile(0.99) * 1e3:.0f} ms (p99), {ledger.percentile(1) * 1e3:,.0f} ms "
        f"(the slowest of {len(ledger.latencies):,}, with reloads and kills)."
    )


def _wrong(outcome: Outcome) -> Iterator[str]:
    yield from (f"- Has grown: {each}" for each in outcome.grown)
    for complaint in outcome.complaints[:EXAMPLES]:
        yield f"- Logged:\n\n```\n{complaint}\n```"
    for failure in outcome.failures[:EXAMPLES]:
        yield f"- {failure.describe(outcome.started)}"


def _visits(outcome: Outcome) -> Iterator[Row]:
    yield "visit", "went well", "failed, a kill or reload explains it", "failed"
    ledger, excused = outcome.ledger, outcome.ledger.excused()
    for kind in KINDS:
        failed = sum(each.kind == kind.name for each in outcome.failures)
        yield kind.name, f"{ledger.visits[kind.name]:,}", f"{excused[kind.name]:,}", f"{failed:,}"


def _growths(outcome: Outcome) -> Iterator[Row]:
    yield "who", "holds", "first quarter", "last quarter", "may grow by", ""
    for growth in outcome.growths:
        grown = "has grown" if growth.has_grown else ""
        yield growth.who, growth.figure, *_figures(growth), grown


def _figures(growth: Growth) -> Iterator[str]:
    for figure in (growth.first, growth.last, growth.bound):
        yield f"{figure / 1e6:.1f} MB" if growth.figure == "memory" else f"{figure:,.0f}"
