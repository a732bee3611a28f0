"""A real uWSGI with our fragment, in a subprocess, for one test or for a module of them.

    with run_uwsgi("tests.apps.sockets:application", ["--consumers", "2"]) as server:
        server.url, server.port, server.pid, server.mule_pids("consumer"), server.log()

The same interface as that of `servers`, which the clients of `sockets` and `wire` take. Which uWSGI
it is, says the variable UWSGI: the path of a binary that was made for this interpreter, as
`make test` has it. Without it the tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from tests.integration.servers import ROOT, Server, die_with_parent, is_alive
from wsgi_bridge.commands.opening import urls_of_ipc

SOCKETS = "tests.apps.sockets:application"
VARIABLE = "UWSGI"
# What a uWSGI that works never writes, whatever its clients do.
_ERRORS = ("Traceback (most recent call last)", " ERROR ", "OOOPS", "DAMN", "Segmentation Fault")


def skip_or_fail(missing: str) -> NoReturn:
    """Skip the test for what is missing; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def find_uwsgi() -> str:
    """Return the path of the binary; skip the test if none is named (in CI fail)."""
    named = os.environ.get(VARIABLE) or shutil.which("uwsgi", path=Path(sys.executable).parent)
    if not named:
        skip_or_fail(f"there is no uWSGI: set {VARIABLE}, or run `make test-uwsgi`")
    assert Path(named).is_file(), f"{VARIABLE} is {named!r}, which is no file"
    return named


class UwsgiServer(Server):
    """A running uWSGI. ``pid`` is its master's."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path, mules: int) -> None:
        self.process = process
        self.pid = process.pid
        self._log_path = log_path
        self.wait_for(lambda: self._is_ready(mules), "uWSGI to be ready")
        self.ports = self._find_ports()
        self.port = self.ports[0] if self.ports else 0
        self.url = f"http://127.0.0.1:{self.port}"

    def _is_ready(self, mules: int) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"uWSGI ended with {self.process.returncode}:\n{self.log()}")
        log = self.log()
        ready = log.count("running consumers\n") + log.count("holding sockets\n")
        return ready >= mules and "spawned uWSGI worker 1 " in log

    def _find_ports(self) -> list[int]:
        """Return the ports of uWSGI's HTTP router, if it has one, before those of its workers."""
        log = self.log()
        routers = re.findall(r"uWSGI https? bound on \S*:(\d+)", log)
        sockets = re.findall(r"socket \d+ bound to TCP address \S*:(\d+)", log)
        return [int(port) for port in [*routers, *sockets]]

    def log(self) -> str:
        """Return what all processes wrote so far."""
        # uWSGI seeks in its log: what is written to a file may begin with zeros.
        return self._log_path.read_bytes().decode(errors="replace").lstrip("\0")

    def mule_pids(self, kind: str) -> list[int]:
        """Return the process ids of the mules alive now that are of a kind, by what they log."""
        text = {"terminator": "holding sockets", "consumer": "running consumers"}[kind]
        pids = {int(pid) for pid in re.findall(rf"\[(\d+)\] INFO \S+: {text}", self.log())}
        return sorted(pids.intersection(self.child_pids()))

    def child_pids(self) -> list[int]:
        """Return the process ids of all children alive now."""
        return [child.pid for child in psutil.Process(self.pid).children() if is_alive(child)]

    def layer_url(self) -> str:
        """Return the URL of the layer that its processes made for themselves."""
        [url] = [url for url in urls_of_ipc() if url.startswith(f"ipc://uwsgi-{self.pid}-")]
        return url

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers alive now."""
        spawned = re.findall(r"pawned uWSGI worker \d+ \((?:new )?pid: (\d+)", self.log())
        return sorted({int(pid) for pid in spawned}.intersection(self.child_pids()))

    def destroy(self) -> None:
        """End all its processes at once."""
        if self.process.poll() is None:
            for pid in [*self.child_pids(), self.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()

    def check_clean(self, *, may_log_errors: bool, may_lose_workers: bool) -> None:
        """Fail unless uWSGI, which has ended, ended well and had no error to tell of."""
        log = self.log()
        assert self.process.returncode == 0, f"exit status {self.process.returncode}:\n{log}"
        for text in () if may_log_errors or may_lose_workers else _ERRORS:
            assert text not in log, f"{text!r} in the log:\n{log}"


@contextlib.contextmanager
def run_uwsgi(
    module: str = SOCKETS,
    config: Sequence[str] = (),
    *,
    options: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    env: Mapping[str, str] | None = None,
    mules: int = 2,
    binary: str = "",
    may_log_errors: bool = False,
    may_lose_workers: bool = False,
) -> Iterator[UwsgiServer]:
    """Run uWSGI while the block runs; whoever leaves it learns that uWSGI ended cleanly.

    ``config``: arguments of `python -m uwsgi_asgi.config`; ``options``: more lines of ini, which
    replace the usual ones; ``mules``: how many of ours to wait for; ``binary``: another uWSGI.
    """
    binary = binary or find_uwsgi()
    with tempfile.TemporaryDirectory(prefix="uwsgi-") as folder:
        ini = Path(folder, "site.ini")
        ini.write_text(make_ini(module, config, dict(options), Path(folder)))
        log_path = Path(folder, "log")
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                [binary, "--ini", str(ini)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        server = UwsgiServer.__new__(UwsgiServer)
        try:
            server.__init__(process, log_path, mules)  # type: ignore[misc]
            yield server
        except BaseException:
            print(server.log())
            server.destroy()
            raise
        server.stop(signal.SIGINT)
        server.check_clean(may_log_errors=may_log_errors, may_lose_workers=may_lose_workers)


def free_port() -> int:
    """Return a port for a socket of a uWSGI that reloads: of port 0 it would make another."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def make_ini(module: str, config: Sequence[str], options: dict[str, str], folder: Path) -> str:
    """Return the ini of a site, as its administrator would write it."""
    usual = {
        "http-socket": "127.0.0.1:0",
        "processes": "2",
        "module": module,
        "pythonpath": str(ROOT),
        "venv": sys.prefix,
        "die-on-term": "true",
        "log-master-bufsize": "65536",
        # A worker that is told to end before it listens to signals is killed by then.
        "worker-reload-mercy": "4",
    }
    given = {**usual, **options}
    # Debian's has the options of a plugin only behind it.
    names = sorted(given, key=lambda name: name != "plugin")
    lines = [f"{name} = {given[name]}" for name in names if given[name]]
    arguments = " ".join(config)
    include = f"ini = exec://{sys.executable} -m uwsgi_asgi.config {arguments} :uwsgi"
    return "\n".join(["[uwsgi]", *lines, include, ""])
