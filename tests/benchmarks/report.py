"""The tables: medians of rounds, and ours beside each peer. Markdown, readable as it is.

Text in, text out; measures nothing.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.benchmarks.arrangements import ALL_CLAIMS
from tests.benchmarks.bench import Sample, Scenario
from tests.benchmarks.scenarios import Claim

KB = 1000
Row = tuple[str, ...]
Samples = dict[str, list[Sample]]
Rows = Callable[[Scenario, Samples], Iterator[Row]]
# A load that uses so much of its core may have been what was measured.
BUSY_LOAD = 0.9


@dataclass(frozen=True)
class Measure:
    """A figure of a sample, of which less is better; `unit` of `size` is what it is shown in."""

    words: str
    of: Callable[[Sample], float]
    unit: str = ""
    size: float = 1.0

    def shown(self, figure: float) -> str:
        """Return a figure with its unit."""
        return f"{figure / self.size:.3g} {self.unit}"


MEASURES = {
    "cost": Measure("CPU per operation", lambda sample: sample.cost),
    "p50": Measure("time to the last receiver", lambda sample: sample.load.p50),
    "p99": Measure("p99 of a page", lambda sample: sample.load.p99, "ms", 1e-3),
    "burst": Measure("p50 of all handshakes", lambda sample: sample.load.p50, "ms", 1e-3),
    "memory": Measure("memory per socket", lambda sample: sample.memory, "KB", KB),
    "throughput": Measure("operations a second", lambda sample: 1 / sample.rate),
    "rate": Measure("round trips a second", lambda sample: 1 / sample.rate),
    "latency": Measure("p50 of a round trip", lambda sample: sample.load.p50, "µs", 1e-6),
    "share": Measure("CPU of a process", lambda sample: sample.share, "% of a core", 0.01),
}


def median(samples: list[Sample], of: Callable[[Sample], float]) -> float:
    """Return the median over rounds of one figure."""
    return statistics.median(map(of, samples))


def table(rows: list[Row]) -> str:
    """Return a Markdown table whose columns line up; the first row is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = (map(str.ljust, row, widths) for row in (rows[0], rule, *rows[1:]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(scenario: Scenario, samples: Samples) -> str:
    """Return the section of one scenario: a row a server."""
    return f"## {scenario.title}\n\n{table(list(TABLES[scenario.table](scenario, samples)))}\n"


def _server_rows(scenario: Scenario, samples: Samples) -> Iterator[Row]:
    """Yield what a server got through and what that cost it; the load is not its concern."""
    yield (
        *("server", f"{scenario.operations}/s", "p50 ms", "p99 ms"),
        *("server CPU µs each", "lowest to highest", "core of server", "of load"),
    )
    for name, rounds in samples.items():
        busy = median(rounds, lambda sample: sample.load.busy)
        yield (
            name,
            f"{median(rounds, lambda sample: sample.rate):,.0f}",
            f"{median(rounds, lambda sample: sample.load.p50) * 1e3:.2f}",
            f"{median(rounds, lambda sample: sample.load.p99) * 1e3:.2f}",
            *_spread([sample.cost for sample in rounds], ".1f"),
            _core_share(rounds),
            f"{busy:.0%}{' (too busy)' if busy > BUSY_LOAD else ''}",
        )


def _layer_rows(scenario: Scenario, samples: Samples) -> Iterator[Row]:
    """Yield what two processes got through together; the load is one of them."""
    yield (
        *("layer", f"{scenario.operations}/s", "lowest to highest", "p50 µs", "p99 µs"),
        *("CPU µs each", "core of one process", "of the other"),
    )
    for name, rounds in samples.items():
        yield (
            name,
            *_spread([sample.rate for sample in rounds], ",.0f"),
            f"{median(rounds, lambda sample: sample.load.p50) * 1e6:,.0f}",
            f"{median(rounds, lambda sample: sample.load.p99) * 1e6:,.0f}",
            f"{median(rounds, lambda sample: sample.cost_of_both):.1f}",
            _core_share(rounds),
            f"{median(rounds, lambda sample: sample.load.busy):.0%}",
        )


def _core_share(samples: list[Sample]) -> str:
    """Return how much of its core the server used, and how much more it wanted and did not get."""
    used = median(samples, lambda sample: sample.cpu / sample.load.seconds)
    waited = median(samples, lambda sample: sample.waited / sample.load.seconds)
    return f"{used:.0%} + {waited:.0%} waiting"


def _memory_rows(scenario: Scenario, samples: Samples) -> Iterator[Row]:
    yield "server", "KB each", "lowest to highest"
    for name, rounds in samples.items():
        yield name, *_spread([sample.memory / KB for sample in rounds], ".1f")


def _crowd_rows(scenario: Scenario, samples: Samples) -> Iterator[Row]:
    """Yield what sockets take, and what who asks for pages has of them."""
    yield "server", "KB each", "lowest to highest", "page p50 ms", "p99 ms", "lowest to highest"
    for name, rounds in samples.items():
        yield (
            name,
            *_spread([sample.memory / KB for sample in rounds], ".1f"),
            f"{median(rounds, lambda sample: sample.load.p50) * 1e3:.2f}",
            *_spread([sample.load.p99 * 1e3 for sample in rounds], ".2f"),
        )


def _idle_rows(scenario: Scenario, samples: Samples) -> Iterator[Row]:
    yield "processes", "% of a core each", "lowest to highest"
    for name, rounds in samples.items():
        yield name, *_spread([sample.share * 100 for sample in rounds], ".3f")


def _spread(figures: list[float], form: str) -> Row:
    """Return the median, and the lowest and highest."""
    median_, low, high = statistics.median(figures), min(figures), max(figures)
    return f"{median_:{form}}", f"{low:{form}} to {high:{form}}"


TABLES: dict[str, Rows] = {
    "servers": _server_rows,
    "layers": _layer_rows,
    "memory": _memory_rows,
    "crowd": _crowd_rows,
    "idle": _idle_rows,
}


def claims(scenarios: list[Scenario], results: dict[str, Samples]) -> str:
    """Return what ours reached of what it must: a row a claim that this run can tell about."""
    rows = [
        row
        for scenario in scenarios
        for claim in ALL_CLAIMS
        if claim.scenario == scenario.name
        and (row := _maybe_claim_row(scenario, claim, results[scenario.name]))
    ]
    head = ("work", "who", "against", "measure", "at least", "reached")
    return table([head, *rows]) if rows else ""


def _maybe_claim_row(scenario: Scenario, claim: Claim, samples: Samples) -> Row | None:
    if not samples.get(claim.server) or (claim.peer and not samples.get(claim.peer)):
        return None
    measure = MEASURES[claim.measure]
    mine = median(samples[claim.server], measure.of)
    figures = []
    if claim.peer:
        ratio = median(samples[claim.peer], measure.of) / mine
        figures.append(f"{ratio:.2f} times")
    if claim.below:
        figures.append(measure.shown(mine))
        is_reached, target = mine < claim.below, f"below {measure.shown(claim.below)}"
    elif claim.rate:
        rate = median(samples[claim.server], lambda sample: sample.rate)
        figures.append(f"{rate:,.0f}/s")
        is_reached, target = rate >= claim.rate, f"{claim.rate:,.0f}/s"
    else:
        is_reached, target = ratio >= claim.at_least, f"{claim.at_least:.2g} times"
    verdict = ", ".join(figures if is_reached else [*figures, "missed"])
    return scenario.title, claim.server, claim.peer or "-", measure.words, target, verdict
