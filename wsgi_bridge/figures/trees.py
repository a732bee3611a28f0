"""Trees of numbers: dicts with str keys and lists, inside of each other, and numbers at the ends.

A key, or the rest of a list, that one of two trees lacks counts as nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

__all__ = ["Taken", "Tree", "add", "subtract"]

Tree = dict[str, Any]

# Of these the largest counts, and not the sum: the oldest message of all is that of one.
_MAXIMUM = "_max_age"


class Taken(NamedTuple):
    """What a process has counted, and its gauges; see the package's docstring for the keys."""

    counts: Tree
    gauges: Tree


def add(one: Tree, other: Tree) -> Tree:
    """Return both trees, number by number together; of ages the larger one."""
    return {
        key: _combine(one.get(key), other.get(key), max if key.endswith(_MAXIMUM) else _sum)
        for key in {**one, **other}
    }


def subtract(one: Tree, other: Tree) -> Tree:
    """Return what one tree has more than the other, number by number."""
    return {
        key: _combine(one.get(key), other.get(key), lambda ours, theirs: ours - theirs)
        for key in {**one, **other}
    }


def _sum(one: Any, other: Any) -> Any:
    return one + other


def _combine(one: Any, other: Any, operation: Callable[[Any, Any], Any]) -> Any:
    if isinstance(one, dict) or isinstance(other, dict):
        walk = subtract if operation not in (_sum, max) else add
        return walk(one or {}, other or {})
    if isinstance(one, list) or isinstance(other, list):
        return [operation(*each) for each in zip_longest(one or [], other or [], fillvalue=0)]
    return operation(one or 0, other or 0)
