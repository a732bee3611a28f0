"""Trees of numbers, added up and subtracted; the ends of buckets."""

from __future__ import annotations

import pytest

from wsgi_bridge.figures.buckets import BUCKETS, PER_SECOND, bucket_end
from wsgi_bridge.figures.trees import add, subtract


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 2}, {"a": 3}),
        ({"a": 1}, {"b": 2.5}, {"a": 1, "b": 2.5}),
        ({"row": [1, 2]}, {"row": [1, 0, 5]}, {"row": [2, 2, 5]}),
        ({"row": [1, 2]}, {}, {"row": [1, 2]}),
        ({"in": {"a": 1}}, {"in": {"b": 1}}, {"in": {"a": 1, "b": 1}}),
        ({"in": {"x_max_age": 4}}, {"in": {"x_max_age": 3}}, {"in": {"x_max_age": 4}}),
    ],
)
def test_trees_are_added_number_by_number(one, other, together):
    assert add(one, other) == together
    assert add(other, one) == together


def test_what_was_added_can_be_taken_away_again():
    one = {"a": 5, "row": [1, 2, 3], "in": {"b": {"c": 7}}}
    other = {"a": 2, "row": [1, 1], "in": {"b": {"c": 3}}}
    assert subtract(add(one, other), other) == one


def test_adding_leaves_both_as_they_are():
    one, other = {"in": {"a": 1}, "row": [1]}, {"in": {"a": 1}, "row": [1]}
    add(one, other)
    assert one == other == {"in": {"a": 1}, "row": [1]}


@pytest.mark.parametrize("seconds", [0.0, 0.0002, 0.0003, 0.004, 0.9, 30.0, 86400.0])
def test_a_duration_is_under_the_end_of_its_bucket_and_not_under_half_of_it(seconds):
    number = int(seconds * PER_SECOND).bit_length()
    assert number < BUCKETS
    assert seconds < bucket_end(number)
    assert number == 0 or seconds >= bucket_end(number) / 2
