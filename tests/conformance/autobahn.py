"""The Autobahn testsuite's cases against a server, run by kosoku; in a process of their own.

kosoku drives the cases of the original, translated to Python 3. It changes the interpreter that it
runs in (`binascii`, `sys.path`), hence the process:

    python -m tests.conformance.autobahn PORT CONCURRENCY PATTERN... prints a line of JSON a case
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

# Patterns of all cases, and of those that half a minute is enough for: of the compressed messages,
# a thousand in each case, those of 256 and 4096 bytes, and once some in fragments.
GROUPS = (1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13)
ALL = tuple(f"{group}.*" for group in GROUPS)
BOUNDED = (
    *ALL[:-2],
    *("12.*.3", "12.*.5", "13.*.3", "13.*.5", "12.1.11", "13.1.11"),
)
# Cases at once.
CONCURRENCY = 16
GOOD = ("OK", "INFORMATIONAL")


@dataclass(frozen=True)
class Case:
    """How a server did in one case: the words of Autobahn's reports."""

    name: str
    behavior: str
    close: str
    details: str

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong, nor tolerated (`NON-STRICT`)."""
        return self.behavior in GOOD and self.close in GOOD

    @property
    def is_passed(self) -> bool:
        """Whether Autobahn lets it pass."""
        return self.behavior in (*GOOD, "NON-STRICT") and self.close in GOOD

    @property
    def group(self) -> int:
        return int(self.name.partition(".")[0])


def run_cases(
    port: int, patterns: Sequence[str], *, patience: float, concurrency: int = CONCURRENCY
) -> list[Case]:
    """Return how the server on 127.0.0.1 did; raises RuntimeError when it takes too long."""
    command = [sys.executable, "-m", __name__, str(port), str(concurrency), *patterns]
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired as exc:
        raise RuntimeError(f"the Autobahn cases took more than {patience} s") from exc
    cases = [Case(*json.loads(line)) for line in done.stdout.splitlines()]
    if not cases:
        raise RuntimeError(f"the Autobahn cases did not run: {done.stderr.decode()[-2000:]}")
    return cases


async def _run(port: int, concurrency: int, patterns: Sequence[str]) -> list[Case]:
    from kosoku import FailureError, run_fuzzingclient

    try:
        results = await run_fuzzingclient(
            f"127.0.0.1:{port}", list(patterns), None, concurrency=concurrency
        )
    except FailureError as failure:
        results = failure.results
    return [
        Case(each.case_id, each.behavior.value, each.behavior_close.value, f"{each.result} "
             f"{each.result_close}")
        for each in results
    ]  # fmt: skip


def _give_bytes() -> None:
    """Give the compression cases bytes for every message, as Autobahn does.

    kosoku gives them a str when a message came uncompressed, as short ones from us do; of binary
    ones a character for each byte. They cannot hash that.
    """
    from kosoku._caseindex import initialize_shims

    initialize_shims()
    cases = importlib.import_module("case12_x_x")
    for case in (*cases.Case12_X_X, *cases.Case13_X_X):
        case.onMessage = _with_bytes(case.onMessage)


def _with_bytes(on_message):
    def take(self, message, binary):
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        on_message(self, message, binary)

    return take


def main(port: str, concurrency: str, *patterns: str) -> None:
    """Print how the server did."""
    _give_bytes()
    for case in asyncio.run(_run(int(port), int(concurrency), patterns)):
        print(json.dumps([case.name, case.behavior, case.close, case.details]))
    sys.stdout.flush()
    os._exit(0)  # kosoku 0.1.0 aborts when the interpreter ends


if __name__ == "__main__":
    main(*sys.argv[1:])
