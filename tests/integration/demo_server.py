"""The demo as somebody runs it: `make demo`, in a subprocess. Not a test."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTING = 20.0  # seconds: a server's start on a busy machine
STOPPING = 15.0  # seconds: past the demo's graceful_timeout
# What gunicorn and uWSGI write when they listen.
LISTENING = re.compile(r"(?:Listening at: http://|bound to TCP address )127\.0\.0\.1:(\d+)")


class DemoServer:
    """The demo as `make demo` serves it; its port stays the same when it is started again.

    ``variables`` are more of make's, such as SERVER=uwsgi.
    """

    def __init__(self, log: Path, *variables: str) -> None:
        self.port = 0
        self._log = log
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with the environment that runs the tests, and wait until it listens."""
        environment = [f"BIN={Path(sys.executable).parent}", "STAMP=Makefile"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["make", "demo", f"PORT={self.port}", *environment, *self._variables],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,  # make, and the server that it runs
            )
        self.port = self._wait_for_port(time.monotonic() + STARTING)

    def stop(self) -> float:
        """Stop it as Ctrl-C would; return how many seconds it took until no process was left."""
        if self._process is None:
            return 0.0
        process, self._process = self._process, None
        started = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(STOPPING)
            while _is_group(process.pid):
                assert time.monotonic() < started + STOPPING, "a process of the demo is left"
                time.sleep(0.01)
        except (subprocess.TimeoutExpired, AssertionError) as exc:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AssertionError(f"{exc}, after {STOPPING} s:\n{self.log()}") from None
        return time.monotonic() - started

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait_for_port(self, deadline: float) -> int:
        while self._process is not None and self._process.poll() is None:
            found = LISTENING.search(self.log())
            if found:
                return int(found[1])
            assert time.monotonic() < deadline, f"the demo does not listen:\n{self.log()}"
            time.sleep(0.01)
        raise AssertionError(f"the demo ended:\n{self.log()}")


def _is_group(number: int) -> bool:
    """Whether any process is in this process group."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True
