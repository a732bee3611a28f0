"""The pages that a running server answers itself: metrics, and whether it lives and is ready."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.servers import NO_CONTROL_SOCKET, PATIENCE, ROOT, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import Wire, ask, open_wire, request
from tests.wsgi_bridge.layers.redis.servers import RedisServer, free_port, need_redis

pytestmark = pytest.mark.integration

SOCKETS = "tests.apps.sockets:application"
PAGES = {
    "ASGI_METRICS_PATH": "/metrics",
    "ASGI_LIVE_PATH": "/live",
    "ASGI_READY_PATH": "/ready",
    "ASGI_FIGURES_INTERVAL": "0.5",
}


@pytest.fixture(params=["default", "memory", "redis"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    # Layers apart from those of gunicorns of other versions, which may take them for abandoned.
    apart = {**PAGES, "XDG_RUNTIME_DIR": str(tmp_path)}
    if request.param == "redis":
        need_redis()
        with RedisServer() as redis:
            yield {**apart, "CHANNEL_LAYER": redis.url}
    else:
        yield {**apart, **({"CHANNEL_LAYER": "memory://"} if request.param == "memory" else {})}


def scrape(server: Server) -> dict[str, float]:
    """Return each number, by its name with its labels' values."""
    response = ask(server, request("/metrics"))
    assert response.status == 200, response
    assert response["content-type"].startswith("text/plain; version=")
    return {
        " ".join([sample.name.removeprefix("wsgi_bridge_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def wait_for_number(server: Server, name: str, number: float) -> dict[str, float]:
    """Scrape until a number is what it should be; return that page."""
    seen: list[dict[str, float]] = []

    def is_there() -> bool:
        seen.append(scrape(server))
        return seen[-1].get(name) == number

    server.wait_for(is_there, f"{name} to be {number}")
    return seen[-1]


@pytest.mark.parametrize("threads", ["1", "4"])
def test_any_worker_tells_of_all(env: dict[str, str], threads: str) -> None:
    args = ["-w", "2", "--threads", threads]
    with run_server(SOCKETS, args=args, env=env) as server:
        with open_socket(server, "/echo") as client:
            client.send("hello")
            client.recv(PATIENCE)
            for _ in range(6):
                ask(server, request("/"))
            for name, number in (
                ("requests_total 2xx", 6),
                ("request_duration_seconds_count", 6),
                ("route_messages_total site", 6),
                ("websocket_messages_received_total", 1),
                ("websocket_messages_sent_total answer", 1),
                ("processes both", 2),
            ):
                wait_for_number(server, name, number)
            page = wait_for_number(server, "websockets", 1)
            assert page["connections"] >= 1
            assert page["layer_messages_total"] >= 6
        wait_for_number(server, "websockets", 0)


def test_counts_never_fall_while_workers_are_replaced(env: dict[str, str]) -> None:
    seen: list[float] = []
    is_over = threading.Event()
    with run_server(args=["-w", "2"], env=env) as server:

        def watch() -> None:
            while not is_over.is_set():
                seen.append(scrape(server)["requests_total 2xx"])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            # A worker that is told to go as it starts is none yet.
            wait_for_number(server, "process_starts_total", 2)
            for requests in (6, 12):
                for _ in range(6):
                    assert ask(server, request("/")).status == 200
                wait_for_number(server, "requests_total 2xx", requests)
                server.kill(signal.SIGHUP)
                wait_for_number(server, "process_starts_total", 2 + requests / 3)
            server.wait_for(lambda: seen and seen[-1] == 12, "the watcher to see it")
        finally:
            is_over.set()
            watcher.join(PATIENCE)
        assert seen == sorted(seen)


def test_those_of_a_split_are_told_of_by_its_servers() -> None:
    worker = "gunicorn_asgi.SplitWorker"
    with run_server(args=["-w", "3"], env=PAGES, worker=worker) as server:
        for _ in range(4):
            ask(server, request("/"))
        wait_for_number(server, "route_messages_total site", 4)
        wait_for_number(server, "requests_total 2xx", 4)
        page = wait_for_number(server, "processes consumers", 2)
        assert page["processes server"] == 1
        for path in ("/live", "/ready"):
            assert ask(server, request(path)).status == 200


def test_a_server_without_consumers_answers_alone(tmp_path: Path) -> None:
    env = {**PAGES, "ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{tmp_path}/layer"}
    with run_server("nowhere:application", env=env) as server:
        assert ask(server, request("/live")).status == 200
        server.wait_for(lambda: ask(server, request("/ready")).status == 200, "it to be ready")
        assert scrape(server)["processes server"] == 1


def test_a_proxy_of_this_machine_shows_metrics_to_nobody() -> None:
    with run_server(env=PAGES) as server:
        for field in ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"):
            refused = ask(server, request("/metrics", field))
            assert refused.status == 403
            assert b"metrics_allow" in refused.content
        assert ask(server, request("/metrics", "X-Forwarded-For: 127.0.0.1")).status == 200


def test_other_machines_see_metrics_when_they_are_allowed() -> None:
    env = {**PAGES, "ASGI_METRICS_ALLOW": "198.51.100.0/24"}
    with run_server(env=env) as server:
        assert ask(server, request("/metrics")).status == 403


def test_without_the_settings_these_pages_are_the_sites() -> None:
    with run_server(SOCKETS) as server:
        for path in ("/metrics", "/live", "/ready"):
            assert ask(server, request(path)).content == b'"a page"'


def test_a_blocked_consumer_stops_no_page(env: dict[str, str]) -> None:
    args = ["-w", "1", "--worker-connections", "100"]
    with (
        run_server("tests.apps.site:application", args=args, env=env) as server,
        open_wire(server) as wire,
    ):
        wire.send(request("/sleep?seconds=0.5"))
        for path in ("/live", "/ready", "/metrics"):
            server.wait_for(lambda path=path: ask(server, request(path)).status == 200, path)
        assert wire.read_response().status == 200


def test_who_has_lost_its_layer_is_not_ready_and_lives() -> None:
    need_redis()
    port = free_port()
    env = {**PAGES, "CHANNEL_LAYER": f"redis://127.0.0.1:{port}"}
    with run_server(env=env, may_log_errors=True) as server:
        for _ in range(2):
            server.wait_for(lambda: ask(server, request("/ready")).status == 503, "no layer")
            answer = ask(server, request("/ready"))
            assert answer.content == b"the channel layer is unavailable\n"
            assert ask(server, request("/live")).status == 200
            assert ask(server, request("/metrics")).status == 503
            assert ask(server, request("/")).status == 200
            with RedisServer(port=port):
                server.wait_for(
                    lambda: ask(server, request("/ready")).status == 200,
                    "the layer",
                    patience=3 * PATIENCE,
                )
                assert scrape(server)["processes both"] == 1


def test_a_client_over_a_unix_socket_is_whom_it_speaks_for(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with run_server(env=PAGES, binds=["127.0.0.1:0", f"unix:{path}"]) as server:
        assert ask(server, request("/metrics")).status == 200
        for fields, status in (((), 403), (("X-Forwarded-For: 127.0.0.1",), 200)):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(str(path))
                wire = Wire(sock)
                assert wire.ask(request("/metrics", *fields)).status == status


# Without prometheus_client


HIDE = """
import sys
sys.modules["prometheus_client"] = None
from gunicorn.app.wsgiapp import run
run()
"""
SITE = """
from wsgi_bridge import Bridge
application = Bridge(lambda environ, start_response: [], metrics_path="/metrics")
"""


@pytest.mark.parametrize("told_by", ["environment", "site"])
@pytest.mark.parametrize("worker", ["Worker", "SplitWorker"])
def test_metrics_that_cannot_be_made_end_the_start_in_one_sentence(
    told_by: str, worker: str, tmp_path: Path
) -> None:
    if (told_by, worker) == ("site", "SplitWorker"):
        pytest.skip("what a site says of metrics is of no account where it holds no sockets")
    (tmp_path / "sitepackage.py").write_text(SITE)
    command = [sys.executable, "-c", HIDE, "-k", f"gunicorn_asgi.{worker}", "-b", "127.0.0.1:0"]
    # Of one worker that cannot start gunicorn tells in a line, of two at once by a traceback.
    workers = "1" if told_by == "site" else "2"
    command += ["-w", workers, *NO_CONTROL_SOCKET, "--chdir", str(tmp_path)]
    app = "sitepackage:application" if told_by == "site" else "tests.apps.hello:application"
    variables = {"ASGI_METRICS_PATH": "/metrics"} if told_by == "environment" else {}
    ended = subprocess.run(
        [*command, app],
        env={"PYTHONPATH": str(ROOT), **variables},
        stderr=subprocess.PIPE,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert ended.returncode != 0
    assert "pip install 'wsgi-bridge[metrics]'" in ended.stderr
    assert "Traceback" not in ended.stderr
