"""The command line: ``python -m tests.soak``."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.soak.plan import SPLIT, Plan
from tests.soak.plot import draw
from tests.soak.report import report
from tests.soak.run import Outcome, run_soak
from tests.soak.sabotage import SABOTAGES

WORKERS = ("gunicorn_asgi.Worker", SPLIT)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description="Keep a site under mixed traffic, reload it and kill its workers. The exit "
        "status is 1 if anything grew, was logged that nobody provoked, or failed without excuse.",
    )
    option = parser.add_argument
    option("--seconds", type=float, default=Plan.seconds, help="of reloads and kills (1800)")
    option("--calm", type=float, default=Plan.calm, help="seconds without, afterwards (300)")
    option("--settle", type=float, default=Plan.settle, help="seconds in which it may grow (300)")
    option("--youth", type=float, default=Plan.youth, help="and in which a process may (120)")
    option("--worker", choices=WORKERS, default=Plan.worker, help="gunicorn's worker class")
    option("--workers", type=int, default=Plan.workers, help="how many of them (2)")
    option("--hup-every", type=float, default=Plan.hup_every, help="seconds; 0: never (60)")
    option("--kill-every", type=float, default=Plan.kill_every, help="seconds; 0: never (170)")
    option("--scale", type=float, default=Plan.scale, help="visitors, in parts of what is usual")
    option("--bound", type=int, default=Plan.bound, help="bytes that are no growth (3000000)")
    option("--sabotage", metavar="NAMES", default="", help=f"have the site do of {[*SABOTAGES]}")
    option("--seed", type=int, default=Plan.seed, help="of what is left to chance")
    option("--report", type=Path, metavar="NAME", help="write NAME.md, NAME.svg and NAME.log")
    return parser


def write(outcome: Outcome, name: Path) -> None:
    """Write the report, its plot, and the site's log if there is something wrong."""
    name.parent.mkdir(parents=True, exist_ok=True)
    name.with_suffix(".md").write_text(report(outcome, plot=f"{name.name}.svg"))
    name.with_suffix(".svg").write_text(draw(outcome))
    if not outcome.is_sound:
        name.with_suffix(".log").write_text(outcome.log)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = make_parser().parse_args(arguments)
    chosen = {name: value for name, value in vars(options).items() if name in Plan.names()}
    try:
        outcome = run_soak(Plan(**chosen))
    except KeyboardInterrupt:
        return 130
    print(report(outcome))
    if options.report:
        write(outcome, options.report)
    return int(not outcome.is_sound)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    sys.exit(main())
