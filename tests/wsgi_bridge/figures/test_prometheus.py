"""Figures as Prometheus reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wsgi_bridge.figures import Figures, ProcessFigures
from wsgi_bridge.figures.prometheus import METRICS, render

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "monitor.md"
PROCESS = {
    "pid": 1, "host": "here", "started": 0.0, "reported": 0.0, "every": 2.0, "counts": {},
    "gauges": {},
}  # fmt: skip
FIGURES = Figures(
    processes=[
        ProcessFigures("a", role="server", **PROCESS),
        ProcessFigures("b", role="consumers", **PROCESS),
        ProcessFigures("c", role="consumers", **PROCESS),
    ],
    counts={
        "answers": {"2": [0, 3, 0, 4], "5": [0] * 30 + [1], "0": [2]},
        "request_seconds": 12.5,
        "websocket_sent_count": 7,
        "refused_full_count": 5,
        "late_requests_count": 6,
        "slow_client_lost_count": 8,
        "routes": {'chat "x"\n': {"count": 9, "errors": 1, "timeouts": 0, "retries": 2}},
        "layer": {"messages_count": 100, "channel_full_count": 1},
    },
    gauges={"connections": 4, "websockets": 3, "layer": {"messages_pending": 1}},
    starts=5,
    losses=1,
)
ROUTES = {"chat": {"in_flight": 2, "queue_age": 0.5, "run_time_p50": 0.01, "run_time_p99": 0.2}}
QUEUES = {"messages_count": 10, "messages_pending": 2, "messages_max_age": 1.5}


@pytest.fixture(scope="module")
def families():
    page = render(FIGURES, ROUTES, QUEUES).decode()
    return {family.name: family for family in text_string_to_metric_families(page)}


@pytest.fixture(scope="module")
def samples(families):
    found = {}
    for family in families.values():
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found[(sample.name.removeprefix("wsgi_bridge_"), *labels)] = sample.value
    return found


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("processes", {"role": "consumers"}, 2),
        ("process_starts_total", {}, 5),
        ("process_losses_total", {}, 1),
        ("connections", {}, 4),
        ("consumers", {}, 0),
        ("requests_total", {"status": "2xx"}, 7),
        ("requests_total", {"status": "4xx"}, 0),
        ("requests_total", {"status": "5xx"}, 1),
        ("requests_total", {"status": "none"}, 2),
        ("request_duration_seconds_count", {}, 10),
        ("request_duration_seconds_sum", {}, 12.5),
        ("request_duration_seconds_bucket", {"le": "0.00025"}, 2),
        ("request_duration_seconds_bucket", {"le": "0.0005"}, 5),
        ("request_duration_seconds_bucket", {"le": "0.002"}, 9),
        ("request_duration_seconds_bucket", {"le": "262.144"}, 9),
        ("request_duration_seconds_bucket", {"le": "+Inf"}, 10),
        ("websocket_messages_sent_total", {"kind": "group"}, 7),
        ("refusals_total", {"cause": "full"}, 5),
        ("refusals_total", {"cause": "address"}, 0),
        ("timeouts_total", {"cause": "request"}, 6),
        ("losses_total", {"cause": "slow_client"}, 8),
        ("route_messages_total", {"route": 'chat "x"\n'}, 9),
        ("route_in_flight", {"route": "chat"}, 2),
        ("route_run_time_seconds", {"route": "chat", "quantile": "0.99"}, 0.2),
        ("layer_messages_total", {}, 110),
        ("layer_messages_pending", {}, 3),
        ("layer_message_age_seconds", {}, 1.5),
        ("layer_losses_total", {"cause": "full"}, 1),
    ],
)
def test_a_number_is_where_prometheus_finds_it(samples, name, labels, value):
    assert samples[(name, *sorted(labels.items()))] == value


def test_every_metric_is_of_its_kind(families):
    kinds = {name: family.type for name, family in families.items()}
    assert kinds == {f"wsgi_bridge_{name}": each.kind for name, each in METRICS.items()}


def test_a_site_of_which_nothing_is_known_has_a_page():
    page = render(Figures(), {}, {}).decode()
    assert "wsgi_bridge_connections 0.0\n" in page


def test_every_metric_is_in_the_documentation():
    rows = re.findall(r"^\| `(wsgi_bridge_\w+)` \| (\w+) \| (.*?) \|", PAGE.read_text(), re.M)
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    suffix = {"counter": "_total"}
    assert told == {
        f"wsgi_bridge_{name}{suffix.get(each.kind, '')}": (each.kind, set(each.labels))
        for name, each in METRICS.items()
    }
