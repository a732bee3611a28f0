"""The command line: ``python -m tests.fuzz``."""

from __future__ import annotations

import argparse
import logging
import time
import traceback

from tests.fuzz import corpus, live
from tests.fuzz.target import Found, Target
from tests.fuzz.targets import TARGETS

# The last one has a real server.
NAMES = (*TARGETS, live.NAME)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Try made-up input, elsewhere in each run. What is not treated right is "
        "written to tests/fuzz/corpus, where it is a test from then on; the exit status is 1 then.",
    )
    option = parser.add_argument
    option("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)} (all)")
    option("--seconds", type=float, default=60.0, help="for each target (60)")
    option("--seed", type=int, help="to do the same again as a run that said it")
    return parser


def fuzz(target: Target, seed: int, seconds: float) -> bool:
    """Try a target and say what came of it; whether nothing was found."""
    try:
        number = target.try_new(seed, seconds)
    except Found as found:
        traceback.print_exception(found.__cause__)
        print(f"{target.name}: {found.value!r} is kept in {corpus.keep(target.name, found.value)}")
        return False
    print(f"{target.name:12} {number:8} inputs, nothing found", flush=True)
    return True


def fuzz_by_name(name: str, seed: int, seconds: float) -> bool:
    """Do as `fuzz`, with a server if there has to be one."""
    if name != live.NAME:
        return fuzz(TARGETS[name], seed, seconds)
    with live.attacked() as target:
        return fuzz(target, seed, seconds)


def main() -> int:
    """Run, print, and return the exit status."""
    parser = make_parser()
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(NAMES)
    if unknown:
        parser.error(f"no targets: {', '.join(sorted(unknown))}")
    seed = asked.seed if asked.seed is not None else int(time.time())
    print(f"--seed {seed}", flush=True)
    logging.getLogger().addHandler(logging.NullHandler())  # refusals are no news
    found_nothing = [fuzz_by_name(name, seed, asked.seconds) for name in asked.targets or NAMES]
    return int(not all(found_nothing))


if __name__ == "__main__":
    raise SystemExit(main())
