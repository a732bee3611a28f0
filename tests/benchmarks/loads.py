"""The load on a server, made by another process: wrk, or one of ours (child.py).

A load reports what it got through and how long each answer took; it knows nothing of the
server's cost, which the caller reads around `Client.run` or `wrk`.
"""

import json
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass

from tests.benchmarks.servers import ROOT

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
READY_SECONDS = 120.0


@dataclass(frozen=True)
class Load:
    """What a load saw."""

    operations: int
    seconds: float
    p50: float
    """Half of the answers came within so many seconds."""
    p99: float
    busy: float
    """The share of its core that the load itself used: near 1, it measured itself."""


def wrk(port: int, core: int | None, *, connections: int, seconds: float) -> Load:
    """Request `/` over `connections` keep-alive connections for `seconds`; blocks.

    Raises RuntimeError when a socket failed or an answer was not a success.
    """
    command = [*pinned(core), "wrk", "-t1", f"-c{connections}", "--latency"]
    before = _children_cpu()
    output = subprocess.run(
        [*command, f"-d{max(1, round(seconds))}s", f"http://127.0.0.1:{port}/"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return parse_wrk(output, _children_cpu() - before)


def parse_wrk(output: str, cpu: float) -> Load:
    """Read the report of `wrk --latency`; `cpu` is the seconds of CPU time that wrk used."""
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", output)
    if total is None or "Socket errors" in output or "Non-2xx" in output:
        raise RuntimeError(f"wrk met errors:\n{output}")
    seconds = float(total[2]) * UNITS[total[3]]
    p50, p99 = (_percentile(output, name) for name in ("50%", "99%"))
    return Load(int(total[1]), seconds, p50, p99, cpu / seconds)


def _percentile(output: str, name: str) -> float:
    match = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s|m)$", output, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"no {name} line in what wrk printed:\n{output}")
    return float(match[1]) * UNITS[match[2]]


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Client:
    """A load process of ours (child.py) that is ready and waits for `run`.

    Owner: the `with` block, whose end ends the process.
    """

    def __init__(self, module: str, *arguments: object, core: int | None):
        command = [*pinned(core), sys.executable, "-m", module, *map(str, arguments)]
        self._name = f"{module} {arguments[0]}"
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Client":
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise RuntimeError(f"the load {self._name} is not ready; its message is above")
        return self

    def run(self, seconds: float) -> Load:
        """Work for `seconds`; blocks. Raises RuntimeError when an answer was wrong or missing."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load {self._name} failed; its message is above")
        return Load(**json.loads(line))

    def __exit__(self, *exc_info: object) -> None:
        self._process.stdin.close()
        self._process.wait(READY_SECONDS)
        self._process.stdout.close()


def pinned(core: int | None) -> list[str]:
    """Return what goes before a command that is to run on that core, or on any if None."""
    return [] if core is None else ["taskset", "-c", str(core)]


def check_tools(*names: str) -> None:
    """Raise RuntimeError when a program that a load or a peer needs is not installed."""
    if missing := [name for name in names if shutil.which(name) is None]:
        raise RuntimeError(f"not installed, see the docs: {', '.join(missing)}")
