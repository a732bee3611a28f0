"""The figures of a site as Prometheus reads them, in one table: the documentation is held to it.

Names, types and labels are METRICS; `render` puts the numbers in. Every number is that of all
processes together: whichever of them Prometheus reaches, it is told the same, and a series does not
end with a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest

from wsgi_bridge.figures.buckets import bucket_end

if TYPE_CHECKING:
    from wsgi_bridge.figures.ledger import Figures
    from wsgi_bridge.figures.trees import Tree

__all__ = ["CONTENT_TYPE", "METRICS", "render"]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
#: Buckets that are told: up to 262 s, near `http_timeout`. The rest is in the last, without an end.
TOLD_BUCKETS = 21
#: First digits of a status that are told of though there were none; "0" stands for no answer.
STATUSES = ("2", "3", "4", "5")

Routes = Mapping[str, Mapping[str, Any]]
#: The values of the labels, and the number.
Sample = tuple[tuple[str, ...], float]


class Description(NamedTuple):
    """What a metric is: "gauge", "counter" or "histogram"; what its numbers are; its labels."""

    kind: str
    doc: str
    labels: tuple[str, ...] = ()


METRICS = {
    "processes": Description("gauge", "Processes that publish figures now", ("role",)),
    "process_starts": Description("counter", "Processes that have begun to publish figures"),
    "process_losses": Description("counter", "Processes that were killed, or hung for long"),
    "connections": Description("gauge", "Connections of clients open now, WebSockets included"),
    "websockets": Description("gauge", "WebSockets open now, held handshakes included"),
    "consumers": Description("gauge", "Consumers and requests at work now"),
    "requests": Description("counter", "Requests that were answered, by class", ("status",)),
    "request_duration_seconds": Description(
        "histogram", "Time from a request's head to the end of its answer"
    ),
    "websocket_connects": Description("counter", "Opening handshakes"),
    "websocket_messages_received": Description("counter", "Messages from clients"),
    "websocket_messages_sent": Description("counter", "Messages to sockets", ("kind",)),
    "refusals": Description("counter", "Refused by the server, by cause", ("cause",)),
    "timeouts": Description("counter", "Given up for want of time, by cause", ("cause",)),
    "losses": Description("counter", "Messages and answers that were lost, by cause", ("cause",)),
    "route_messages": Description("counter", "Messages given to a consumer", ("route",)),
    "route_errors": Description("counter", "Runs that raised", ("route",)),
    "route_timeouts": Description("counter", "Runs that took too long", ("route",)),
    "route_retries": Description("counter", "Messages put off", ("route",)),
    "route_in_flight": Description("gauge", "Runs under way now", ("route",)),
    "route_run_time_seconds": Description(
        "gauge", "Time that this part of the latest runs did not exceed", ("route", "quantile")
    ),
    "route_queue_age_seconds": Description(
        "gauge", "Time that the oldest message on a route's channels has waited", ("route",)
    ),
    "layer_messages": Description("counter", "Messages sent through the layer"),
    "layer_messages_pending": Description("gauge", "Messages that wait in the layer"),
    "layer_message_age_seconds": Description("gauge", "Time that the oldest of them has waited"),
    "layer_losses": Description("counter", "What the layer did not deliver", ("cause",)),
}

# Metrics with a label, each of whose values is a count of `Figures.counts`.
_BY_LABEL = {
    "websocket_messages_sent": {
        "answer": "websocket_answers_count",
        "group": "websocket_sent_count",
    },
    "refusals": {
        "full": "refused_full_count",
        "address": "refused_address_count",
        "handshake": "refused_handshakes_count",
        "invalid": "invalid_requests_count",
    },
    "timeouts": {
        "request": "late_requests_count",
        "answer": "late_answers_count",
        "ping": "silent_clients_count",
    },
    "losses": {
        "slow_client": "slow_client_lost_count",
        "unacknowledged": "unacknowledged_count",
        "invalid_answer": "invalid_answers_count",
    },
}
_PLAIN = {
    "websocket_connects": "websocket_connects_count",
    "websocket_messages_received": "websocket_messages_count",
}
_OF_ROUTES = {
    "route_messages": "count",
    "route_errors": "errors",
    "route_timeouts": "timeouts",
    "route_retries": "retries",
}
_OF_LAYER = {
    "full": "channel_full_count",
    "expired": "messages_expired_count",
    "group_full": "group_messages_lost_count",
    "undecodable": "messages_undecodable_count",
}


def render(figures: Figures, routes: Routes, queues: Mapping[str, Any]) -> bytes:
    """Return the page of metrics.

    ``routes``: the figures of each route over all processes, as `route_reports.merge` has them;
    ``queues``: the statistics of the layer that the processes share, empty if there is none.
    """
    return generate_latest(_Page(figures, routes, queues))


class _Page:
    """What prometheus_client collects from."""

    def __init__(self, figures: Figures, routes: Routes, queues: Mapping[str, Any]) -> None:
        self._figures = figures
        self._routes = routes
        self._queues = queues

    def collect(self) -> Iterator[Metric]:
        samples: dict[str, Iterable[Sample]] = {
            **self._of_processes(),
            **self._of_server(),
            **self._of_routes(),
            **self._of_layer(),
        }
        for name, found in samples.items():
            yield _family(name, found)
        yield self._durations()

    def _of_processes(self) -> dict[str, Iterable[Sample]]:
        figures = self._figures
        roles = [process.role for process in figures.processes]
        return {
            "processes": [((role,), roles.count(role)) for role in sorted(set(roles))],
            "process_starts": [((), figures.starts)],
            "process_losses": [((), figures.losses)],
        }

    def _of_server(self) -> dict[str, Iterable[Sample]]:
        counts, gauges = self._figures.counts, self._figures.gauges
        found: dict[str, Iterable[Sample]] = {
            name: [((), gauges.get(name, 0))] for name in ("connections", "websockets", "consumers")
        }
        found |= {name: [((), counts.get(key, 0))] for name, key in _PLAIN.items()}
        for name, keys in _BY_LABEL.items():
            found[name] = [((label,), counts.get(key, 0)) for label, key in keys.items()]
        answers = counts.get("answers", {})
        digits = sorted({*STATUSES, *answers})
        found["requests"] = [((_status(digit),), sum(answers.get(digit, ()))) for digit in digits]
        return found

    def _of_routes(self) -> dict[str, Iterable[Sample]]:
        counted = self._figures.counts.get("routes", {}).items()
        found: dict[str, Iterable[Sample]] = {
            name: [((route,), each[key]) for route, each in counted]
            for name, key in _OF_ROUTES.items()
        }
        routes = self._routes.items()
        found["route_in_flight"] = [((route,), each["in_flight"]) for route, each in routes]
        found["route_queue_age_seconds"] = [((route,), each["queue_age"]) for route, each in routes]
        found["route_run_time_seconds"] = [
            ((route, quantile), each[key])
            for route, each in routes
            for quantile, key in (("0.5", "run_time_p50"), ("0.99", "run_time_p99"))
        ]
        return found

    def _of_layer(self) -> dict[str, Iterable[Sample]]:
        own, ours = self._figures.counts.get("layer", {}), self._figures.gauges.get("layer", {})
        shared = self._queues

        def total(key: str) -> float:
            return float(own.get(key, 0) + shared.get(key, 0))

        pending = ours.get("messages_pending", 0) + shared.get("messages_pending", 0)
        age = max(ours.get("messages_max_age", 0), shared.get("messages_max_age", 0))
        return {
            "layer_messages": [((), total("messages_count"))],
            "layer_messages_pending": [((), pending)],
            "layer_message_age_seconds": [((), age)],
            "layer_losses": [((cause,), total(key)) for cause, key in _OF_LAYER.items()],
        }

    def _durations(self) -> Metric:
        counts: Tree = self._figures.counts
        numbers = [0] * TOLD_BUCKETS
        rest = 0
        for row in counts.get("answers", {}).values():
            for at, number in enumerate(row[:TOLD_BUCKETS]):
                numbers[at] += number
            rest += sum(row[TOLD_BUCKETS:])
        ends = [str(bucket_end(at)) for at in range(TOLD_BUCKETS)]
        buckets = [*zip(ends, accumulate(numbers), strict=True), ("+Inf", sum(numbers) + rest)]
        name = "request_duration_seconds"
        family = HistogramMetricFamily(_full(name), METRICS[name].doc)
        family.add_metric([], buckets, counts.get("request_seconds", 0.0))
        return family


def _family(name: str, samples: Iterable[Sample]) -> Metric:
    kind, doc, labels = METRICS[name]
    make = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    family = make(_full(name), doc, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _full(name: str) -> str:
    return f"wsgi_bridge_{name}"


def _status(digit: str) -> str:
    return "none" if digit == "0" else f"{digit}xx"
