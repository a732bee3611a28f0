"""Who may see a page of metrics, judged by who asks and for whom."""

from __future__ import annotations

import pytest

from gunicorn_asgi.metrics import may_see
from gunicorn_asgi.policy import read_peers
from wsgi_bridge.settings import METRICS_ALLOW, load_settings

HERE, ELSEWHERE, UNIX = ["127.0.0.1", 4000], ["203.0.113.9", 4000], None
HERE_6 = ["::1", 4000]


def fields(**given: str) -> list[list[bytes]]:
    return [[name.replace("_", "-").encode(), text.encode()] for name, text in given.items()]


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        (HERE, {}, True),
        (HERE_6, {}, True),
        (ELSEWHERE, {}, False),
        # Over a Unix socket comes a proxy, and that could come from anywhere.
        (UNIX, {}, False),
        (UNIX, {"X_Forwarded_For": "127.0.0.1"}, True),
        (UNIX, {"X_Forwarded_For": "203.0.113.9"}, False),
        # So it could to a port of this machine.
        (HERE, {"X_Forwarded_For": "203.0.113.9"}, False),
        (HERE, {"x_forwarded_for": "203.0.113.9"}, False),
        (HERE, {"X_Forwarded_For": "127.0.0.1, 203.0.113.9"}, False),
        (HERE, {"X_Forwarded_For": "203.0.113.9, 127.0.0.1"}, False),
        (HERE, {"X_Forwarded_For": "127.0.0.1, ::1"}, True),
        (HERE, {"X_Forwarded_For": "unknown"}, False),
        (HERE, {"X_Forwarded_For": ""}, False),
        (HERE, {"X_Forwarded_Proto": "https"}, False),
        (HERE, {"X_Real_IP": "127.0.0.1"}, False),
        (HERE, {"Forwarded": "for=127.0.0.1"}, False),
        (HERE, {"Via": "1.1 proxy"}, False),
        # Nobody gets in by what they say of themselves.
        (ELSEWHERE, {"X_Forwarded_For": "127.0.0.1"}, False),
    ],
)
def test_this_machine_sees_metrics_and_nobody_through_it(client, headers, expected):
    assert may_see(read_peers(METRICS_ALLOW), client, fields(**headers)) is expected


def test_every_line_of_a_repeated_field_counts():
    lines = fields(X_Forwarded_For="203.0.113.9") + fields(X_Forwarded_For="127.0.0.1")
    assert not may_see(read_peers(METRICS_ALLOW), HERE, lines)
    assert not may_see(read_peers(METRICS_ALLOW), HERE, lines[::-1])


@pytest.mark.parametrize("client", [HERE, ELSEWHERE, UNIX])
def test_a_star_lets_everybody_see(client):
    assert may_see(read_peers(["*"]), client, fields(X_Forwarded_For="203.0.113.9"))


def test_a_network_may_be_allowed():
    peers = read_peers(["10.0.0.0/8"])
    assert may_see(peers, ["10.1.2.3", 1], [])
    assert not may_see(peers, HERE, [])


@pytest.mark.parametrize(
    "given",
    [
        {"metrics_path": "metrics"},
        {"metrics_path": "/a b"},
        {"metrics_path": "/a?b"},
        {"live_path": "/h", "ready_path": "/h"},
        {"metrics_allow": "everybody"},
        {"metrics_allow": ["10.0.0.0/33"]},
        {"metrics_path": "/metrics", "figures_interval": 0},
    ],
)
def test_settings_of_pages_that_cannot_be_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(reversed(given)))):
        load_settings(given, environ={})


def test_the_environment_says_it_too():
    environ = {
        "ASGI_METRICS_PATH": "/metrics",
        "ASGI_METRICS_ALLOW": "10.0.0.0/8, ::1",
        "ASGI_LIVE_PATH": "/-/live",
    }
    settings = load_settings({}, environ=environ)
    assert settings.metrics_path == "/metrics"
    assert settings.metrics_allow == ("10.0.0.0/8", "::1")
    assert settings.live_path == "/-/live"
    assert settings.ready_path == ""
