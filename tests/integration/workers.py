"""A real `wsgi-bridge worker` in a subprocess, and a client that talks to it through an ipc layer.

    with run_worker("tests.apps.jobs:application", tmp_path, "--threads", "2") as worker:
        worker.ask("/pid")
        worker.replies(1)

Whoever leaves the block stops the worker and learns that it ended cleanly, with all its children.
When a test fails in the block, the log is shown with the failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from tests.integration.servers import ROOT, die_with_parent
from wsgi_bridge import open_layer

# Seconds that anything may take on a busy machine.
PATIENCE = 40.0
LOOK_EVERY = 0.01
JOBS = "tests.apps.jobs:application"

_names = itertools.count(1)


class WorkerCommand:
    """A running command. ``pid`` is the parent's."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.layer = open_layer(url, capacity=10_000)
        self.reader = f"test.response.{os.getpid()}-{next(_names)}!"
        self.layer.receive_many([self.reader])
        self._numbers = itertools.count(1)
        self._log_path = log_path
        self.pending: dict[str, dict[str, Any]] = {}

    def log(self) -> str:
        return self._log_path.read_text()

    def children(self) -> set[int]:
        """Return the ids of the worker processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return {child.pid for child in psutil.Process(self.pid).children()}
        return set()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}:\n{self.log()}"
            time.sleep(LOOK_EVERY)
        return found

    def wait_for_log(self, text: str, times: int = 1) -> None:
        self.wait_for(lambda: self.log().count(text) >= times, f"{text!r} in the log")

    def wait_for_end(self) -> int:
        """Return the exit status."""
        self.wait_for(lambda: self.process.poll() is not None, "the end of the parent")
        return self.process.returncode

    def wait_for_begun(self, door: Path, times: int = 1) -> None:
        """Wait until so many consumers wait for `door`."""
        begun = Path(f"{door}.begun")
        self.wait_for(
            lambda: begun.exists() and begun.stat().st_size >= times, f"{times} consumers to begin"
        )

    # Requests

    def ask(self, path: str, **query: object) -> str:
        """Send a request; return its reply channel."""
        reply = f"{self.reader}{next(self._numbers)}"
        self.layer.send(
            "http.request",
            {
                "reply_channel": reply,
                "http_version": "1.1",
                "method": "GET",
                "path": path,
                "query_string": urlencode(query).encode(),
                "headers": [],
            },
        )
        return reply

    def replies(self, count: int) -> dict[str, dict[str, Any]]:
        """Return so many answers by their reply channels."""
        found: dict[str, dict[str, Any]] = {}
        deadline = time.monotonic() + PATIENCE
        while len(found) < count:
            for channel, message in self.layer.receive_many([self.reader], 100, 0.5):
                assert channel not in found
                found[str(channel)] = message
            assert time.monotonic() < deadline, f"{len(found)} of {count} replies:\n{self.log()}"
        return found

    def fetch(self, path: str) -> str:
        """Return the content of one answer."""
        self.ask(path)
        [answer] = self.replies(1).values()
        content: bytes = answer["content"]
        return content.decode()

    def process_of(self, path: str = "/pid") -> int:
        """Return the id of the process that answers."""
        return int(self.fetch(path).split()[0])


@contextlib.contextmanager
def run_worker(
    target: str,
    directory: Path,
    *options: str,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    layer: str = "",
    wait: bool = True,
) -> Iterator[WorkerCommand]:
    """Run the command during the block; wait until it takes messages, unless told not to."""
    url = f"ipc://{directory}/layer"
    log_path = directory / "worker.log"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "CHANNEL_LAYER": layer or url, **(env or {})}
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wsgi_bridge", "worker", target, *options],
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    worker = WorkerCommand(process, url, log_path)
    try:
        if wait:
            worker.wait_for_log("ready: ")
        yield worker
        end_cleanly(worker)
    finally:
        left = worker.children()
        process.kill()
        process.wait()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.layer.close()


def end_cleanly(worker: WorkerCommand) -> None:
    """Stop it, if it runs: exit status 0, and no child is left."""
    if worker.process.poll() is None:
        children = worker.children()
        worker.signal(signal.SIGTERM)
        assert worker.wait_for_end() == 0, worker.log()
        assert not [pid for pid in children if psutil.pid_exists(pid)]
