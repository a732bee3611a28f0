"""A terminator that uWSGI attaches as a daemon: its sockets outlive the reload of everything."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.integration.servers import PATIENCE, wait_for
from tests.integration.sockets import RawSocket
from tests.integration.uwsgi_crowd import Crowd
from tests.integration.uwsgi_servers import free_port, run_uwsgi
from tests.integration.wire import Wire
from tests.uwsgi_asgi.environ import make_handshake
from tests.uwsgi_asgi.packets import make_packet
from tests.wsgi_bridge.protocols.frames import CLOSE

pytestmark = pytest.mark.integration
LIFE = "tests.apps.uwsgi_life:application"
SOCKETS = 100


class DirectSocket(RawSocket):
    """A WebSocket that comes as from nginx, in the uwsgi protocol; `server` is a path."""

    def __init__(self, server, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(server))
        self.wire = Wire(sock)
        environ = make_handshake(PATH_INFO=path, REQUEST_URI=path)
        self.wire.send(make_packet({key: text for key, text in environ.items() if key.isupper()}))
        self.start_reading()


@pytest.fixture
def daemon(tmp_path):
    found = Daemon(tmp_path)
    yield found
    found.kill()


class Daemon:
    """Its paths, and the command that starts it."""

    def __init__(self, folder):
        self.pidfile, self.path = folder / "asgi.pid", folder / "asgi.sock"
        self.layer = f"ipc://{folder}/layer"
        self.arguments = (
            f"-m uwsgi_asgi.daemon --pidfile {self.pidfile} --listen {self.path} "
            f"--layer {self.layer}"
        )
        self.command = f"{sys.executable} {self.arguments}"

    def pid(self):
        text = self.pidfile.read_text() if self.pidfile.exists() else ""
        return int(text or 0)

    def wait(self):
        """Wait until it listens; return its process id."""
        wait_for(self._listens, "the daemon to listen")
        return self.pid()

    def _listens(self):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.path))
            return True
        return False

    def kill(self):
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if pid := self.pid():
                os.kill(pid, signal.SIGKILL)


def test_sockets_of_a_daemon_outlive_a_reload_and_a_stop(daemon):
    options = {
        "http-socket": f"127.0.0.1:{free_port()}",
        "smart-attach-daemon2": f"{daemon.pidfile} {daemon.command}",
    }
    with run_uwsgi(LIFE, ["--layer", daemon.layer], options=options) as server:
        pid = daemon.wait()
        crowd = Crowd(daemon.path, "/echo", SOCKETS, DirectSocket)
        crowd.check_open()
        old = server.worker_pids()
        server.kill(signal.SIGHUP)
        crowd.say()  # waits in the layer for the new consumers
        server.wait_for(lambda: set(server.worker_pids()) - set(old), "new workers")
        crowd.check_echoes()
        crowd.check_open()
        assert daemon.pid() == pid
    process = psutil.Process(pid)
    assert process.is_running()
    with crowd:
        process.terminate()
        for each in crowd.sockets:
            assert each.read_frame() == (CLOSE, (1012, ""))
    wait_for(lambda: not daemon.pidfile.exists(), "the daemon to end")


def test_a_daemon_that_dies_is_started_again(daemon):
    # The same, but for how often uWSGI looks whether it is there.
    options = {"attach-daemon2": f"pidfile={daemon.pidfile},freq=1,cmd={daemon.command}"}
    config = ["--layer", daemon.layer]
    with run_uwsgi(LIFE, config, options=options, may_lose_workers=True):
        pid = daemon.wait()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not psutil.pid_exists(pid), "it to be gone")
        assert daemon.wait() != pid
        with Crowd(daemon.path, "/echo", 1, DirectSocket) as crowd:
            crowd.check_open()


@pytest.mark.parametrize("layer", ["memory://", "ipc://", "mysite"])
def test_a_layer_without_a_name_is_refused(tmp_path, layer):
    arguments = ["--pidfile", str(tmp_path / "pid"), "--listen", str(tmp_path / "sock")]
    command = [sys.executable, "-m", "uwsgi_asgi.daemon", *arguments, "--layer", layer]
    found = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert found.returncode == 2
    assert "such as ipc://mysite" in found.stderr
