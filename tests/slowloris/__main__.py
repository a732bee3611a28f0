"""The command line: ``python -m tests.slowloris``."""

from __future__ import annotations

import argparse

from tests.slowloris.attackers import KINDS
from tests.slowloris.run import Outcome, run_attack

# Seconds that 99 of 100 honest requests may take.
BOUND = 0.1
ATTACKERS = {
    "head": "send a byte a second of a head",
    "body": "send a byte a second of a body",
    "read": "read a byte a second of an answer",
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.slowloris",
        description="Attack a worker with slow connections that come back when they are dropped, "
        "and ask on beside them. The exit status is 1 if an honest request failed, or more than 1 "
        "of 100 took longer than 100 ms.",
    )
    option = parser.add_argument
    option("--connections", type=int, default=2000, help="slow ones, a third of each kind (2000)")
    option("--seconds", type=float, default=60.0, help="length of the attack (60)")
    option("--deadline", type=float, default=10.0, help="head_, body_ and write_timeout (10)")
    return parser


def show(outcome: Outcome) -> None:
    """Print the account."""
    for kind in KINDS:
        lives = outcome.lives[kind]
        print(f"{ATTACKERS[kind]:34} {lives.opened:6} opened {lives.dropped:6} dropped, "
              f"the last after {lives.longest:.1f} s")  # fmt: skip
    times = ", ".join(f"p{part * 100:g} {outcome.percentile(part) * 1000:.1f} ms"
                      for part in (0.5, 0.99, 1))  # fmt: skip
    print(
        f"honest requests: {len(outcome.latencies)}, answered {sorted(outcome.statuses)}; {times}"
    )


def main() -> int:
    """Run, print, and return the exit status."""
    asked = make_parser().parse_args()
    outcome = run_attack(connections=asked.connections, seconds=asked.seconds,
                         deadline=asked.deadline, again=True)  # fmt: skip
    show(outcome)
    return int(outcome.statuses != {200} or outcome.percentile(0.99) > BOUND)


if __name__ == "__main__":
    raise SystemExit(main())
