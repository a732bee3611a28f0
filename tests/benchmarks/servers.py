"""How a server is started, on a core of its own or on any, found, and stopped.

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
# gunicorn: "Listening at: http://127.0.0.1:4711 (123)"; uvicorn: "running on http://127.0.0.1:4711";
# daphne: "Listening on TCP address 127.0.0.1:4711";
# the processes of layers/ that have no port: "ready".
LISTENING = re.compile(
    r"(?:Listening at: \w+://|running on \w+://|TCP address )127\.0\.0\.1:(\d+)|^ready$", re.M
)
# Where a layer of processes of one machine is by itself, unless the session has a place of its own.
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Server:
    """A server to be measured: its name in the tables, its command, what it needs."""

    name: str
    command: tuple[str, ...]
    has_arbiter: bool = False
    """Whether the first process only supervises; its CPU time is then not counted."""
    workers: int = 0
    """Processes that the first one starts, and that are waited for."""
    layer: str = ""
    """The channel layer that it is given: "ipc", "memory", "redis", or none."""
    layer_variable: str = "BENCHMARK_LAYER"
    """Where it looks for the layer's URL; in its command, {layer} stands for that too."""


def gunicorn(name: str, app: str, worker: str, *options: str, workers: int = 1) -> Server:
    """Return gunicorn with processes of the worker class `worker` and keep-alive that lasts."""
    command = (
        *(sys.executable, "-m", "gunicorn", "-k", worker, "-w", str(workers)),
        # A second gunicorn would fight over the control socket; a connection outlives a pause.
        *("-b", "127.0.0.1:0", "--no-control-socket", "--keep-alive", "75"),
        *("--worker-connections", "20000", *options, f"{APPS}.{app}:application"),
    )
    return Server(name, command, has_arbiter=True, workers=workers)


def uvicorn(name: str, app: str, *options: str, layer: str = "") -> Server:
    """Return uvicorn with its two accelerators and without what only costs."""
    command = (
        *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "0"),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--lifespan", "off"),
        *(*options, f"{APPS}.{app}:application"),
    )
    return Server(name, command, layer=layer)


def layer_process(name: str, role: str, kind: str, layer: str, **options: int) -> Server:
    """Return a process that works through a layer; see layers/."""
    flags = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]
    command = (sys.executable, "-m", "tests.benchmarks.layers", role, kind, "{layer}", *flags)
    return Server(name, command, layer=layer)


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
    layer: str
    """The URL of the layer that it was given."""

    @property
    def pids(self) -> list[int]:
        """The processes that serve: the arbiter of a gunicorn is left out."""
        below = cpu.descendants(self.process.pid)
        return below if self.server.has_arbiter else [self.process.pid, *below]


@contextmanager
def running(server: Server, core: int | None) -> Iterator[Running]:
    """Start `server` on `core`, or on any if None; yield it when it listens, stop it at the end.

    Raises RuntimeError, with the server's log, when it does not listen within START_SECONDS, or
    when what is done with it raises one.
    """
    with tempfile.TemporaryFile() as log, running_layer(server.layer) as layer:
        command = [part.replace("{layer}", layer) for part in server.command]
        with _process(command, core, log, {server.layer_variable: layer}) as process:
            try:
                yield Running(server, process, _wait_for_port(server, process, log), layer)
            except RuntimeError as error:
                raise RuntimeError(f"{server.name}: {error}; its log ends:\n{_end(log)}") from error


@contextmanager
def running_layer(kind: str) -> Iterator[str]:
    """Yield the URL of a layer of its own, which is gone at the end; "" for none."""
    if kind == "redis":
        with running_redis() as url:
            yield url
    elif kind == "ipc":
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=SHARED_MEMORY) as folder:
            yield f"ipc://{folder}/layer"
    else:
        yield f"{kind}://" if kind else ""


@contextmanager
def running_redis() -> Iterator[str]:
    """Start a Redis that keeps nothing on disk; yield its URL, stop it at the end.

    It runs on whichever core is free, and its CPU time is not counted: both to the advantage of
    who uses it.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder)
        with _process(("redis-server", *options, "--appendonly", "no"), None, log, {}) as process:
            _wait_for_redis(process, port)
            yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _process(command, core: int | None, log, environ) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environ}, stdout=log, stderr=subprocess.STDOUT
    )
    if core is not None:
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
        if match and len(cpu.descendants(process.pid)) >= server.workers:
            return int(match[1] or 0)
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
