"""The processes of an audit: started, killed, and none of them left behind.

A role is a function `role(plan, name, stop)` in a module of this package. Its process is

    python -m tests.audit.children MODULE:FUNCTION NAME PLAN

where NAME is `SLOT.LIFE`: who is started again in the place of a killed one has the next life. It
ends by itself when it gets SIGTERM, and when the process that started it has gone.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.audit.plan import Plan

__all__ = ["Child", "Children", "Stop"]

ROOT = Path(__file__).parent.parent.parent

#: Seconds within which a process ends that was asked to.
PATIENCE = 30.0


class Stop:
    """Whether a role is to come to its end."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._parent = os.getppid()

    def set(self, *_: object) -> None:
        self._event.set()

    def is_set(self) -> bool:
        if os.getppid() != self._parent:
            os._exit(1)  # nobody reads these logs any more
        return self._event.is_set()


@dataclass
class Child:
    """One process; `slot` is its place and `life` how many were there before it."""

    role: str
    slot: str
    life: int
    process: subprocess.Popen[bytes]
    started: float

    @property
    def name(self) -> str:
        return f"{self.slot}.{self.life}"


class Children:
    """All processes of an audit; a context manager that ends them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._children: dict[str, Child] = {}

    def start(self, role: str, slot: str, life: int = 0) -> Child:
        """Start a process in a slot that is free."""
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        name = f"{slot}.{life}"
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.audit.children", role, name, self._plan.dump()],
            env={**os.environ, "PYTHONPATH": path},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A group of its own: Ctrl-C is for whoever started it, who ends it in good order.
            start_new_session=True,
        )
        child = Child(role, slot, life, process, time.monotonic())
        self._children[slot] = child
        return child

    def running(self, role: str = "") -> list[Child]:
        """Return the processes of a role, or all; RuntimeError if one has ended by itself."""
        for child in self._children.values():
            if child.process.poll() is not None:
                raise RuntimeError(f"{child.name} ended with status {child.process.returncode}")
        return [child for child in self._children.values() if role in ("", child.role)]

    def kill(self, child: Child) -> float:
        """Kill a process, and return the time at which it is surely dead."""
        child.process.kill()
        child.process.wait()
        del self._children[child.slot]
        return time.monotonic()

    def end(self, role: str = "") -> None:
        """Ask the processes of a role to end, and wait for them."""
        ending = self.running(role)
        for child in ending:
            child.process.terminate()
        for child in ending:
            status = child.process.wait(PATIENCE)
            if status:
                raise RuntimeError(f"{child.name} ended with status {status}")
            del self._children[child.slot]

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for child in self._children.values():
            child.process.kill()
        for child in self._children.values():
            child.process.wait()


def _main(role: str, name: str, plan: str) -> None:
    # What the layer has to say of losses and outages is what this is all about.
    logging.disable(logging.WARNING)
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.set)
    module, _, function = role.partition(":")
    getattr(importlib.import_module(module), function)(Plan.load(plan), name, stop)


if __name__ == "__main__":
    _main(*sys.argv[1:])
