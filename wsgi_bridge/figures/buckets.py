"""Buckets for durations that double from one to the next: finding one costs no logarithm.

    row[int(seconds * PER_SECOND).bit_length()] += 1

counts a duration; it is on the way of every request, and allocates nothing that stays. A histogram
of a factor of two is what Prometheus's quantiles interpolate in.
"""

from __future__ import annotations

__all__ = ["BUCKETS", "PER_SECOND", "bucket_end"]

#: What the first bucket ends at, and each next at twice that: 0.25 ms.
PER_SECOND = 4000
#: As many buckets: the last ends after a thousand years, so that none need be looked for.
BUCKETS = 48


def bucket_end(number: int) -> float:
    """Return the seconds that bucket `number` ends at; it begins at half of that, the first at 0.

    >>> [bucket_end(n) for n in range(4)]
    [0.00025, 0.0005, 0.001, 0.002]
    """
    return float(2**number / PER_SECOND)
