"""Messages for later, wherever consumers run, and whichever process is killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.workers import JOBS, WorkerCommand, run_worker
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import Channel, open_layer
from wsgi_bridge.layers import BaseLayer
from wsgi_bridge.releaser import Releaser

pytestmark = pytest.mark.integration
APP = "tests.apps.delays:application"
# Where consumers run: gunicorn's arguments, and its worker class.
PLACES = {
    "greenlets": ([], "gunicorn_asgi.Worker"),
    "threads": (["--threads", "4"], "gunicorn_asgi.Worker"),
    "siblings": (["-w", "2"], "gunicorn_asgi.SplitWorker"),
}


@contextlib.contextmanager
def run_site(place: str, directory: Path) -> Iterator[Server]:
    """Run the site with its consumers in that place."""
    if place in PLACES:
        args, worker = PLACES[place]
        with run_server(APP, args=args, worker=worker) as server:
            yield server
        return
    env = {"ASGI_CONSUMERS": "none", "CHANNEL_LAYER": f"ipc://{directory}/layer"}
    with run_worker(APP, directory, *place.split()), run_server(APP, env=env) as server:
        yield server


@pytest.mark.parametrize("place", [*PLACES, "--threads 2", "--greenlets 20"])
def test_a_socket_is_answered_later_wherever_consumers_run(place: str, tmp_path: Path) -> None:
    with run_site(place, tmp_path) as server, open_socket(server, "/delays") as client:
        for by in ("reply", "group", "job", "draft"):
            begun = time.time()
            client.send(json.dumps({"by": by, "text": by, "delay": 0.3}))
            assert client.recv(PATIENCE) == by
            assert time.time() >= begun + 0.3


def test_what_a_site_sends_every_so_often_is_scheduled_once_for_all_workers(tmp_path: Path) -> None:
    env = {"TICKS": "0.4", "CHANNEL_LAYER": f"ipc://{tmp_path}/layer"}
    with run_server(APP, args=["-w", "3"], env=env) as server:
        server.wait_for(lambda: len(server.worker_pids()) == 3, "all workers")
        with open_socket(server, "/delays") as client:
            for _ in range(4):
                assert str(client.recv(PATIENCE)).startswith("tick ")
        with contextlib.closing(open_layer(env["CHANNEL_LAYER"])) as layer:
            assert layer.storage.scheduled().number == 1


# Kills


@pytest.fixture(params=["ipc", "redis"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkerCommand]:
    """Two worker processes, on each layer that processes share."""
    options = ["--processes", "2"]
    with contextlib.ExitStack() as stack:
        url = ""
        if request.param == "redis":
            need_redis()
            url = stack.enter_context(RedisServer()).url
        running = stack.enter_context(run_worker(JOBS, tmp_path, *options, layer=url))
        if url:
            running.layer.close()
            running.layer = open_layer(url, capacity=10_000)
        yield running


def receive(layer: BaseLayer, count: int) -> list[int]:
    """Return that many numbers that were sent later."""
    end = time.monotonic() + 40
    found: list[int] = []
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count}"
        found += [message["n"] for _, message in layer.receive_many(["later"], 100, 1.0)]
    return found


def test_each_message_is_put_once_whoever_is_killed(worker: WorkerCommand) -> None:
    chance = random.Random(4)
    count, kills = 300, 4
    for number in range(count):
        delay = chance.random() * 4
        Channel("later", worker.layer).send_later({"n": number}, delay=delay)
    for number in range(kills):
        worker.wait_for_log(" is ready", times=2 + number)
        time.sleep(chance.random() * 0.5)
        os.kill(chance.choice(sorted(worker.children())), signal.SIGKILL)
    assert sorted(receive(worker.layer, count)) == list(range(count))
    assert worker.layer.receive(["later"]) == (None, None)


def test_what_is_due_while_nobody_lives_is_put_by_who_comes(worker: WorkerCommand) -> None:
    Channel("later", worker.layer).send_later({"n": 1}, delay=0.5, every=0.5, id="x")
    worker.wait_for(lambda: len(worker.children()) == 2, "its children")
    for pid in [worker.pid, *worker.children()]:
        os.kill(pid, signal.SIGKILL)
    time.sleep(1.5)
    worker.layer.receive_many(["later"], 10)  # what was put before the end
    Releaser(worker.layer).turn()
    assert receive(worker.layer, 1) == [1]
