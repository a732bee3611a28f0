"""Plain requests beside a Redis: they do not touch it, and so do not wait for one that is stuck."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import open_wire, request
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]
COUNT = 200
# Seconds after which the layer gives up an operation on Redis.
REDIS_PATIENCE = 3.0


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(arrangement: str, redis: RedisServer) -> Iterator[Server]:
    args = [*arrangement.split(), "--keep-alive", "30"]
    with run_server(
        "tests.apps.hello:application",
        args=args,
        env={"CHANNEL_LAYER": redis.url},
        may_log_errors=True,
    ) as running:
        with open_wire(running) as wire:  # it has started, and seen that nothing waits there
            assert [wire.ask(request()).status for _ in range(20)] == [200] * 20
        yield running


def test_requests_cost_redis_nothing(server: Server, redis: RedisServer) -> None:
    before = redis.commands()
    with open_wire(server) as wire:
        for _ in range(COUNT):
            assert wire.ask(request()).status == 200
    after = redis.commands()
    takes = after.get("lpop", 0) - before.get("lpop", 0)
    assert takes < COUNT / 10, f"{takes} takes for {COUNT} requests"


def test_requests_are_answered_while_redis_is_stuck(server: Server, redis: RedisServer) -> None:
    """Also after the process has noticed that it is."""
    redis.pause()
    slowest = 0.0
    end = time.monotonic() + 2 * REDIS_PATIENCE
    with open_wire(server) as wire:
        while time.monotonic() < end:
            begun = time.monotonic()
            assert wire.ask(request()).status == 200
            slowest = max(slowest, time.monotonic() - begun)
            time.sleep(0.005)
    assert slowest < REDIS_PATIENCE / 2
