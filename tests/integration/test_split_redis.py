"""SplitWorker over Redis: what it promises on the ipc layer, it keeps there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import ROOT
from tests.integration.test_split import open_many, run_split
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def url(redis_server: RedisServer, tmp_path: Path) -> str:
    return f"redis://127.0.0.1:{redis_server.port}?prefix={tmp_path.name}&expiry=3"


def test_sockets_stay_open_over_a_deployment(tmp_path: Path, url: str) -> None:
    with (
        run_split(tmp_path, "--threads", "2", workers=3, env={"CHANNEL_LAYER": url}) as split,
        open_many(split, 20) as sockets,
    ):
        servers, consumers = split.roles()
        assert {split.say(socket, "hello")[1] for socket in sockets} <= set(consumers)
        assert split.version() == "first"
        split.reload("second")
        split.server.wait_for(
            lambda: {split.say(socket, "now")[0] for socket in sockets} == {"second"},
            "the new code everywhere",
        )
        assert split.version() == "second"
        assert split.roles()[0] == servers


def test_a_killed_consumer_costs_no_socket(tmp_path: Path, url: str) -> None:
    lost = {"may_log_errors": True, "may_lose_workers": True}
    with (
        run_split(tmp_path, workers=3, env={"CHANNEL_LAYER": url}, **lost) as split,
        open_many(split, 10) as sockets,
    ):
        servers, consumers = split.roles()
        os.kill(consumers[0], signal.SIGKILL)
        split.server.wait_for(lambda: consumers[0] not in split.server.worker_pids(), "its end")
        assert split.wait_for_workers(3)[0] == servers
        for number in range(3):
            for socket in sockets:
                assert split.say(socket, f"n{number}")[1] != consumers[0]


def test_what_all_consumers_counted_is_added_up(tmp_path: Path, url: str) -> None:
    with (
        run_split(tmp_path, workers=3, env={"CHANNEL_LAYER": url}) as split,
        open_many(split, 10) as sockets,
    ):
        for socket in sockets:
            split.say(socket, "hello")
        split.version()

        def counted() -> bool:
            found = {each["route"]: each for each in routes_of(url)}
            [echo] = [each for name, each in found.items() if "websocket.receive" in name]
            return bool((echo["count"], found["site"]["count"]) == (10, 1))

        split.server.wait_for(lambda: len(routes_of(url)) == 3, "all routes")
        assert routes_of(url)[0]["processes"] == 2
        split.server.wait_for(counted, "both reports", patience=20)


def routes_of(url: str) -> list[dict[str, object]]:
    """Return what the command says."""
    command = [sys.executable, "-m", "wsgi_bridge", "layer", url, "routes", "--json"]
    ended = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=30)
    found: list[dict[str, object]] = json.loads(ended.stdout)
    return found
