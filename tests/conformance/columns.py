"""What servers are compared by: each column of the table measures one running server.

A new column is a function that takes a running server and returns a Finding, and a line in COLUMNS.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.servers import Running
from tests.conformance.autobahn import ALL, BOUNDED, GROUPS, Case, run_cases


@dataclass(frozen=True)
class Finding:
    """A cell of the table, and what is to be told about it below."""

    cell: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column: its name on the command line, its heading, how a server's cell is found."""

    name: str
    heading: str
    measure: Callable[[Running, argparse.Namespace], Finding]


# Seconds for the cases of a group: some are the compression of a gigabyte.
PATIENCE, QUICK_PATIENCE = 900.0, 60.0


def measure_autobahn(server: Running, options: argparse.Namespace) -> Finding:
    """Count the cases by their outcome."""
    patience = QUICK_PATIENCE if options.quick else PATIENCE
    cases: list[Case] = []
    stuck = []
    for group in GROUPS:
        patterns = [each for each in (BOUNDED if options.quick else ALL) if _is_of(each, group)]
        try:
            cases += run_cases(server.port, patterns, patience=patience)
        except RuntimeError:
            stuck.append(f"group {group} did not end within {patience:g} s")
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


COLUMNS = (Column("autobahn", "Autobahn: OK or informational", measure_autobahn),)
