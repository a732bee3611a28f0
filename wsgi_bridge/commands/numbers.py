"""Numbers of the command line, as `type=` of argparse: each raises what the user is to be told."""

from __future__ import annotations

from argparse import ArgumentTypeError

__all__ = ["count", "positive"]


def positive(text: str) -> float:
    """Return a number above 0, and not without end."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"expected more than 0, not {text}")
    return number


def count(text: str) -> int:
    """Return a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"expected 1 or more, not {text}")
    return number
