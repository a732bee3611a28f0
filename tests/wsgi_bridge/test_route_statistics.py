"""What is counted of each route, and how the figures come about."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.testing.sites import make_site
from tests.wsgi_bridge.worker_loop import RECEIVE, Clock, Loop, Pool, answers, failing
from wsgi_bridge import Bridge, DenyConnection, open_layer, route
from wsgi_bridge.route_statistics import ALL_TIMED, EACH_TIMED, KEPT, RouteStatistics, percentile
from wsgi_bridge.testing import Client


@pytest.mark.parametrize(
    ("times", "part", "expected"),
    [
        ([], 0.5, 0.0),
        ([3.0], 0.5, 3.0),
        ([3.0], 0.99, 3.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
        (list(range(1, 101)), 0.99, 99),
        (list(range(1, 1001)), 0.99, 990),
    ],
)
def test_a_percentile_is_the_time_that_so_many_did_not_exceed(times, part, expected):
    assert percentile(times, part) == expected


def test_a_quiet_route_is_timed_always_and_a_busy_one_now_and_then():
    counted = RouteStatistics("r", ["jobs"])
    timed = []
    for _ in range(ALL_TIMED + 10 * EACH_TIMED):
        counted.begun += 1
        if counted.begun >= counted.next_timed:
            counted.add_time(counted.begun)
            timed.append(counted.begun)
    assert timed[:ALL_TIMED] == list(range(1, ALL_TIMED + 1))
    assert len(timed) == ALL_TIMED + 10
    assert len(counted.times) == KEPT


def test_runs_errors_and_times_are_counted_by_route():
    ticks = iter(range(100))
    site = failing(ValueError())
    loop = Loop([route("jobs", site, path="^/bad$"), route("jobs", lambda message: next(ticks))])
    for _ in range(3):
        loop.send("jobs")
    loop.send("jobs", path="/bad")
    routes = loop.bridge.statistics()["routes"]
    [good] = [figures for name, figures in routes.items() if "<lambda>" in name]
    [bad] = [figures for name, figures in routes.items() if "/bad" in name]
    assert (good["count"], good["errors"], good["in_flight"]) == (3, 0, 0)
    assert (bad["count"], bad["errors"], bad["in_flight"]) == (1, 1, 0)
    assert 0 < good["run_time_p50"] <= good["run_time_p99"]


def test_a_refusal_is_no_error():
    loop = Loop([route("websocket.connect", failing(DenyConnection()))])
    loop.connect()
    [figures] = [each for name, each in loop.worker.statistics().items() if name != "site"]
    assert (figures["count"], figures["errors"]) == (1, 0)


def test_routes_that_read_the_same_are_told_apart():
    routes = [route("jobs", len, path="^/a"), route("jobs", len, path="^/a")]
    assert sorted(Loop(routes).worker.statistics()) == [
        "jobs path='^/a' -> builtins.len",
        "jobs path='^/a' -> builtins.len #2",
        "site",
    ]


def test_what_runs_now_is_in_flight():
    seen = []
    loop = Loop([route("jobs", lambda message: seen.append(loop.worker.statistics()))])
    loop.send("jobs")
    [figures] = [each for name, each in seen[0].items() if name != "site"]
    assert figures["in_flight"] == 1


def test_the_queue_age_is_that_of_the_oldest_message_that_waits():
    clock = Clock()
    layer = open_layer("memory://", clock=clock)
    loop = Loop([route("jobs", len), route(RECEIVE, len)], layer=layer, pool=Pool(free=0))
    loop.send("jobs")
    clock.now += 7
    loop.send("jobs")
    routes = loop.worker.statistics()
    assert routes["jobs -> builtins.len"]["queue_age"] == 7
    assert routes["websocket.receive -> builtins.len"]["queue_age"] == 0


@pytest.mark.parametrize(("path", "errors"), [("/", 0), ("/fail", 1), ("/halfway", 1), ("/old", 0)])
def test_the_site_is_one_route(path, errors):
    bridge, _, _ = make_site()
    with Client(bridge, raise_exceptions=False) as client:
        client.get(path)
        figures = bridge.statistics()["routes"]["site"]
    assert (figures["count"], figures["errors"], figures["in_flight"]) == (1, errors, 0)


def test_a_page_that_says_it_failed_counts_as_an_error():
    bridge = Bridge(answers("503 Service Unavailable"))
    with Client(bridge) as client:
        client.get("/")
        assert bridge.statistics()["routes"]["site"]["errors"] == 1


def test_without_a_worker_there_are_no_routes():
    assert Bridge(answers("200 OK")).statistics()["routes"] == {}
