"""What a route allows its consumer: time, retries, frames at once.

Checked when the table is made, so that a mistake stops the site when it starts and not a message
later.
"""

from __future__ import annotations

from dataclasses import dataclass

from wsgi_bridge.exceptions import RoutingError
from wsgi_bridge.messages import MAX_WINDOW

__all__ = ["BACKOFF", "ON_ERROR", "RETRIES", "Limits"]

#: What a route does with its socket when the consumer raises: close it with 1011, or go on.
ON_ERROR = ("close", "continue")

#: How often a message comes again whose consumer raises ConsumeLater; with BACKOFF, over a minute.
RETRIES = 5
#: Seconds before it comes again for the first time; each time twice as many.
BACKOFF = 2.0


@dataclass(frozen=True)
class Limits:
    """What a route allows its consumer; see `route`. Raise RoutingError for what cannot be."""

    on_error: str = "close"
    timeout: float | None = None
    retries: int = RETRIES
    backoff: float = BACKOFF
    window: int = 1

    def __post_init__(self) -> None:
        if self.on_error not in ON_ERROR:
            raise RoutingError(f"on_error: {self.on_error!r}; expected one of {ON_ERROR}")
        if self.timeout is not None and not _is_positive(self.timeout):
            raise RoutingError(f"timeout: {self.timeout!r}; expected seconds above 0, or None")
        if type(self.retries) is not int or self.retries < 0:
            raise RoutingError(f"retries: {self.retries!r}; expected a number, 0 or more")
        if not _is_positive(self.backoff):
            raise RoutingError(f"backoff: {self.backoff!r}; expected seconds above 0")
        if type(self.window) is not int or not 1 <= self.window <= MAX_WINDOW:
            raise RoutingError(f"window: {self.window!r}; expected frames, 1 to {MAX_WINDOW}")


def _is_positive(value: object) -> bool:
    return isinstance(value, (int, float)) and value > 0
