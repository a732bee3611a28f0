"""What processes publish: found, added up, kept when they end, gone when they are killed."""

from __future__ import annotations

import threading

import pytest

from tests.wsgi_bridge.test_threads import LONG, wait_for
from tests.wsgi_bridge.worker_loop import Clock
from wsgi_bridge import open_layer
from wsgi_bridge.figures import DEAD_REPORTS, FiguresReporter, load_figures
from wsgi_bridge.figures.ledger import RENEW_EVERY, TTL, Ledger
from wsgi_bridge.figures.trees import Taken

SOON = 0.02
EVERY = 2.0
DEAD_AFTER = DEAD_REPORTS * EVERY


class Process:
    """What a process counts, and what publishes that."""

    def __init__(self, layer, count=0, **options):
        self.count = count
        self.open = 1
        options = {"role": "both", "every": EVERY} | options
        self.reporter = FiguresReporter(layer, self.take, **options)

    def take(self):
        answers = {"2": [0, self.count]}
        return Taken({"requests_count": self.count, "answers": answers}, {"connections": self.open})

    def report(self):
        self.reporter.report()
        return self


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def layer(tmp_path, clock):
    """A layer whose clock the test moves."""
    layer = open_layer(f"ipc://{tmp_path}/layer", clock=clock)
    yield layer
    layer.close()


def total(layer):
    return load_figures(layer).counts.get("requests_count", 0)


def test_what_processes_publish_is_added_up(new_layer):
    first, second = new_layer(), new_layer()
    Process(first, 3).report()
    Process(second, 4).report()
    figures = load_figures(first)
    assert figures.counts == {"requests_count": 7, "answers": {"2": [0, 7]}}
    assert figures.gauges == {"connections": 2}
    assert [each.counts["requests_count"] for each in figures.processes] == [3, 4]
    assert {each.role for each in figures.processes} == {"both"}
    assert (figures.starts, figures.losses) == (2, 0)


def test_a_report_is_replaced_by_the_next(new_layer):
    layer = new_layer()
    process = Process(layer, 3).report()
    process.count, process.open = 5, 0
    process.report()
    figures = load_figures(layer)
    assert (figures.counts["requests_count"], figures.gauges["connections"]) == (5, 0)
    assert figures.starts == 1


def test_what_a_process_has_counted_stays_when_it_ends(new_layer):
    layer = new_layer()
    threaded = Process(layer, 3, every=SOON)
    threaded.reporter.start()
    wait_for(lambda: total(layer) == 3)
    threaded.count = 4  # since its last report
    threaded.reporter.stop(LONG)
    figures = load_figures(layer)
    assert (figures.processes, figures.gauges) == ([], {})
    assert figures.counts["requests_count"] == 4
    assert (figures.starts, figures.losses) == (1, 0)


def test_what_a_killed_process_has_counted_stays_and_its_gauges_vanish(layer, clock):
    Process(layer, 3).report()
    alive = Process(layer, 4).report()
    clock.now += DEAD_AFTER + 1
    assert load_figures(layer).gauges == {}
    alive.report()
    figures = load_figures(layer)
    assert figures.counts["requests_count"] == 7
    assert figures.gauges == {"connections": 1}
    assert (figures.starts, figures.losses) == (2, 1)


def test_all_who_were_killed_are_found_one_after_the_other(layer, clock):
    for _ in range(5):
        Process(layer, 1).report()
    clock.now += DEAD_AFTER + 1
    alive = Process(layer)
    for _ in range(5):
        alive.report()
    assert load_figures(layer).losses == 5
    assert total(layer) == 5
    assert Ledger(layer).read().names == [alive.reporter.name]


def test_who_was_taken_for_dead_is_counted_once(layer, clock):
    slow = Process(layer, 3).report()
    alive = Process(layer, 4).report()
    clock.now += DEAD_AFTER + 1
    alive.report()
    assert total(layer) == 7
    slow.count = 5
    slow.report()
    figures = load_figures(layer)
    assert figures.counts == {"requests_count": 9, "answers": {"2": [0, 9]}}
    assert len(figures.processes) == 2
    slow.count = 6
    slow.report()
    assert total(layer) == 10


def test_who_was_taken_for_dead_and_ends_leaves_what_it_has_counted_since(layer, clock):
    slow = Process(layer, 3).report()
    alive = Process(layer, 4).report()
    clock.now += DEAD_AFTER + 1
    alive.report()
    slow.count = 5
    slow.reporter._leave()
    assert total(layer) == 9
    assert len(load_figures(layer).processes) == 1


