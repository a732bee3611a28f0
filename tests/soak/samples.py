"""What the processes of a site hold, and its layer: looked at from outside, once a second.

Linux only. Memory is the proportional set size: pages that several processes share are divided
among them, so that the sum is what the site takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import cpu
from wsgi_bridge.layers.base import BaseLayer

__all__ = ["Sample", "Sampler"]

#: The roles of the process that was started, and of those that have not said yet what they are.
MASTER, NEW = "Master", "new"


@dataclass(frozen=True)
class Sample:
    """One look. Figures by their names; those of processes by process id."""

    at: float
    processes: dict[int, dict[str, float]]
    roles: dict[int, str]
    layer: dict[str, float]

    def total(self, name: str) -> float:
        """Return the sum of a figure over all processes."""
        return sum(figures.get(name, 0.0) for figures in self.processes.values())


@dataclass
class Sampler:
    """Takes samples in a thread, as a context manager.

    `folder`: where workers say what only they know. Times are of the monotonic clock.
    """

    master: int
    folder: Path
    layer: BaseLayer
    interval: float = 1.0
    samples: list[Sample] = field(default_factory=list)

    def __enter__(self) -> Sampler:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="samples")
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.wait(self.interval):
            self.samples.append(self._take())

    def _take(self) -> Sample:
        processes, roles = {}, {}
        for pid in (self.master, *cpu.descendants(self.master)):
            # It may end while it is looked at.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
                own = self._read_own(pid)
                role = MASTER if pid == self.master else str(own.pop("role", NEW))
                processes[pid] = {**look_at(pid), **own}
                roles[pid] = role
        return Sample(time.monotonic(), processes, roles, look_at_layer(self.layer))

    def _read_own(self, pid: int) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / f"{pid}.figures").read_text()))
        except FileNotFoundError:
            return {}


def look_at(pid: int) -> dict[str, float]:
    """Return what the kernel says of a process."""
    targets = [_target(path) for path in os.scandir(f"/proc/{pid}/fd")]
    return {
        "memory": cpu.memory([pid]),
        "sockets": sum(target.startswith("socket:") for target in targets),
        "files": sum(bool(target) and not target.startswith("socket:") for target in targets),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
    }


def _target(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry.path)
    except FileNotFoundError:  # closed meanwhile
        return ""


def look_at_layer(layer: Any) -> dict[str, float]:
    """Return what an ipc layer holds."""
    env = layer._attach().store._opened()
    found = env.stat()
    figures = layer.global_statistics()
    return {
        "messages that wait": figures["messages_pending"],
        "groups": len(layer.statistics_by_group()),
        "entries": found["entries"],
        "pages": found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"],
        "files": len(os.listdir(layer.directory)),
    }
