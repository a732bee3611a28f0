"""The tables: medians of rounds, and ours beside each peer. Markdown, readable as it is.

Text in, text out; measures nothing.
"""

import statistics
from collections.abc import Callable

from tests.benchmarks.scenarios import CLAIMS, Claim, Sample, Scenario

KB = 1000
Samples = dict[str, list[Sample]]
# A load that uses so much of its core may have been what was measured.
BUSY_LOAD = 0.9

MEASURES: dict[str, tuple[str, Callable[[Sample], float]]] = {
    "cost": ("CPU per operation", lambda sample: sample.cost),
    "p50": ("time to the last receiver", lambda sample: sample.load.p50),
    "memory": ("memory per socket", lambda sample: sample.memory),
}


def median(samples: list[Sample], of: Callable[[Sample], float]) -> float:
    """Return the median over rounds of one figure."""
    return statistics.median(map(of, samples))


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table whose columns line up."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = (map(str.ljust, row, widths) for row in (head, rule, *rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(scenario: Scenario, samples: Samples) -> str:
    """Return the section of one scenario: a row a server."""
    if scenario.is_memory:
        body = table(("server", "KB each", "lowest to highest"), list(_memory_rows(samples)))
    else:
        head = ("server", f"{scenario.operations}/s", "p50 ms", "p99 ms")
        head += ("server CPU µs each", "lowest to highest", "core of server", "of load")
        body = table(head, [_load_row(name, rounds) for name, rounds in samples.items()])
    return f"## {scenario.title}\n\n{body}\n"


def _load_row(name: str, samples: list[Sample]) -> tuple[str, ...]:
    costs = [sample.cost for sample in samples]
    busy = median(samples, lambda sample: sample.load.busy)
    return (
        name,
        f"{median(samples, lambda sample: sample.rate):,.0f}",
        f"{median(samples, lambda sample: sample.load.p50) * 1e3:.2f}",
        f"{median(samples, lambda sample: sample.load.p99) * 1e3:.2f}",
        f"{statistics.median(costs):.1f}",
        f"{min(costs):.1f} to {max(costs):.1f}",
        _core_share(samples),
        f"{busy:.0%}{' (too busy)' if busy > BUSY_LOAD else ''}",
    )


def _core_share(samples: list[Sample]) -> str:
    """Return how much of its core the server used, and how much more it wanted and did not get."""
    used = median(samples, lambda sample: sample.cpu / sample.load.seconds)
    waited = median(samples, lambda sample: sample.waited / sample.load.seconds)
    return f"{used:.0%} + {waited:.0%} waiting"


def _memory_rows(samples: Samples):
    for name, rounds in samples.items():
        sizes = [sample.memory / KB for sample in rounds]
        spread = f"{min(sizes):.1f} to {max(sizes):.1f}"
        yield name, f"{statistics.median(sizes):.1f}", spread


def claims(scenarios: list[Scenario], results: dict[str, Samples]) -> str:
    """Return what ours reached of what it must: a row a claim that this run can tell about."""
    rows = [
        row
        for scenario in scenarios
        for claim in CLAIMS
        if claim.scenario == scenario.name
        and (row := _maybe_claim_row(scenario, claim, results[scenario.name]))
    ]
    return table(("work", "against", "ratio of", "at least", "reached"), rows) if rows else ""


def _maybe_claim_row(scenario: Scenario, claim: Claim, samples: Samples):
    ours = next((server.name for server in scenario.servers if server.ours), None)
    if not (samples.get(ours) and samples.get(claim.peer)):
        return None
    words, of = MEASURES[claim.measure]
    mine, theirs = median(samples[ours], of), median(samples[claim.peer], of)
    ratio = theirs / mine
    if claim.below:
        reached, target = mine < claim.below, f"below {claim.below / KB:.0f} KB"
        figures = f"{ratio:.1f} ({mine / KB:.1f} KB)"
    else:
        reached, target, figures = ratio >= claim.at_least, f"{claim.at_least:g}", f"{ratio:.2f}"
    verdict = figures if reached else f"{figures}, missed"
    return scenario.title, claim.peer, words, target, verdict
