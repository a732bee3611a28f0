"""Answers: how many requests were answered, with which kind of status, after how long."""

from __future__ import annotations

from wsgi_bridge.figures.buckets import BUCKETS

__all__ = ["Answers"]


class Answers:
    """A histogram of durations for each first digit of a status; 0 where there was none.

    Who has finished a request writes it out, since it is on the way of every one:

        answers.rows[status // 100][int(seconds * PER_SECOND).bit_length()] += 1
        answers.seconds += seconds
    """

    __slots__ = ("rows", "seconds")

    def __init__(self) -> None:
        self.rows = [[0] * BUCKETS for _ in range(10)]
        self.seconds = 0.0

    def histograms(self) -> dict[str, list[int]]:
        """Return the histogram of each first digit that there was, without what follows its end."""
        return {str(digit): _cut(row) for digit, row in enumerate(self.rows) if any(row)}


def _cut(row: list[int]) -> list[int]:
    last = max(at for at, number in enumerate(row) if number)
    return row[: last + 1]
