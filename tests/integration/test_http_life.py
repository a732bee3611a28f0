"""The life of a server: signals with requests under way, reloads, several binds, Unix sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from gunicorn.config import make_settings

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, ask, open_wire, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]

SITE = "tests.apps.site:application"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def server(gate: Path) -> Iterator[Server]:
    """A server of its own for each test, on which requests wait for the gate's file."""
    with run_server(SITE, args=["--keep-alive", "30"], env={"GATE_FILE": str(gate)}) as running:
        yield running


def begin_waiting(server: Server, wire: Wire) -> None:
    waiting = server.log().count("site: waiting")
    wire.send(request("/wait-for-file"))
    server.wait_for_log("site: waiting", count=waiting + 1)


def refuses_connections(server: Server) -> bool:
    try:
        server.connect().close()
    except OSError:
        return True
    return False


def test_term_finishes_the_requests_under_way(server: Server, gate: Path) -> None:
    with open_wire(server) as wire, open_wire(server) as idle:
        assert idle.ask(request()).status == 200
        begin_waiting(server, wire)
        server.kill(signal.SIGTERM)
        server.wait_for(lambda: refuses_connections(server), "the listener to close")
        assert idle.is_ended()
        idle.sock.close()
        gate.touch()
        response = wire.read_response()
        assert (response.status, response["connection"]) == (200, "close")
        assert wire.is_ended()
    assert server.stop() < 2


