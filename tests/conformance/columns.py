"""What servers are compared by: each column of the table is a measure of one server.

A new column is a function that takes a Contestant, starts it, and returns a Finding; a line in
COLUMNS; and an app for each contestant that takes part.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.servers import running
from tests.conformance.autobahn import ALL, BOUNDED, GROUPS, Case, run_cases
from tests.conformance.contestants import Contestant
from tests.conformance.corpus import find_faults
from tests.conformance.slow_clients import QUICK_SECONDS, SECONDS, besiege
from tests.slowloris.attackers import KINDS


@dataclass(frozen=True)
class Finding:
    """A cell of the table, and what is to be told about it below."""

    cell: str
    details: tuple[str, ...] = ()
    is_quick: bool = False


@dataclass(frozen=True)
class Column:
    """A column: its name on the command line, its heading, how a server's cell is found."""

    name: str
    heading: str
    measure: Callable[[Contestant, argparse.Namespace], Finding]


# Seconds for the cases of a group: some are the compression of a gigabyte.
PATIENCE, QUICK_PATIENCE = 300.0, 60.0
# Compression cases at once: each has seconds for its thousand messages.
CONCURRENCY = 4


def measure_autobahn(contestant: Contestant, options: argparse.Namespace) -> Finding:
    """Count the cases by their outcome."""
    patience = QUICK_PATIENCE if options.quick else PATIENCE
    cases: list[Case] = []
    stuck = []
    with running(contestant.with_app("autobahn"), None) as server:
        for group in GROUPS:
            patterns = [each for each in (BOUNDED if options.quick else ALL) if _is_of(each, group)]
            try:
                cases += run_cases(
                    server.port, patterns, patience=patience, concurrency=CONCURRENCY
                )
            except RuntimeError:
                stuck.append(f"group {group} did not end within {patience:g} s")
        cases = _try_again(server.port, cases, patience)
    bad = [case for case in cases if not case.is_good]
    tolerated = sum(case.is_passed for case in bad)
    missing = sum(case.behavior == "UNIMPLEMENTED" for case in bad)
    counts = {
        "non-strict": tolerated,
        "not implemented": missing,
        "failed": len(bad) - tolerated - missing,
        "group without an end": len(stuck),
    }
    told = [f"{count} {name}" for name, count in counts.items() if count]
    cell = "; ".join([f"{len(cases) - len(bad)} of {len(cases)}", *told])
    return Finding(cell, (*_describe(bad), *stuck))


def _try_again(port: int, cases: list[Case], patience: float) -> list[Case]:
    """Run those that failed once more, alone: a case has seconds, and the machine other work."""
    failed = [case.name for case in cases if case.behavior == "FAILED"]
    if not failed:
        return cases
    try:
        again = run_cases(port, failed, patience=patience, concurrency=1)
    except RuntimeError:
        return cases
    better = {case.name: case for case in again}
    return [better.get(case.name, case) for case in cases]


def _is_of(pattern: str, group: int) -> bool:
    return pattern.partition(".")[0] == str(group)


def _describe(bad: list[Case]) -> list[str]:
    """Return a line for each kind of outcome."""
    kinds = Counter((case.behavior, case.close) for case in bad)
    lines = []
    for (behavior, close), count in kinds.most_common():
        names = [case.name for case in bad if (case.behavior, case.close) == (behavior, close)]
        shown = ", ".join(names[:12]) + (", …" if count > 12 else "")
        lines.append(f"{behavior}, close {close}: {count} ({shown})")
    return lines


def measure_corpus(contestant: Contestant, options: argparse.Namespace) -> Finding:
    """Count what is served of the valid requests, and refused of the others."""
    samples, faults = find_faults(contestant)
    counts = []
    for done, is_valid in (("served", True), ("refused", False)):
        of_kind = [sample for sample in samples if sample.is_valid is is_valid]
        good = sum(sample.name not in faults for sample in of_kind)
        counts.append(f"{good} of {len(of_kind)} {done}")
    return Finding(", ".join(counts), tuple(_list_faults(faults)))


def _list_faults(faults: dict[str, str]) -> list[str]:
    """Return a line for each kind of fault."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, fault in sorted(faults.items()):
        kind, _, short = name.partition("/")
        kinds.setdefault((kind, fault), []).append(short)
    return [f"{kind}, {fault}: {', '.join(names)}" for (kind, fault), names in kinds.items()]


def measure_slow_clients(contestant: Contestant, options: argparse.Namespace) -> Finding:
    """Tell whether an honest client is answered, and whether slow ones are cut."""
    siege = besiege(contestant, QUICK_SECONDS if options.quick else SECONDS)
    answered = f"{len(siege.latencies)} of {siege.asked}"
    fates = ", ".join(f"{kind} {siege.tell_fate(kind)}" for kind in KINDS)
    return Finding(f"{answered} answered, p99 {siege.latency_class}; {fates}")


COLUMNS = (
    Column("autobahn", "Autobahn: OK or informational", measure_autobahn),
    Column("corpus", "Corpus: valid and invalid requests", measure_corpus),
    Column("slow", "Slow clients", measure_slow_clients),
)
