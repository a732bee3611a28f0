"""How fast processes count: what each has counted from one of its reports to the next.

Not from one look to the next: a look may find one report twice, or none new, and rates would jump
between nothing and double. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from wsgi_bridge.figures import ProcessFigures, bucket_end
from wsgi_bridge.figures.trees import Tree, subtract

__all__ = ["Change", "Rates", "add_rows", "percentile_of_row"]


@dataclass(frozen=True)
class Change:
    """What a process has counted in some seconds."""

    seconds: float
    counts: Tree

    def rate(self, *names: str) -> float:
        """Return the sum of some counts, a second."""
        return float(sum(self.counts.get(name, 0) for name in names)) / self.seconds

    def answers(self, digits: str = "0123456789") -> list[int]:
        """Return the histogram of the requests whose status has one of these first digits."""
        rows: dict[str, list[int]] = self.counts.get("answers", {})
        return add_rows(row for digit, row in rows.items() if digit in digits)


class Rates:
    """The latest change of each process that there is now."""

    def __init__(self) -> None:
        self._latest: dict[str, ProcessFigures] = {}
        self._changes: dict[str, Change] = {}

    def take(self, processes: Iterable[ProcessFigures]) -> None:
        """Take note of what processes have published."""
        before, self._latest = self._latest, {each.name: each for each in processes}
        for name, process in self._latest.items():
            earlier = before.get(name)
            if earlier is not None and process.reported > earlier.reported:
                seconds = process.reported - earlier.reported
                self._changes[name] = Change(seconds, subtract(process.counts, earlier.counts))
        for name in self._changes.keys() - self._latest.keys():
            del self._changes[name]

    def has_all(self, names: Iterable[str]) -> bool:
        """Whether each of these processes has a change, as far as it still lives."""
        return all(name in self._changes for name in names if name in self._latest)

    def of(self, process: ProcessFigures) -> Change | None:
        """Return the latest change of a process, None before its second report."""
        return self._changes.get(process.name)

    def all(self) -> list[Change]:
        """Return the latest changes of all processes."""
        return list(self._changes.values())


def add_rows(rows: Iterable[Sequence[int]]) -> list[int]:
    """Return histograms together; their buckets are those of `wsgi_bridge.figures`."""
    return [sum(numbers) for numbers in zip_longest(*rows, fillvalue=0)]


def percentile_of_row(row: Sequence[int], part: float) -> float | None:
    """Return the seconds that ``part`` of the durations did not exceed; None if there are none.

    Within a bucket durations are taken to be spread evenly, as Prometheus takes them.
    """
    rank = part * sum(row)
    for number, count in enumerate(row):
        if count and rank <= count:
            end = bucket_end(number)
            start = bucket_end(number - 1) if number else 0.0
            return start + (end - start) * rank / count
        rank -= count
    return None
