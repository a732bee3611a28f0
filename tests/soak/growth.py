"""Whether anything has grown: the comparison of a soak's samples.

A figure goes up and down with the load, so medians are compared: that of the first quarter of the
samples that count with that of the last. It has grown if the second is above the first by more than
the figure's bound *and* part.

A worker that is replaced at a reload takes with it what it has leaked, and one that is new takes
more memory for a while without leaking. So there are two comparisons, and each finds what the other
cannot:

- **the site**, all processes together, while it is reloaded: what outlives workers. Only samples
  with all processes there, and none that has just been replaced: those of all minutes are alike.
- **each process** that becomes old, by itself: from when it has had its youth, which begins when it
  has loaded the site, if it lives on for as long. That is the master, the servers of a split, and
  at the end, when the site is left alone, the last workers.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.soak.ledger import LATE, Mark
from tests.soak.plan import Plan
from tests.soak.samples import NEW, Sample

__all__ = ["Growth", "compare", "find_growth"]

#: Samples that a comparison needs.
FEWEST = 8

#: Seconds after a reload or a kill in which samples of the site do not count, at most: workers
#: start, and others drain.
UNREST = 20.0

#: By how much a figure may differ without having grown, in pieces and in parts. What follows the
#: number of visitors at the moment has more room.
BOUNDS = {
    "files": (4, 0.0),
    "threads": (4, 0.0),
    "sockets": (15, 0.25),
    "connections": (15, 0.25),
    "websockets": (15, 0.25),
    "greenlets": (40, 0.25),
    "objects": (10_000, 0.25),
}
LAYER_BOUNDS = {
    "messages that wait": (50, 0.25),
    "groups": (4, 0.0),
    "entries": (300, 0.25),
    "pages": (200, 0.25),
    "files": (4, 0.0),
}
#: Of memory; its bound is the plan's. What workers take in their first minute follows the visits.
MEMORY_PART = 0.08


@dataclass(frozen=True)
class Growth:
    """One comparison. `who`: the site, its layer, or a process."""

    who: str
    figure: str
    first: float
    last: float
    bound: float

    @property
    def has_grown(self) -> bool:
        return self.last - self.first > self.bound

    def __str__(self) -> str:
        return (
            f"{self.who}: {self.figure} grew from {self.first:,.0f} to {self.last:,.0f}, "
            f"by more than {self.bound:,.0f}"
        )


def find_growth(
    samples: Sequence[Sample], marks: Sequence[Mark], plan: Plan, started: float
) -> list[Growth]:
    """Return all comparisons, grown or not; none of the site means that nothing was shown."""
    settled = started + plan.settle
    late = [sample for sample in samples if sample.at >= settled]
    disturbed = [sample for sample in late if sample.at < started + plan.seconds]
    alike = [sample for sample in disturbed if _is_like_others(sample, marks, plan)]
    found = list(_compare_site(alike, plan))
    for pid in sorted({pid for sample in late for pid in sample.processes}):
        found += _compare_process(pid, samples, settled, plan)
    return found


def _is_like_others(sample: Sample, marks: Sequence[Mark], plan: Plan) -> bool:
    unrest = min(UNREST, plan.hup_every / 2) if plan.hup_every else UNREST
    is_restless = any(
        mark.at <= sample.at < mark.at + unrest for mark in marks if mark.what != LATE
    )
    return not is_restless and len(sample.processes) == plan.workers + 1


def _compare_site(samples: Sequence[Sample], plan: Plan) -> Iterator[Growth]:
    if len(samples) < FEWEST:
        return
    for figure in ("memory", *BOUNDS):
        totals = [sample.total(figure) for sample in samples]
        yield compare("the site", figure, totals, *_bounds(figure, plan))
    for figure, (bound, part) in LAYER_BOUNDS.items():
        yield compare("the layer", figure, [each.layer[figure] for each in samples], bound, part)


def _compare_process(
    pid: int, samples: Sequence[Sample], settled: float, plan: Plan
) -> Iterator[Growth]:
    own = [sample for sample in samples if sample.roles.get(pid, NEW) != NEW]
    if not own:
        return
    begin = max(settled, own[0].at + plan.youth)
    old = [sample for sample in own if sample.at >= begin]
    if len(old) < FEWEST or old[-1].at - begin < plan.youth:
        return
    who = f"{old[-1].roles[pid]} {pid}"
    for figure in ("memory", *BOUNDS):
        values = [s.processes[pid][figure] for s in old if figure in s.processes[pid]]
        if len(values) >= FEWEST:
            yield compare(who, figure, values, *_bounds(figure, plan))


def _bounds(figure: str, plan: Plan) -> tuple[float, float]:
    return (plan.bound, MEMORY_PART) if figure == "memory" else BOUNDS[figure]


def compare(who: str, figure: str, values: Sequence[float], bound: float, part: float) -> Growth:
    """Compare the first quarter of the values with the last."""
    quarter = max(1, len(values) // 4)
    first, last = statistics.median(values[:quarter]), statistics.median(values[-quarter:])
    return Growth(who, figure, first, last, max(bound, part * first))
