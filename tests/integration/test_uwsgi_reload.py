"""With many sockets open and pages asked for: whatever becomes of the workers, no socket closes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import psutil
import pytest

from tests.integration.servers import PATIENCE
from tests.integration.sockets import RawSocket, get_text
from tests.integration.uwsgi_servers import run_uwsgi
from tests.wsgi_bridge.protocols.frames import TEXT, client_frame

pytestmark = pytest.mark.integration
SOCKETS = 500
# Workers end for many reasons; each test has its own, and a uWSGI that is told so.
MAX_REQUESTS = 200


class Load:
    """Asks for pages all the time. ``pages`` were served, ``failures`` were not."""

    def __init__(self, server):
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.pages = 0
        self.failures = []

    def _run(self):
        while not self._stop.is_set():
            try:
                get_text(self._server, "/")
                self.pages += 1
            except OSError as exc:
                self.failures.append(repr(exc))
            time.sleep(0.002)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()


@contextlib.contextmanager
def crowd(server):
    """Have SOCKETS sockets open, all of which are there at the end and answer."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawSocket(server, "/echo")) for _ in range(SOCKETS)]
        for client in clients:
            assert client.read_response().status == 101
        yield
        for number, client in enumerate(clients):
            client.send(client_frame(TEXT, b"%d" % number))
        for number, client in enumerate(clients):
            assert client.read_frame() == (TEXT, b"%d" % number)


def wait_for_new_workers(server, old, count=2):
    def are_new():
        found = set(server.worker_pids())
        return len(found) == count and not found & old

    server.wait_for(are_new, "new workers", patience=30)


@pytest.mark.parametrize("option", ["touch-workers-reload", "touch-chain-reload"])
def test_workers_are_reloaded_under_open_sockets(option, tmp_path):
    file = tmp_path / "reload"
    file.touch()
    options = {"lazy-apps": "true", option: str(file), "disable-logging": "true"}
    with run_uwsgi(options=options, may_lose_workers=True) as server:
        with crowd(server), Load(server) as load:
            old = set(server.worker_pids())
            server.wait_for(lambda: load.pages > 20, "pages")
            later = time.time() + 10
            os.utime(file, (later, later))
            wait_for_new_workers(server, old)
            served = load.pages
            server.wait_for(lambda: load.pages > served + 20, "pages from new workers")
        assert load.failures == []


def test_max_requests_recycle_workers_under_open_sockets():
    options = {
        "disable-logging": "true",
        "max-requests": str(MAX_REQUESTS),
        "min-worker-lifetime": "1",
    }
    with run_uwsgi(options=options, may_lose_workers=True) as server:
        old = set(server.worker_pids())
        with crowd(server), Load(server) as load:
            server.wait_for(lambda: load.pages > 3 * MAX_REQUESTS, "pages", patience=60)
            wait_for_new_workers(server, old)


def test_cheaper_ends_workers_under_open_sockets():
    options = {"processes": "4", "cheaper": "1", "cheaper-initial": "4", "cheaper-overload": "1"}
    with run_uwsgi(options=options) as server, crowd(server):
        server.wait_for(lambda: len(server.worker_pids()) == 1, "workers to go", patience=60)


def test_harakiri_kills_workers_and_no_socket():
    options = {"harakiri": "2", "module": "tests.apps.uwsgi_life:application"}
    with run_uwsgi(options=options, may_lose_workers=True) as server, crowd(server):
        old = set(server.worker_pids())
        with contextlib.closing(server.connect()) as sock:
            sock.sendall(b"GET /held/sleep HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_log("HARAKIRI", count=1)
            server.wait_for(lambda: set(server.worker_pids()) - old, "a new worker", patience=30)


def test_all_workers_are_killed_and_no_socket():
    with run_uwsgi(may_lose_workers=True) as server, crowd(server):
        old = set(server.worker_pids())
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_for_new_workers(server, old)
        assert not any(psutil.pid_exists(pid) for pid in old)


def test_a_handshake_takes_a_worker_no_time_to_speak_of():
    with run_uwsgi() as server:
        begun = time.monotonic()
        with crowd(server):
            seconds = time.monotonic() - begun
            assert get_text(server, "/") == '"a page"'
        # 300 take under half a second on an idle machine; this one may be anything but.
        assert seconds < PATIENCE
