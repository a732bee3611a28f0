"""Idle WebSockets by the thousand, pinged, and pages beside them; `make bench` has more of them."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench import Bench, Sample, Scenario
from tests.benchmarks.crowds import BYTES_EACH, P99_SECONDS, crowd_load
from tests.benchmarks.report import claims
from tests.benchmarks.scenarios import Claim
from tests.benchmarks.servers import gunicorn, raise_descriptor_limit

pytestmark = pytest.mark.integration

SOCKETS = 1000
PING_INTERVAL = 1.0
#: Seconds: several times the interval, for a busy machine.
SECONDS = 3.0


@pytest.fixture
def crowd(monkeypatch):
    """Return what measures a crowd in an app."""
    raise_descriptor_limit()
    monkeypatch.setenv("ASGI_PING_INTERVAL", str(PING_INTERVAL))

    def measure(app: str, workers: int = 1) -> tuple[Scenario, list[Sample]]:
        server = gunicorn("ours", app, "gunicorn_asgi.Worker", workers=workers)
        load = crowd_load(SOCKETS, seconds=SECONDS)
        scenario = Scenario(
            "crowd", "a crowd", "sockets", load, (server,), table="crowd", is_pinned=False
        )
        return scenario, Bench(1, SECONDS, 0, 0).run(scenario)["ours"]

    return measure


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_socket_is_pinged_and_takes_little_and_pages_are_served(crowd, workers):
    """That each was pinged, and none closed, is the load's to check."""
    _, [sample] = crowd("echo_bridge", workers)
    assert sample.load.operations == SOCKETS
    assert 0 < sample.memory < BYTES_EACH
    # Of the others this machine's other work decides.
    assert sample.load.p50 < P99_SECONDS


@pytest.mark.slow
def test_sockets_that_take_too_much_are_found(crowd, monkeypatch):
    scenario, samples = crowd("heavy_bridge")
    assert samples[0].memory > BYTES_EACH
    claim = Claim("crowd", "memory", below=BYTES_EACH)
    monkeypatch.setattr("tests.benchmarks.report.ALL_CLAIMS", (claim,))
    assert claims([scenario], {"crowd": {"ours": samples}}).endswith("missed |")
    assert "missed" not in claims([scenario], {"crowd": {"ours": [Sample(samples[0].load)]}})


@pytest.mark.slow
def test_a_server_that_pings_nobody_is_found(crowd, monkeypatch):
    monkeypatch.setenv("ASGI_PING_INTERVAL", "0")
    with pytest.raises(RuntimeError, match="0 of 1,000 sockets were pinged"):
        crowd("echo_bridge")
