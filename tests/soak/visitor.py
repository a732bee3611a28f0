"""A visitor: what each kind of visit is given, and what it may raise."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.soak.ledger import Failure, Ledger
from tests.soak.wire import WrongAnswerError

__all__ = ["ClosedSocketError", "Kind", "Visit", "Visitor", "expect"]


#: Seconds that a visit may take: far more than it should, on a machine that is busy otherwise. How
#: long pages take is in the report.
PATIENCE = 90.0


class ClosedSocketError(Exception):
    """The server closed a WebSocket; `code` is the close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".strip())
        self.code = code


@dataclass
class Visitor:
    """Where the site is, chance, and the ledger."""

    port: int
    ledger: Ledger
    chance: random.Random
    kind: str = ""
    #: When all was well for certain: what fails has failed since. Moved on by visits that are long.
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Say that all is well until now."""
        self.began = time.monotonic()

    def note(self, what: str) -> None:
        """Count something that is neither a visit nor a failure."""
        self.ledger.notes[what] += 1

    def report(self, exc: Exception) -> None:
        """Enter a failure in the ledger."""
        what = f"{type(exc).__name__}: {exc}"
        code = exc.code if isinstance(exc, ClosedSocketError) else 0
        failure = Failure(self.kind, self.began, time.monotonic(), what, code)
        self.ledger.failures.append(failure)


Visit = Callable[[Visitor], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of visit: how many visitors, their pause, and the longest that one may take (s)."""

    name: str
    visit: Visit
    visitors: int
    pause: float
    patience: float = PATIENCE


def expect(found: object, wanted: object) -> None:
    """Raise WrongAnswerError unless both are the same."""
    if found != wanted:
        raise WrongAnswerError(f"{found!r:.80} in place of {wanted!r:.80}")
