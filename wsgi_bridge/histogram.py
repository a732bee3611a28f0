"""Histograms of run times, with buckets that are the same everywhere: they can be added up.

A percentile of several processes does not follow from theirs. Buckets grow by a twelfth of an
octave, 6 %: that is how exact a percentile is, at any scale.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

__all__ = ["Histogram", "make_histogram", "percentile_of"]

#: Buckets for each doubling.
_PER_OCTAVE = 12
#: Seconds that the first bucket ends at: no run is as short.
_LEAST = 1e-6

#: How many times there are in each bucket that has any.
Histogram = Counter[int]


def make_histogram(times: Iterable[float]) -> Histogram:
    """Return the histogram of some times, in seconds."""
    log2, ceil = math.log2, math.ceil
    return Counter(ceil(_PER_OCTAVE * log2(max(time, _LEAST) / _LEAST)) for time in times)


def percentile_of(histogram: Histogram, part: float) -> float:
    """Return the end of the bucket of the time that ``part`` of all times did not exceed."""
    rank = max(1, math.ceil(part * histogram.total()))
    for bucket in sorted(histogram):
        rank -= histogram[bucket]
        if rank <= 0:
            return float(_LEAST * 2.0 ** (bucket / _PER_OCTAVE))
    return 0.0