def test_who_publishes_while_it_is_taken_for_dead_is_not(layer, clock, monkeypatch):
    slow = Process(layer, 3).report()
    alive = Process(layer, 4).report()
    clock.now += DEAD_AFTER + 1
    slow.count = 5
    seal = Ledger._seal

    def publish_first(ledger, *arguments):
        monkeypatch.undo()
        slow.report()
        return seal(ledger, *arguments)

    monkeypatch.setattr(Ledger, "_seal", publish_first)
    alive.report()
    figures = load_figures(layer)
    assert figures.counts["requests_count"] == 9
    assert (len(figures.processes), figures.losses) == (2, 0)


def test_a_burial_that_was_not_finished_is_finished_by_another(layer, clock, monkeypatch):
    slow = Process(layer, 3).report()
    digger = Process(layer, 4).report()
    clock.now += DEAD_AFTER + 1
    monkeypatch.setattr(Ledger, "leave", lambda *_, **__: None)
    digger.report()
    monkeypatch.undo()
    assert total(layer) == 7
    slow.count = 5
    slow.report()
    assert total(layer) == 9
    other = Process(layer)
    for _ in range(3):
        digger.report()
        other.report()
    figures = load_figures(layer)
    assert figures.counts["requests_count"] == 9
    assert (len(figures.processes), figures.losses) == (3, 1)


def test_a_layer_that_was_emptied_is_published_to_again(new_layer):
    layer = new_layer()
    process = Process(layer, 3).report()
    layer.flush()
    assert load_figures(layer).processes == []
    process.report()
    assert total(layer) == 3


def test_processes_that_start_together_are_all_counted(new_layer):
    processes = [Process(new_layer(), 1) for _ in range(8)]
    together = threading.Barrier(len(processes))

    def report(process):
        together.wait(LONG)
        process.report()

    threads = [threading.Thread(target=report, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert total(new_layer()) == len(processes)


def test_counts_never_fall_while_processes_come_and_go(new_layer):
    watched, layer = new_layer(), new_layer()
    is_over = threading.Event()

    def come_and_go():
        for _ in range(20):
            process = Process(layer, 1, every=SOON)
            process.reporter.start()
            process.reporter.stop(LONG)
        is_over.set()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    seen = [total(watched)]
    while not is_over.wait(0.001):
        seen.append(total(watched))
    thread.join(LONG)
    assert seen == sorted(seen)
    assert total(watched) == 20


def test_the_total_outlives_a_long_quiet(layer, clock):
    process = Process(layer, 3).report()
    Process(layer, 4).report()
    for _ in range(int(2 * TTL / RENEW_EVERY)):
        clock.now += RENEW_EVERY + 1
        process.report()
    assert total(layer) == 7
    assert Ledger(layer).read().names == [process.reporter.name]


def test_who_asks_is_told_of_all_processes_as_of_now(new_layer):
    layer = new_layer()
    Process(new_layer(), 4).report()
    process = Process(layer, 1, every=LONG)
    process.reporter.start()
    wait_for(lambda: total(layer) == 5)
    process.count = 3
    told = []
    process.reporter.ask(told.append)
    wait_for(lambda: told)
    assert told[0].counts["requests_count"] == 7
    process.reporter.stop(LONG)


def test_who_asks_is_told_that_the_layer_is_not_there(new_layer):
    layer = new_layer()
    process = Process(layer, 1)
    layer.close()
    told = []
    process.reporter.ask(told.append)
    process.reporter.start()
    wait_for(lambda: told)
    assert told == [None]
    assert not process.reporter.has_layer()
    process.reporter.stop(LONG)


def test_what_is_not_shared_is_published_elsewhere(new_layer):
    own, other = open_layer("memory://"), new_layer()
    Process(own, 3, other=other).report()
    assert total(other) == 3


def test_who_has_nowhere_to_publish_tells_of_itself():
    process = Process(open_layer("memory://"), 3).report()
    figures = process.reporter.load()
    assert figures.counts["requests_count"] == 3
    assert [each.gauges for each in figures.processes] == [{"connections": 1}]


def test_a_layer_nobody_publishes_on_has_no_figures():
    assert load_figures(open_layer("memory://")).processes == []
