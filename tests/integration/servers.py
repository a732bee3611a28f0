"""A real gunicorn with our worker class, in a subprocess, for one test or for a module of them.

    with run_server("tests.apps.hello:application", args=["--keep-alive", "1"]) as server:
        server.url, server.port, server.pid, server.worker_pid(), server.log()
        with server.connect() as sock: ...          # a connected socket, 10 s of patience

It listens on a free port of 127.0.0.1 unless ``binds`` says otherwise. Whoever leaves the block
stops the server and learns that it ended cleanly: exit status 0, in time, nobody killed, and no
error in its log unless ``may_log_errors``. When a test fails in the block, the log is shown with
the failure.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from gunicorn.config import make_settings

ROOT = Path(__file__).parents[2]
HELLO = "tests.apps.hello:application"
PATIENCE = 10.0  # seconds that a shared, busy machine may take for anything
# Of gunicorn 25.1 on: several that run at once would share one.
NO_CONTROL_SOCKET = ["--no-control-socket"] if "control_socket_disable" in make_settings() else []
LOOK_EVERY = 0.005  # seconds between two looks at a condition
PR_SET_PDEATHSIG = 1  # of Linux's prctl
_LISTENING = re.compile(r"Listening at: (\S+) \((\d+)\)")
# What a server that works never writes, whatever its clients do.
_KILLED = ("SIGKILL", "WORKER TIMEOUT", "Worker failed to boot")
_ERRORS = ("Traceback (most recent call last)", "[ERROR]", "[CRITICAL]", "unfinished")


def wait_for(
    condition: Callable[[], Any], what: str, *, patience: float = PATIENCE, log: Any = None
) -> Any:
    """Look until ``condition`` returns something true, and return that; fail after ``patience``."""
    deadline = time.monotonic() + patience
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            shown = f"; the server wrote:\n{log()}" if log else ""
            raise AssertionError(f"waited {patience} s for {what}{shown}")
        time.sleep(LOOK_EVERY)


class Server:
    """A running gunicorn. ``pid`` is its master's."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.process = process
        self.pid = process.pid
        self._log_path = log_path
        found = wait_for(self._find_listening, "gunicorn to listen", log=self.log)
        self.addresses: list[str] = found[1].split(",")
        ports = [int(port) for port in re.findall(r"https?://[^,]*?:(\d+)", found[1])]
        self.ports = ports
        self.port = ports[0] if ports else 0
        self.url = f"http://127.0.0.1:{self.port}"

    def _find_listening(self) -> re.Match[str] | None:
        if self.process.poll() is not None:
            raise AssertionError(f"gunicorn ended with {self.process.returncode}:\n{self.log()}")
        return _LISTENING.search(self.log())

    def log(self) -> str:
        """Return what master and workers wrote so far, access lines too when they go to ``-``."""
        return self._log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, *, count: int = 1) -> str:
        """Wait until ``text`` was logged ``count`` times; return the log."""
        self.wait_for(lambda: self.log().count(text) >= count, f"{text!r} in the log")
        return self.log()

    def wait_for(self, condition: Callable[[], Any], what: str, **options: Any) -> Any:
        """As the function; shows the log when it fails."""
        return wait_for(condition, what, log=self.log, **options)

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers alive now, oldest first."""
        return sorted(child.pid for child in psutil.Process(self.pid).children() if is_alive(child))

    def worker_pid(self) -> int:
        """Return the process id of the only worker; wait for it to be there."""
        return int(self.wait_for(self.worker_pids, "a worker")[0])

    def connect(
        self,
        *,
        timeout: float = PATIENCE,
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> socket.socket:
        """Return a new connection, whose operations fail after ``timeout`` seconds.

        Over TLS its end must have been announced: else reading fails there.
        """
        sock = socket.create_connection(("127.0.0.1", port or self.port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return sock
        return tls.wrap_socket(sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)

    def kill(self, number: int) -> None:
        """Send a signal to the master."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, *, patience: float = 15.0) -> float:
        """Stop the server, once; return the seconds until it had ended. Fails when it did not."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.destroy()
            raise AssertionError(f"gunicorn did not end:\n{self.log()}") from None
        return time.monotonic() - started

    def destroy(self) -> None:
        """End the master and its workers at once."""
        if self.process.poll() is not None:
            return
        for pid in [*self.worker_pids(), self.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def check_clean(self, *, may_log_errors: bool, may_lose_workers: bool) -> None:
        """Fail unless the server, which has ended, ended well and had no error to tell of."""
        # Before gunicorn 22 an order was an error.
        log = re.sub(
            r"\[ERROR\] (Worker \(pid:\d+\) was sent SIG(?:TERM|INT|QUIT)!)", r"\1", self.log()
        )
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{log}"
        killed, errors = (() if may_lose_workers else _KILLED), (() if may_log_errors else _ERRORS)
        for text in (*killed, *errors):
            assert text not in log, f"{text!r} in the log:\n{log}"


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is still there, and not only for its parent to reap."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def run_server(
    app: str = HELLO,
    *,
    args: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    binds: Sequence[str] = ("127.0.0.1:0",),
    chdir: Path = ROOT,
    may_log_errors: bool = False,
    may_lose_workers: bool = False,
    may_lose_master: bool = False,
    worker: str = "gunicorn_asgi.Worker",
    program: Sequence[str] = ("-m", "gunicorn"),
) -> Iterator[Server]:
    """Run ``gunicorn -k gunicorn_asgi.Worker`` while the block runs; see the module's docstring.

    ``args``: more of gunicorn's options; ``env``: variables added to the environment; ``chdir``:
    where the app's module is (the repository's root is importable too); ``may_lose_workers``:
    whether the test kills some; ``may_lose_master``: whether it kills the master; ``worker``:
    another class; ``program``: what Python runs.
    """
    with tempfile.TemporaryDirectory(prefix="gunicorn-") as folder:
        log_path = Path(folder) / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                _command(program, worker, app, binds, chdir, args),
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        server: Server | None = None
        try:
            server = Server(process, log_path)
            yield server
        except BaseException:
            print(log_path.read_text(errors="replace"))
            if server is not None:
                server.destroy()
            process.kill()
            process.wait()
            raise
        server.stop()
        if not may_lose_master:
            server.check_clean(may_log_errors=may_log_errors, may_lose_workers=may_lose_workers)


def die_with_parent() -> None:
    """Have the kernel stop the server when the tests are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _command(
    program: Sequence[str],
    worker: str,
    app: str,
    binds: Sequence[str],
    chdir: Path,
    args: Sequence[str],
) -> list[str]:
    command = [sys.executable, *program, "-k", worker, *NO_CONTROL_SOCKET]
    command += ["--chdir", str(chdir), "--pythonpath", str(ROOT)]
    for bind in binds:
        command += ["-b", bind]
    return [*command, *args, app]
