"""`wsgi-bridge top` beside a real gunicorn of two workers, over ipc and over Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, request
from tests.wsgi_bridge.commands.rig import call_json, run, watching
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import open_layer
from wsgi_bridge.figures import load_figures

pytestmark = pytest.mark.integration

SOCKETS = "tests.apps.sockets:application"
OPEN = 3
# Seconds for what takes some starts of Python on a busy machine.
PATIENCE = 60.0
INTERVAL = {"ASGI_FIGURES_INTERVAL": "0.5"}


@pytest.fixture(params=["ipc", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "ipc":
        yield f"ipc://{tmp_path}/layer"
        return
    need_redis()
    with RedisServer() as redis:
        yield f"redis://127.0.0.1:{redis.port}"


@pytest.fixture
def site(url: str) -> Iterator[Server]:
    env = {"CHANNEL_LAYER": url, **INTERVAL}
    with run_server(SOCKETS, args=["-w", "2"], env=env) as server:
        with contextlib.closing(open_layer(url)) as layer:
            server.wait_for(
                lambda: len(load_figures(layer).processes) == 2,
                "two workers that publish",
                patience=PATIENCE,
            )
        yield server


def look(server: Server, url: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look until it is so; return what was shown."""
    shown: list[dict[str, Any]] = []

    def is_shown() -> bool:
        shown.append(call_json("top", url, "--once"))
        return is_it(shown[-1])

    server.wait_for(is_shown, f"it to be shown; last: {shown[-1:]}", patience=PATIENCE)
    return shown[-1]


def talk(server: Server, sockets: list[Any]) -> None:
    for socket in sockets:
        socket.send("hello")
        socket.recv()
        ask(server, request("/"))


def test_connections_requests_and_messages_are_shown(site: Server, url: str) -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(site, "/echo")) for _ in range(OPEN)]

        def is_busy(value: dict[str, Any]) -> bool:
            talk(site, sockets)  # so that there is something between any two reports
            total = value["total"]
            return bool(
                total["processes"] == 2
                and total["websockets"] == OPEN
                and total["requests_per_second"]
                and total["received_per_second"]
                and total["sent_per_second"]
                and total["time_p99"]
            )

        value = look(site, url, is_busy)
        assert {each["pid"] for each in value["processes"]} == set(site.worker_pids())
        assert sum(each["websockets"] for each in value["processes"]) == OPEN
        routes = {each["route"]: each for each in value["routes"]}
        assert routes["site"]["count"] >= OPEN
        assert any("sockets.echo" in name for name in routes)
    look(site, url, lambda value: value["total"]["websockets"] == 0)


def test_what_waits_and_what_was_refused_is_shown(site: Server, url: str) -> None:
    with contextlib.closing(open_layer(url)) as layer:
        for _ in range(5):
            layer.send("nobody.receives", {})
    with site.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n")
        assert b" 400 " in sock.recv(100)
    value = look(site, url, lambda value: value["total"]["invalid_requests_count"] == 1)
    assert value["total"]["refused_count"] == 1
    [channel] = [each for each in value["channels"] if each["channel"] == "nobody.receives"]
    assert channel["messages_pending"] == 5
    assert channel["messages_max_age"] > 0
    assert value["queues"]["messages_pending"] >= 5


def test_it_is_a_live_table(site: Server, url: str) -> None:
    shown = run("top", url, "--once").stdout
    assert "2 processes, 2 started so far" in shown
    with watching("top", url, "--interval", "0.1") as terminal:
        terminal.wait_for("2 processes", count=3)
        assert terminal.interrupt() == 0
