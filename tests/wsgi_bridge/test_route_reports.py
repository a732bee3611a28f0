"""What all processes count of each route: reported, found, added up, gone with its process."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from tests.wsgi_bridge.test_threads import LONG, wait_for
from tests.wsgi_bridge.worker_loop import Clock, Loop, answers, failing
from wsgi_bridge import Bridge, open_layer, route
from wsgi_bridge.histogram import make_histogram, percentile_of
from wsgi_bridge.layers.concurrency import is_cooperative
from wsgi_bridge.route_reports import INDEX, REPORT_TTL, load_snapshots, merge
from wsgi_bridge.route_statistics import percentile
from wsgi_bridge.threads import ThreadWorker
from wsgi_bridge.worker import Worker


def work(message):
    """Do as the message says."""
    if message.get("fails"):
        raise ValueError


@pytest.fixture(scope="module")
def redis_server():
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["ipc", "redis"])
def new_layer(request, tmp_path):
    """Return a function that opens one layer as another process would."""
    if request.param == "ipc":
        url = f"ipc://{tmp_path}/layer"
    else:
        server = request.getfixturevalue("redis_server")
        url = f"redis://127.0.0.1:{server.port}?prefix={tmp_path.name}"
    opened = []

    def new_layer(**options):
        opened.append(open_layer(url, **options))
        return opened[-1]

    yield new_layer
    for layer in opened:
        layer.close()


def make_worker(layer):
    bridge = Bridge(answers("200 OK"), [route("jobs", work)], layer=layer)
    return Worker(bridge, layer, lambda call: call)


def make_process(layer, *jobs):
    """Return the worker of a process that has handled these jobs and reported it."""
    worker = make_worker(layer)
    for job in jobs:
        worker.run("jobs", job)
    worker.reporter.report()
    return worker


ROUTE = {"count": 1, "errors": 0, "timeouts": 0, "retries": 0, "in_flight": 0, "times": [[1, 1]],
         "channels": ["a"]}  # fmt: skip


def job_of(figures):
    [found] = [each for name, each in figures.items() if name != "site"]
    return found


@pytest.mark.parametrize(
    "report",
    [{}, {"routes": []}, {"routes": {"a": {}}}, {"routes": {"a": {**ROUTE, "count": None}}},
     {"routes": {"a": {**ROUTE, "times": [[10**6, 1]]}}},
     {"routes": {"a": {**ROUTE, "channels": ["not one"]}}}],
)  # fmt: skip
def test_what_is_no_report_is_left_out(new_layer, report):
    layer = new_layer()
    make_process(layer, {})
    layer.storage.save(f"{INDEX}.other", report, ttl=60)
    names, _ = layer.storage.load(INDEX)
    layer.storage.save(INDEX, {"names": [*names["names"], "other", 7, ""]}, ttl=60)
    assert job_of(merge(load_snapshots(layer), layer))["processes"] == 1


def test_an_index_that_is_none_is_made_again(new_layer):
    layer = new_layer()
    layer.storage.save(INDEX, {"names": 7}, ttl=60)
    make_process(layer, {})
    assert job_of(merge(load_snapshots(layer), layer))["count"] == 1


def test_what_processes_have_counted_is_added_up(new_layer):
    first, second = new_layer(), new_layer()
    make_process(first, {}, {"fails": True})
    worker = make_process(second, {}, {}, {})
    for found in (worker.all_statistics(), merge(load_snapshots(first), first)):
        job = job_of(found)
        assert (job["count"], job["errors"], job["in_flight"], job["processes"]) == (5, 1, 0, 2)
        assert 0 < job["run_time_p50"] <= job["run_time_p99"] < 1
        assert found["site"]["count"] == 0


def test_ones_own_figures_are_those_of_now(new_layer):
    worker = make_process(new_layer(), {})
    worker.run("jobs", {})
    assert job_of(worker.all_statistics())["count"] == 2
    assert job_of(worker.bridge.statistics()["all_routes"])["count"] == 2


def test_how_long_messages_wait_is_asked_of_the_layer(tmp_path):
    clock = Clock()
    layer = open_layer(f"ipc://{tmp_path}/layer", clock=clock)
    make_process(layer, {})
    layer.send("jobs", {})
    clock.now += 7
    assert job_of(merge(load_snapshots(layer), layer))["queue_age"] == pytest.approx(7, abs=0.1)
    layer.close()


def test_nothing_is_written_unless_something_was_counted(new_layer):
    layer = new_layer()
    worker = make_process(layer, {})
    version = layer.storage.load(f"{INDEX}.{worker.reporter.name}").version
    worker.reporter.report()
    assert layer.storage.load(f"{INDEX}.{worker.reporter.name}").version == version
    worker.run("jobs", {})
    worker.reporter.report()
    assert layer.storage.load(f"{INDEX}.{worker.reporter.name}").version > version


def test_a_process_that_has_died_is_in_the_figures_for_a_while_only(tmp_path):
    clock = Clock()
    layer = open_layer(f"ipc://{tmp_path}/layer", clock=clock)
    dead = make_process(layer, {})
    clock.now += REPORT_TTL - 1
    alive = make_process(layer, {})
    assert job_of(alive.all_statistics())["count"] == 2
    clock.now += 1
    assert job_of(alive.all_statistics())["count"] == 1
    later = make_process(layer, {})
    names = layer.storage.load(INDEX).value["names"]
    assert names == [alive.reporter.name, later.reporter.name]
    assert dead.reporter.name not in names
    layer.close()


def test_who_is_not_in_the_index_any_more_joins_again(new_layer):
    layer = new_layer()
    worker = make_process(layer, {})
    layer.flush()
    assert load_snapshots(layer) == []
    worker.run("jobs", {})
    worker.reporter.report()
    assert job_of(load_snapshots(layer)[0])["count"] == 2


def test_processes_that_start_together_are_all_found(new_layer):
    workers = [make_process(new_layer()) for _ in range(8)]
    workers[0].layer.flush()
    together = threading.Barrier(len(workers))

    def report(worker):
        together.wait(LONG)
        worker.run("jobs", {})
        worker.reporter.report()

    threads = [threading.Thread(target=report, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert job_of(workers[0].all_statistics())["processes"] == len(workers)


def test_threads_report_while_they_run_and_withdraw_when_they_stop(new_layer):
    layer, other = new_layer(), new_layer()
    threads = ThreadWorker(make_worker(layer), layer, threads=2)
    threads.start()
    wait_for(lambda: load_snapshots(other))
    threads.stop()
    assert threads.join(LONG)
    wait_for(lambda: not load_snapshots(other))


def test_a_worker_of_greenlets_reports_while_it_runs(new_layer):
    if is_cooperative():
        pytest.skip("the loop of this test is run by hand")
    loop = Loop([route("jobs", work)], layer=new_layer())
    other = new_layer()
    wait_for(lambda: load_snapshots(other))
    loop.worker.stop()
    wait_for(lambda: not load_snapshots(other))


def test_in_memory_the_figures_are_those_of_the_process():
    loop = Loop([route("jobs", failing(ValueError()))])
    loop.send("jobs")
    statistics = loop.bridge.statistics()
    assert job_of(statistics["all_routes"])["errors"] == job_of(statistics["routes"])["errors"] == 1
    assert load_snapshots(loop.layer) == []


# Histograms


@pytest.mark.parametrize("part", [0.5, 0.99])
@pytest.mark.parametrize("scale", [1e-6, 1e-4, 0.02, 3.0, 1000.0])
def test_a_percentile_of_added_histograms_is_that_of_all_times(part, scale):
    dice = random.Random(7)
    times = [[dice.lognormvariate(0, 1) * scale for _ in range(700)] for _ in range(3)]
    together = sum((make_histogram(each) for each in times), make_histogram([]))
    exact = percentile(sorted(itertools.chain(*times)), part)
    assert max(exact, 1e-6) <= percentile_of(together, part) * 1.000001
    assert percentile_of(together, part) <= max(exact, 1e-6) * 1.06


def test_a_histogram_of_nothing_has_no_percentile():
    assert percentile_of(make_histogram([]), 0.5) == 0.0
    assert percentile_of(make_histogram([0.0]), 0.5) == pytest.approx(1e-6)
