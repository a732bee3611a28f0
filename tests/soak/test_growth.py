"""What counts as growth."""

from __future__ import annotations

import random

import pytest

from tests.soak.growth import compare, find_growth
from tests.soak.ledger import KILL, RELOAD, Mark
from tests.soak.plan import Plan
from tests.soak.samples import Sample

LAYER = dict.fromkeys(("messages that wait", "groups", "entries", "pages", "files"), 1.0)
PLAN = Plan(seconds=100, calm=20, settle=10, youth=10, hup_every=20, bound=1000)


def process(memory: float = 10_000, **figures: float) -> dict[str, float]:
    return {"memory": memory, "files": 5, "threads": 1, "sockets": 2, **figures}


def samples(of, seconds=120):
    """Return a sample a second of `of`, which tells what the processes hold by that time."""
    found = []
    for at in range(seconds):
        processes = of(at)
        roles = dict.fromkeys(processes, "Worker") | {1: "Master"}
        found.append(Sample(float(at), processes, roles, LAYER))
    return found


def steady(at, **figures):
    """A master, and two workers that are replaced every 20 seconds for 100."""
    born = min(at, 99) // 20
    return {1: process(**figures), 2 + 2 * born: process(), 3 + 2 * born: process()}


def grown(found) -> set[tuple[str, str]]:
    return {(each.who, each.figure) for each in found if each.has_grown}


def judge(of, marks=(), plan=PLAN):
    return find_growth(samples(of), marks, plan, 0.0)


def test_a_site_that_stays_as_it_is_has_not_grown():
    found = judge(steady)
    judged = {"the site", "the layer", "Master 1", "Worker 10", "Worker 11"}
    assert {each.who for each in found} == judged
    assert not grown(found)


def test_what_outlives_the_workers_is_found():
    assert grown(judge(lambda at: steady(at, memory=10_000 + 100 * at))) == {
        ("the site", "memory"),
        ("Master 1", "memory"),
    }


def test_what_a_reload_would_hide_is_found_in_those_who_become_old():
    def leaking(at):
        born = min(at, 99) // 20
        age = at - 20 * born
        return {1: process(), 2: process(), 3 + born: process(files=5 + age)}

    assert grown(judge(leaking)) == {("Worker 7", "files")}


def test_a_worker_is_left_alone_in_its_youth():
    def growing_up(at):
        born = min(at, 99) // 20
        age = at - 20 * born
        return {1: process(), 2: process(), 3 + born: process(10_000 + 1000 * min(age, 10))}

    assert not grown(judge(growing_up))


def test_what_drains_does_not_count():
    """For some seconds after each reload there are the workers before as well."""
    marks = [Mark(float(at), RELOAD) for at in range(20, 100, 20)]

    def draining(at):
        processes = steady(at)
        if 80 <= at < 85:
            processes |= {100: process(10**6), 101: process(10**6)}
        return processes

    assert not grown(judge(draining, marks))


def test_a_kill_does_not_count():
    marks = [Mark(95.0, KILL)]

    def killed(at):
        return steady(at, memory=10**6 if 95 <= at < 100 else 10_000)

    assert not grown(judge(killed, marks))


def test_the_first_minutes_do_not_count():
    assert not grown(judge(lambda at: steady(at, memory=10_000 + 5000 * min(at, 10))))


def test_the_layer_is_compared():
    found = samples(steady)
    full = [Sample(s.at, s.processes, s.roles, {**LAYER, "entries": 50 * s.at}) for s in found]
    assert grown(find_growth(full, (), PLAN, 0.0)) == {("the layer", "entries")}


def test_too_few_samples_show_nothing():
    assert find_growth(samples(steady, seconds=15), (), PLAN, 0.0) == []


@pytest.mark.parametrize(
    ("values", "is_growth"),
    [
        ([100 + at for at in range(100)], True),
        ([100 + 0.1 * at for at in range(100)], False),
        ([100] * 50 + [160] * 50, True),
        # One burst, however high.
        ([100] * 80 + [9999] * 10 + [100] * 10, False),
        ([100 + random.Random(at).random() * 40 for at in range(100)], False),
        ([100 - at for at in range(100)], False),
    ],
)
def test_medians_of_quarters_are_compared(values, is_growth):
    assert compare("who", "figure", values, 20, 0.0).has_grown is is_growth


def test_the_larger_of_bound_and_part_counts():
    assert not compare("who", "figure", [100.0, 100, 100, 140], 20, 0.5).has_grown
    assert compare("who", "figure", [100.0, 100, 100, 140], 20, 0.1).has_grown


def test_a_worker_is_young_when_it_has_loaded_the_site():
    """Until then it has said nothing of itself."""

    def starting(at):
        return {1: process(), 2: process(), 3: process(sockets=2 + 50 * (at >= 40))}

    found = [
        Sample(s.at, s.processes, {1: "Master", 2: "Worker", 3: "Worker" if s.at >= 35 else "new"},
               LAYER)
        for s in samples(starting)
    ]  # fmt: skip
    assert ("Worker 3", "sockets") not in grown(find_growth(found, (), PLAN, 0.0))
