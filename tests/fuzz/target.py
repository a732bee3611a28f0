"""Target: a kind of input, and what must hold for every one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.faults import revealed

# Examples between two looks at the clock.
BATCH = 200
NO_SHRINKING = (Phase.explicit, Phase.generate)
SHRINKING = (*NO_SHRINKING, Phase.shrink)


class Found(Exception):
    """A check has failed; `value` is the smallest input for which it does."""

    def __init__(self, value: Any) -> None:
        super().__init__(repr(value))
        self.value = value


@dataclass(frozen=True)
class Target:
    """`check` raises for an input that is not treated right. Inputs are literals of Python.

    `examples` is how many are tried in each run of the tests: a few seconds' worth.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], None]
    examples: int
    known: Sequence[Any] = ()  # that are tried before

    def try_known(self) -> None:
        """Try the inputs of `make test`, the same each time."""
        for value in self.known:
            with revealed():
                self.check(value)
        self._try(settings(derandomize=True, max_examples=self.examples))

    def try_new(self, start: int, seconds: float) -> int:
        """Try others until the time is over; return how many."""
        ends = time.monotonic() + seconds
        number = 0
        while time.monotonic() < ends:
            self._try(settings(max_examples=BATCH), start + number)
            number += BATCH
        return number

    def _try(self, chosen: settings, start: int | None = None) -> None:
        last: list[Any] = [None]

        def attempt(value: Any) -> None:
            last[0] = value
            with revealed():
                self.check(value)

        attempt = settings(
            chosen, database=None, deadline=None, phases=SHRINKING, print_blob=False,
            report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
        )(given(self.inputs)(attempt))  # fmt: skip
        if start is not None:
            attempt = seed(start)(attempt)
        try:
            attempt()  # type: ignore[call-arg]
        except Exception as exc:
            # The smallest one is tried last.
            raise Found(last[0]) from exc
