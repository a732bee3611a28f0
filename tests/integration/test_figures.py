"""What the processes of a running gunicorn publish of themselves, read from outside."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, request
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import open_layer
from wsgi_bridge.figures import Figures, load_figures
from wsgi_bridge.layers.base import BaseLayer

pytestmark = pytest.mark.integration

SOCKETS = "tests.apps.sockets:application"


@pytest.fixture(params=["ipc", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "ipc":
        yield f"ipc://{tmp_path}/layer"
        return
    need_redis()
    with RedisServer() as redis:
        yield f"redis://127.0.0.1:{redis.port}"


@contextlib.contextmanager
def opened(url: str) -> Iterator[BaseLayer]:
    layer = open_layer(url)
    yield layer
    layer.close()


def wait_for_figures(
    server: Server,
    layer: BaseLayer,
    *,
    processes: int,
    requests: int,
    what: str,
    websockets: int = 0,
) -> Figures:
    """Wait until as many processes have published as many requests, all answered, and sockets."""
    seen: list[Figures] = []

    def are_there() -> bool:
        seen.append(load_figures(layer))
        counts, gauges = seen[-1].counts, seen[-1].gauges
        answered = sum(map(sum, counts.get("answers", {}).values()))
        site = counts.get("routes", {}).get("site", {}).get("count", 0)
        found = (len(seen[-1].processes), counts.get("requests_count", 0), answered, site)
        is_told = gauges.get("websockets", 0) == counts.get("websocket_answers_count", 0)
        return (
            found == (processes, requests, requests, requests)
            and gauges.get("websockets", 0) == websockets
            and (is_told or not websockets)
        )

    server.wait_for(are_there, what)
    return seen[-1]


def get(server: Server, times: int) -> None:
    for _ in range(times):
        ask(server, request("/"))


def test_workers_publish_what_they_count(url: str) -> None:
    env = {"CHANNEL_LAYER": url}
    with run_server(SOCKETS, args=["-w", "2"], env=env) as server, opened(url) as layer:
        with open_socket(server, "/echo") as socket:
            socket.send("hello")
            socket.recv()
            get(server, 5)
            figures = wait_for_figures(
                server, layer, processes=2, requests=5, what="5 requests", websockets=1
            )
            assert figures.counts["websocket_messages_count"] == 1
            assert figures.counts["websocket_answers_count"] == 1
        assert 0 < figures.counts["request_seconds"] < 60
        assert {each.pid for each in figures.processes} == set(server.worker_pids())


def test_counts_stay_when_a_worker_is_replaced(url: str) -> None:
    env = {"CHANNEL_LAYER": url}
    with run_server(args=["-w", "2"], env=env) as server, opened(url) as layer:
        get(server, 5)
        wait_for_figures(server, layer, processes=2, requests=5, what="5 requests")
        server.kill(signal.SIGHUP)
        server.wait_for(lambda: load_figures(layer).starts == 4, "two more workers")
        figures = wait_for_figures(server, layer, processes=2, requests=5, what="the same requests")
        assert figures.losses == 0


def test_workers_without_a_layer_that_they_share_publish_all_the_same() -> None:
    env = {"CHANNEL_LAYER": "memory://"}
    with run_server(args=["-w", "2"], env=env) as server, opened(url_of(server)) as layer:
        get(server, 5)
        wait_for_figures(server, layer, processes=2, requests=5, what="5 requests")


def test_a_single_worker_publishes_too() -> None:
    with run_server() as server, opened(url_of(server)) as layer:
        get(server, 1)
        wait_for_figures(server, layer, processes=1, requests=1, what="a request")


def url_of(server: Server) -> str:
    """Return the URL of the layer that a gunicorn's workers have for themselves."""
    stat = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return f"ipc://gunicorn-{server.pid}-{stat[19]}"


def test_those_of_a_split_publish_what_they_are() -> None:
    worker = "gunicorn_asgi.SplitWorker"
    with (
        run_server(args=["-w", "2"], worker=worker) as server,
        opened(url_of(server)) as layer,
    ):
        get(server, 3)
        figures = wait_for_figures(server, layer, processes=2, requests=3, what="3 requests")
        assert {each.role for each in figures.processes} == {"server", "consumers"}
        [consumers] = [each for each in figures.processes if each.role == "consumers"]
        assert consumers.counts["routes"]["site"]["count"] == 3


def test_a_killed_worker_is_noticed(url: str) -> None:
    env = {"CHANNEL_LAYER": url, "ASGI_FIGURES_INTERVAL": "0.25"}
    with (
        run_server(args=["-w", "2"], env=env, may_lose_workers=True, may_log_errors=True) as server,
        opened(url) as layer,
    ):
        get(server, 5)
        wait_for_figures(server, layer, processes=2, requests=5, what="5 requests")
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.wait_for(lambda: load_figures(layer).losses == 1, "the loss")
        wait_for_figures(server, layer, processes=2, requests=5, what="the same requests")
