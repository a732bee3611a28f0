"""How a server is started on a core of its own, found, and stopped.

Knows nothing of loads or of what is compared; scenarios.py names the servers. Each one chooses
its port itself (port 0) and says it in its log, which is shown when it does not start.
"""

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks import cpu

ROOT = Path(__file__).resolve().parents[2]
APPS = "tests.benchmarks.apps"
START_SECONDS = 20.0
STOP_SECONDS = 10.0
# gunicorn: "Listening at: http://127.0.0.1:4711 (123)"; uvicorn: "running on http://127.0.0.1:4711".
LISTENING = re.compile(r"(?:Listening at:|running on) http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Server:
    """A server to be measured: its name in the tables, its command, what it needs."""

    name: str
    command: tuple[str, ...]
    has_arbiter: bool = False
    """Whether the first process only supervises; its CPU time is then not counted."""
    needs_redis: bool = False
    ours: bool = False


def gunicorn(name: str, app: str, worker: str, *options: str, ours: bool = False) -> Server:
    """Return gunicorn with one process of the worker class `worker` and keep-alive that lasts."""
    command = (
        *(sys.executable, "-m", "gunicorn", "-k", worker, "-w", "1", "-b", "127.0.0.1:0"),
        # A second gunicorn would fight over the control socket; a connection outlives a pause.
        *("--no-control-socket", "--keep-alive", "75", "--worker-connections", "20000"),
        *(*options, f"{APPS}.{app}:application"),
    )
    return Server(name, command, has_arbiter=True, ours=ours)


def uvicorn(name: str, app: str, *options: str, needs_redis: bool = False) -> Server:
    """Return uvicorn with its two accelerators and without what only costs."""
    command = (
        *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "0"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--lifespan", "off"),
        *(*options, f"{APPS}.{app}:application"),
    )
    return Server(name, command, needs_redis=needs_redis)


def raise_descriptor_limit() -> None:
    """Let this process, and all that it starts, open as many descriptors as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@dataclass(frozen=True)
class Running:
    """A started server. Owner: the `running` block that made it."""

    server: Server
    process: subprocess.Popen[bytes] = field(repr=False)
    port: int

    @property
    def pids(self) -> list[int]:
        """The processes that serve: the arbiter of a gunicorn is left out."""
        below = cpu.descendants(self.process.pid)
        return below if self.server.has_arbiter else [self.process.pid, *below]


@contextmanager
def running(server: Server, core: int, environ: dict[str, str]) -> Iterator[Running]:
    """Start `server` on `core`, yield it when it listens, stop it at the end.

    `environ` is added to this process's environment. Raises RuntimeError, with the server's log,
    when it does not listen within START_SECONDS, or when what is done with it raises one.
    """
    with tempfile.TemporaryFile() as log, _process(server.command, core, log, environ) as process:
        try:
            yield Running(server, process, _wait_for_port(server, process, log))
        except RuntimeError as error:
            raise RuntimeError(f"{server.name}: {error}; its log ends:\n{_end(log)}") from error


@contextmanager
def running_redis(core: int) -> Iterator[str]:
    """Start a Redis that keeps nothing on disk, on `core`; yield its URL, stop it at the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        with _process(("redis-server", *options, "--appendonly", "no"), core, log, {}) as process:
            _wait_for_redis(process, port)
            # redis-py's own bound of 100 fails when a thousand sockets join a group at once.
            yield f"redis://127.0.0.1:{port}/0?max_connections=10000"


@contextmanager
def _process(command, core, log, environ) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environ}, stdout=log, stderr=subprocess.STDOUT
    )
    # Set from here and at once: whatever the process starts later inherits it.
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    below = cpu.descendants(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        for pid in below:
            with suppress(ProcessLookupError):  # most end when their parent does
                os.kill(pid, signal.SIGKILL)


def _wait_for_port(server: Server, process: subprocess.Popen[bytes], log) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        match = LISTENING.search(_text(log))
        if match and (not server.has_arbiter or cpu.descendants(process.pid)):
            return int(match[1])
        time.sleep(0.01)
    raise RuntimeError("does not listen")


def _wait_for_redis(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.01)
    raise RuntimeError(f"redis-server does not listen on port {port}")


def _text(log) -> str:
    # pread, because the server writes through the same file offset.
    return os.pread(log.fileno(), 1 << 20, 0).decode("utf-8", "replace")


def _end(log) -> str:
    return "\n".join(_text(log).splitlines()[-40:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
