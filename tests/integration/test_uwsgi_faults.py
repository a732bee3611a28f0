"""500 sockets are open on a uWSGI, requests come all the time, and something is done to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

import psutil
import pytest

from tests.integration.servers import PATIENCE
from tests.integration.sockets import RawSocket, get_text
from tests.integration.uwsgi_crowd import CLIENTS, Crowd, HttpLoad
from tests.integration.uwsgi_servers import free_port, run_uwsgi
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame, close_frame
from wsgi_bridge import open_layer
from wsgi_bridge.figures import load_figures

pytestmark = pytest.mark.integration
LIFE = "tests.apps.uwsgi_life:application"
SOCKETS = 500
NEW_SOCKETS = 50
THREADS = 4
WORKERS = 2
SECONDS_TO_SERVE = 3.0
# A line a request makes a log that takes long to look through.
QUIET = {"disable-logging": "true"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uwsgi")
    touched = {f"touch-{kind}-reload": str(folder / kind) for kind in ("workers", "chain")}
    for path in touched.values():
        open(path, "w").close()
    options = {
        **QUIET,
        **touched,
        "lazy-apps": "true",
        "harakiri": "1",
        "processes": str(WORKERS + 1),
        "cheaper": "1",
        "cheaper-initial": str(WORKERS),
        "cheaper-algo": "manual",
        "master-fifo": str(folder / "fifo"),
    }
    env = {"ASGI_FIGURES_INTERVAL": "0.2"}
    config = ["--threads", str(THREADS)]
    with run_uwsgi(LIFE, config, options=options, env=env, may_lose_workers=True) as running:
        running.folder = folder
        running.touch_time = time.time()
        yield running


@pytest.fixture(scope="module")
def crowd(server):
    with Crowd(server, "/echo", SOCKETS) as sockets:
        yield sockets


@pytest.fixture
def load(server, crowd):
    """Requests while the test runs; afterwards all sockets are still the same."""
    with HttpLoad(server) as asking:
        yield asking
        asking.wait_for_more()
        crowd.check_open()


def touch(server, kind):
    """Touch a file; uWSGI sees whole seconds only."""
    server.touch_time += 10
    os.utime(server.folder / kind, (server.touch_time, server.touch_time))


def order(server, letter):
    """Say something to the master by its fifo."""
    with open(server.folder / "fifo", "w") as fifo:
        fifo.write(letter)


def wait_for_workers(server, count, *, without=()):
    def found():
        pids = server.worker_pids()
        return len(pids) == count and not set(pids).intersection(without)

    server.wait_for(found, f"{count} workers")


@pytest.mark.parametrize("kind", ["workers", "chain"])
def test_a_reload_of_the_workers_closes_no_socket_and_refuses_no_request(server, load, kind):
    old = server.worker_pids()
    touch(server, kind)
    wait_for_workers(server, WORKERS, without=old)
    load.wait_for_more()
    assert load.failures == []


def test_workers_that_cheaper_starts_and_ends_close_no_socket(server, load):
    order(server, "+")
    wait_for_workers(server, WORKERS + 1)
    load.wait_for_more()
    for count in (WORKERS, WORKERS - 1):
        order(server, "-")
        wait_for_workers(server, count)
    load.wait_for_more()
    order(server, "+")
    wait_for_workers(server, WORKERS)
    assert load.failures == []


def test_harakiri_closes_no_socket(server, load):
    old = server.worker_pids()
    with contextlib.closing(server.connect()) as sock:
        sock.sendall(b"GET /held/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100) == b""
    server.wait_for(lambda: set(server.worker_pids()) - set(old), "a new worker")
    wait_for_workers(server, WORKERS)
    assert load.failures == []


def test_killed_workers_close_no_socket_and_fail_the_requests_they_had(server, load):
    old = server.worker_pids()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for_workers(server, WORKERS, without=old)
    load.wait_for_more()
    assert len(load.failures) <= CLIENTS


def test_a_killed_consumer_closes_no_socket_and_its_events_are_counted(server, crowd, load):
    before = load_figures(open_layer(server.layer_url())).counts["unacknowledged_count"]
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS):
            busy = stack.enter_context(RawSocket(server, "/pause"))
            busy.read_response()
            busy.send(client_frame(TEXT, b"60"))
        server.wait_for_log("pausing", count=THREADS)
        crowd.say()  # all of it waits in the layer
        [pid] = server.mule_pids("consumer")
        os.kill(pid, signal.SIGKILL)
        crowd.check_echoes()

        def lost():
            figures = load_figures(open_layer(server.layer_url()))
            return figures.counts["unacknowledged_count"] - before

        server.wait_for(lambda: lost() >= THREADS, "what was lost to be counted")
        assert lost() == THREADS
    assert load.failures == []


def test_workers_that_have_served_their_requests_close_no_socket():
    options = {**QUIET, "lazy-apps": "true", "max-requests": "300", "min-worker-lifetime": "1"}
    with run_uwsgi(LIFE, options=options) as server, Crowd(server, "/echo", SOCKETS) as crowd:
        with HttpLoad(server) as load:
            server.wait_for_log("Respawned uWSGI worker", count=WORKERS)
            load.wait_for_more()
            crowd.check_open()
        assert load.failures == []
        # Told to end while it starts a worker, uWSGI would forget that one.
        server.wait_for(lambda: is_settled(server.log()), "as many workers as have ended")


def is_settled(log):
    """Whether a worker has begun for each that has ended."""
    begun = log.count("Respawned uWSGI worker")
    return log.count("Seeya!") == begun == log.count("WSGI app 0 ") - WORKERS


def test_a_killed_terminator_is_replaced_and_presence_cleaned_up():
    with run_uwsgi(LIFE, options=QUIET, may_lose_workers=True) as server:
        with Crowd(server, "/room?id={}", SOCKETS) as crowd, HttpLoad(server) as load:
            for each in crowd.sockets:
                assert each.read_frame() == (TEXT, b"welcome")
            assert len(json.loads(get_text(server, "/present"))) == SOCKETS
            [pid] = server.mule_pids("terminator")
            os.kill(pid, signal.SIGKILL)
            psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], PATIENCE)
            begun = time.monotonic()
            with Crowd(server, "/echo", NEW_SOCKETS) as others:
                assert time.monotonic() - begun < SECONDS_TO_SERVE
                server.wait_for(
                    lambda: json.loads(get_text(server, "/present")) == [], "all to be gone"
                )
                others.check_open()
        assert load.failures == []


def test_a_reload_of_everything_closes_sockets_with_1012_and_refuses_no_request():
    options = {**QUIET, "http-socket": f"127.0.0.1:{free_port()}"}
    with run_uwsgi(LIFE, options=options) as server, HttpLoad(server) as load:
        with Crowd(server, "/echo", SOCKETS) as crowd:
            old = server.worker_pids()
            server.kill(signal.SIGHUP)
            for each in crowd.sockets:
                assert each.read_frame() == (CLOSE, (1012, ""))
                each.send(close_frame(1012))
        wait_for_workers(server, WORKERS, without=old)
        load.wait_for_more()
        with Crowd(server, "/echo", NEW_SOCKETS) as crowd:
            crowd.check_open()
    assert load.failures == []