def test_term_finishes_a_stream_under_way(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/stream?count=100&size=100000"))
        wire.read_head()
        server.kill(signal.SIGTERM)
        server.wait_for(lambda: refuses_connections(server), "the listener to close")
        content = b"".join(iter(wire.read_chunk, b""))
        assert len(content) == 10_000_000
        assert wire.is_ended()  # though its head, from before, promised to go on
    assert server.stop() < 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_server_with_nothing_to_do_ends_at_once(server: Server, number: int) -> None:
    assert ask(server, request()).status == 200
    assert server.stop(number) < 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quit_waits_for_nobody(gate: Path, number: int) -> None:
    env = {"GATE_FILE": str(gate)}
    with run_server(SITE, env=env, may_log_errors=True) as server, open_wire(server) as wire:
        begin_waiting(server, wire)
        assert server.stop(number) < 3
        assert wire.read_rest().startswith((b"", b"HTTP/1.1 500"))


def is_listening(pid: int) -> bool:
    sockets = psutil.Process(pid).net_connections(kind="tcp")
    return any(sock.status == psutil.CONN_LISTEN for sock in sockets)


def test_hup_replaces_the_worker_and_loses_no_request(server: Server, gate: Path) -> None:
    first = server.worker_pid()
    with open_wire(server) as wire:
        begin_waiting(server, wire)
        server.kill(signal.SIGHUP)
        server.wait_for(lambda: server.worker_pids()[-1:] != [first], "a new worker")
        # gunicorn starts the new one before it stops the old one, and both accept until then.
        server.wait_for(lambda: not is_listening(first), "the old worker to accept no more")
        # The old one goes on with what it has; the new one takes what comes.
        with open_wire(server) as other:
            begin_waiting(server, other)
            gate.touch()
            assert wire.read_response().content == b"pid %d" % first
            assert wire.is_ended()
            response = other.read_response()
            assert response.content != b"pid %d" % first
            assert other.ask(request()).status == 200
    server.wait_for(lambda: first not in server.worker_pids(), "the old worker's end")


def test_requests_that_come_during_reloads_are_all_answered(server: Server) -> None:
    reloads = 3
    for _ in range(reloads):
        before = server.worker_pids()
        server.kill(signal.SIGHUP)
        while set(server.worker_pids()) & set(before) or not server.worker_pids():
            assert ask(server, request()).status == 200
    server.wait_for_log("Booting worker", count=reloads + 1)


def test_a_worker_that_is_killed_is_replaced(server: Server) -> None:
    first = server.worker_pid()
    assert ask(server, request()).status == 200
    os.kill(first, signal.SIGKILL)
    server.wait_for(lambda: server.worker_pids() not in ([], [first]), "a new worker")
    assert ask(server, request()).status == 200
    # What this test did, and not the server, is in the log now.
    log = server._log_path
    log.write_text(log.read_text().replace("SIGKILL", "a signal").replace("[ERROR]", "[error]"))


def test_usr1_reopens_the_logs(tmp_path: Path) -> None:
    access = tmp_path / "access"
    with run_server(SITE, args=["--access-logfile", str(access)]) as server:
        assert ask(server, request("/?before")).status == 200
        server.wait_for(lambda: "?before" in access.read_text(), "the first line")
        access.rename(tmp_path / "rotated")
        server.kill(signal.SIGUSR1)
        server.wait_for(access.exists, "a new log")
        os.kill(server.worker_pid(), signal.SIGUSR1)  # as the master does; twice does no harm
        server.wait_for(
            lambda: ask(server, request("/?after")) and "?after" in access.read_text(), "its line"
        )


@pytest.mark.parametrize("worker", ["gunicorn_asgi.Worker", "gunicorn_asgi.SplitWorker"])
def test_what_goes_wrong_is_in_gunicorns_error_log(worker: str) -> None:
    with run_server(SITE, args=["--workers", "2"], worker=worker, may_log_errors=True) as server:
        assert ask(server, request("/fail")).status == 500
        assert ask(server, b"no request\r\n\r\n").status == 400
        server.wait_for_log("Invalid request from ip=")
        begin = r"^\[[^]]*\] \[\d+\] "
        for line in (r"\[ERROR\] the app failed at GET '/fail'", r"\[WARNING\] Invalid request"):
            assert re.search(begin + line, server.log(), re.M), "its beginning is gunicorn's"


def test_two_workers_share_a_listener() -> None:
    with run_server(SITE, args=["--workers", "2"]) as server:
        server.wait_for(lambda: len(server.worker_pids()) == 2, "two workers")
        assert [ask(server, request()).status for _ in range(50)] == [200] * 50


def test_several_addresses_are_served(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    binds = ("127.0.0.1:0", "127.0.0.1:0", f"unix:{path}")
    with run_server(SITE, binds=binds) as server:
        assert len(set(server.ports)) == 2
        for port in server.ports:
            with open_wire(server, port=port) as wire:
                environ = json.loads(wire.ask(request("/environ")).content)
                assert environ["SERVER_PORT"] == str(port)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            wire = Wire(sock)
            environ = json.loads(wire.ask(request("/environ")).content)
            assert environ["REMOTE_ADDR"] == ""
            assert environ["SERVER_NAME"] == "site.example"
            assert wire.ask(request("/stream?count=9&size=9999")).content == b"x" * 9 * 9999
    assert not path.exists()


@pytest.mark.skipif("protocol" not in make_settings(), reason="this gunicorn speaks HTTP only")
def test_what_gunicorn_offers_and_this_worker_does_not_is_refused_at_the_start() -> None:
    refusal = pytest.raises(AssertionError, match=r"does not do protocol\. .* have nginx say")
    with refusal, run_server(SITE, args=["--protocol", "uwsgi"]):
        pass


@pytest.mark.parametrize("rest", ["stream", "upload"])
def test_max_requests_leaves_nobody_waiting_for_what_takes_long(gate: Path, rest: str) -> None:
    """With one worker there is no other before this one has gone."""
    args, env = ["--max-requests", "4", "--graceful-timeout", "30"], {"GATE_FILE": str(gate)}
    with run_server(SITE, args=args, env=env) as server, open_wire(server) as wire:
        first = int(ask(server, request("/pid")).text)  # it serves by now
        if rest == "stream":
            begin_waiting(server, wire)
        else:
            wire.send(request("/count", "Content-Length: 100000", method="POST") + b"x" * 70000)
        time.sleep(1.3)  # what makes it long
        for _ in range(8):
            started = time.monotonic()
            assert ask(server, request("/pid")).text == str(first)
            assert time.monotonic() - started < 1
        if rest == "stream":
            gate.touch()
        else:
            wire.send(b"x" * 30000)
        response = wire.read_response()
        assert (response.status, response["connection"]) == (200, "close")
        server.wait_for(lambda: server.worker_pids() not in ([], [first]), "the next worker")
        assert ask(server, request("/pid")).text != str(first)


def test_an_endless_stream_delays_the_next_worker_no_longer_than_a_stop() -> None:
    args = ["--max-requests", "2", "--graceful-timeout", "5"]
    with run_server(SITE, args=args, may_log_errors=True) as server, open_wire(server) as wire:
        first = server.worker_pid()
        wire.send(request("/endless?pause=0.01&size=10"))
        wire.read_head()
        started = time.monotonic()
        slowest = 0.0
        while ask(server, request("/pid")).text == str(first):
            pass
        while time.monotonic() - started < 5:
            asked = time.monotonic()
            assert ask(server, request("/pid")).status == 200
            slowest = max(slowest, time.monotonic() - asked)
            if server.worker_pids() not in ([], [first]):
                break
        assert server.worker_pids() != [first]
        assert slowest < 3


SLOW_START = """\
import sys, time

def post_fork(server, worker):
    import gevent.hub
    reinit = gevent.hub.reinit

    def reinit_slowly():
        print("starting", file=sys.stderr, flush=True)
        time.sleep(0.3)
        reinit()

    gevent.hub.reinit = reinit_slowly
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_comes_before_the_site_is_loaded_is_heeded(
    tmp_path: Path, number: int
) -> None:
    config = tmp_path / "conf.py"
    config.write_text(SLOW_START)
    with run_server(SITE, args=["--config", str(config)]) as server:
        server.wait_for_log("starting")
        server.kill(number)
        if number == signal.SIGHUP:
            server.wait_for_log("starting", count=2)
            server.wait_for(lambda: len(server.worker_pids()) == 1, "the old worker's end")
        assert server.stop() < 3


def test_heartbeats_go_on_while_nothing_happens() -> None:
    started = time.monotonic()
    with run_server(SITE, args=["--timeout", "2"]) as server:
        first = server.worker_pid()
        with open_wire(server) as wire:
            wire.send(request("/sleep?seconds=2.4"))
            assert wire.read_response().content == b"slept"
        assert server.worker_pid() == first
        assert time.monotonic() - started > 2.4


def write_site(folder: Path, text: str) -> None:
    """Have the next worker load ``text`` before it has an app."""
    app = 'def application(environ, start):\n    start("200 OK", [])\n    return [b"here"]\n'
    told = 'import sys\nprint("the site is loaded", file=sys.stderr, flush=True)\n'
    (folder / "changing.py").write_text(f"{text}\n{app}\n{told}")


def test_a_site_that_cannot_be_loaded_any_more_ends_neither_gunicorn_nor_other_workers(
    tmp_path: Path,
) -> None:
    write_site(tmp_path, "")
    with run_server(
        "changing:application",
        args=["--workers", "2"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        chdir=tmp_path,
        may_log_errors=True,
        may_lose_workers=True,
    ) as server:
        server.wait_for_log("the site is loaded", count=2)
        assert ask(server, request()).content == b"here"
        write_site(tmp_path, "raise RuntimeError('half a deployment')")
        os.kill(server.worker_pid(), signal.SIGKILL)
        server.wait_for_log("the site cannot be loaded; it is tried again")
        assert ask(server, request()).content == b"here"
        server.kill(signal.SIGHUP)
        server.wait_for_log("the site cannot be loaded; it is tried again", count=3)
        write_site(tmp_path, "")
        assert ask(server, request()).content == b"here"


def test_a_reload_with_a_bad_setting_waits_for_a_good_one(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("")
    with run_server(SITE, args=["--config", str(config)], may_log_errors=True) as server:
        config.write_text("raw_env = ['ASGI_PING_INTERVAL=often']")
        server.kill(signal.SIGHUP)
        server.wait_for_log("ASGI_PING_INTERVAL is 'often', not a number")
        config.write_text("")
        server.kill(signal.SIGHUP)
        assert ask(server, request()).status == 200


@pytest.mark.skipif(
    "permit_unconventional_http_version" not in make_settings(), reason="of gunicorn 22 on"
)
def test_a_reload_tells_of_what_a_start_would_refuse_once(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("")
    with run_server(SITE, args=["--config", str(config), "--workers", "2"]) as server:
        old = server.wait_for(
            lambda: len(server.worker_pids()) == 2 and server.worker_pids(), "two"
        )
        assert ask(server, request()).status == 200
        config.write_text("permit_unconventional_http_version = True")
        server.kill(signal.SIGHUP)
        server.wait_for(
            lambda: len(server.worker_pids()) == 2 and not set(old) & set(server.worker_pids()),
            "two others",
        )
        assert ask(server, request()).status == 200
        sentence = "permit_unconventional_http_version is without effect with gunicorn_asgi.Worker"
        assert server.log().count(sentence) == 1
