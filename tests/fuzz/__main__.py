"""The command line: ``python -m tests.fuzz``."""

from __future__ import annotations

import argparse
import time
import traceback

from tests.fuzz import corpus
from tests.fuzz.target import Found, Target
from tests.fuzz.targets import TARGETS


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Try made-up input, elsewhere in each run. What is not treated right is "
        "written to tests/fuzz/corpus, where it is a test from then on; the exit status is 1 then.",
    )
    option = parser.add_argument
    option("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (all)")
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


def main() -> int:
    """Run, print, and return the exit status."""
    parser = make_parser()
    asked = parser.parse_args()
    unknown = set(asked.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no targets: {', '.join(sorted(unknown))}")
    seed = asked.seed if asked.seed is not None else int(time.time())
    print(f"--seed {seed}", flush=True)
    chosen = [TARGETS[name] for name in asked.targets or TARGETS]
    found_nothing = [fuzz(target, seed, asked.seconds) for target in chosen]
    return int(not all(found_nothing))


if __name__ == "__main__":
    raise SystemExit(main())
