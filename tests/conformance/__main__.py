"""`python -m tests.conformance`: our worker and its peers by the same measures."""

from __future__ import annotations

import argparse
import platform
import sys
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.report import table
from tests.benchmarks.servers import raise_descriptor_limit
from tests.conformance.columns import COLUMNS, Column, Finding
from tests.conformance.contestants import CONTESTANTS, Contestant
from tests.conformance.results import Results

MARK = "<!-- what follows is written by `make conformance` -->\n"
PACKAGES = ("wsgi-bridge", "gunicorn", "gevent", "uvicorn", "websockets", "daphne", "kosoku")
PACKAGES += ("simple-websocket", "gevent-websocket")
# The cell of a server that has no part in a column.
NO_PART = "-"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options of `arguments`."""
    names, columns = [each.name for each in CONTESTANTS], [column.name for column in COLUMNS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance", description="Compare our worker with its peers."
    )
    parser.add_argument("--quick", action="store_true", help="without what takes many minutes")
    parser.add_argument("--only", nargs="*", choices=columns, default=columns, metavar="COLUMN")
    parser.add_argument("--servers", nargs="+", choices=names, default=names, metavar="NAME")
    option = "keep what is found there, and show what was found before"
    parser.add_argument("--results", type=Path, metavar="FILE", help=option)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table there")
    return parser.parse_args(arguments)


def measure(contestant: Contestant, column: Column, options: argparse.Namespace) -> Finding:
    """Return what a column finds of a server that is started for it."""
    print(f"{column.name}: {contestant.name}", file=sys.stderr, flush=True)
    try:
        found = column.measure(contestant, options)
    except RuntimeError as error:
        found = Finding("did not run", (str(error).splitlines()[0],))
    print(f"  {found.cell}", file=sys.stderr, flush=True)
    return replace(found, is_quick=options.quick)


def report(results: Results) -> str:
    """Return the table, and below it what each server did not do."""
    columns = [
        column
        for column in COLUMNS
        if any(results.find(each.name, column.name) for each in CONTESTANTS)
    ]
    rows = [("server", *(column.heading for column in columns))]
    parts = [_versions()]
    details: list[str] = []
    for each in CONTESTANTS:
        found = [results.find(each.name, column.name) for column in columns]
        if any(found):
            rows.append((each.name, *(NO_PART if cell is None else cell.cell for cell in found)))
    for column in columns:
        details.append(f"## {column.heading}")
        found = [results.find(each.name, column.name) for each in CONTESTANTS]
        if any(cell.is_quick for cell in found if cell is not None):
            command = f"python -m tests.conformance --quick --only {column.name}"
            details.append(f"Measured by `{command}`.")
        for each, cell in zip(CONTESTANTS, found, strict=True):
            if cell is not None and cell.details:
                details.append(f"{each.name}:\n\n" + "\n".join(f"- {it}" for it in cell.details))
    return "\n\n".join([*parts, table(rows), *details]) + "\n"


def _versions() -> str:
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):  # ours may run from its folder
            found.append(f"{name} {version(name)}")
    return f"Python {platform.python_version()}. {', '.join(found)}."


def main(arguments: list[str]) -> None:
    """Measure, print, and write."""
    options = parse(arguments)
    raise_descriptor_limit()
    results = Results(options.results)
    for contestant in CONTESTANTS:
        for column in COLUMNS:
            is_asked = contestant.name in options.servers and column.name in options.only
            if is_asked and column.name in contestant.apps:
                found = measure(contestant, column, options)
                results.add(contestant.name, column.name, found)
    text = report(results)
    print(text)
    if options.markdown:
        prose = options.markdown.read_text().partition(MARK)[0]
        options.markdown.write_text(f"{prose}{MARK}\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
