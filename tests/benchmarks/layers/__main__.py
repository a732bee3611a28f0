"""One process of a benchmark: `python -m tests.benchmarks.layers ROLE KIND URL`."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import signal
import subprocess
import sys
from contextlib import ExitStack
from types import ModuleType
from typing import Any

from tests.benchmarks.child import say

ROLES = {"answer": (), "ask": ("in_flight",), "hold": ("members",), "send": ("members", "port")}
ROLES |= {"wait": (), "idle": ()}


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.layers")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("kind", choices=("greenlets", "threads", "channels"))
    parser.add_argument("url")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--members", type=int, default=500)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--port", type=int)
    return parser.parse_args()


def load(kind: str) -> ModuleType:
    """Return the module of a kind; for greenlets in a process that gevent has patched."""
    if kind == "greenlets":
        from gevent import monkey

        monkey.patch_all(sys=True)
        from tests.benchmarks.layers import greenlets

        return greenlets
    if kind == "threads":
        from tests.benchmarks.layers import threads

        return threads
    from tests.benchmarks.layers import channels

    return channels


def wait_in_many(kind: str, url: str, processes: int) -> None:
    """Start processes that wait, and stay until stopped; what they use is read from outside."""
    command = [sys.executable, "-m", "tests.benchmarks.layers", "wait", kind, url]
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with ExitStack() as stack:
        for _ in range(processes):
            child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(child.kill)
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                raise RuntimeError("a process that is to wait does not")
        say("ready")
        signal.pause()


def main() -> None:
    """Do what the command line says."""
    options = parse()
    if options.role == "idle":
        wait_in_many(options.kind, options.url, options.processes)
        return
    role = getattr(load(options.kind), options.role)
    arguments: list[Any] = [getattr(options, name) for name in ROLES[options.role]]
    done = role(options.url, *arguments)
    if inspect.iscoroutine(done):
        asyncio.run(done)


if __name__ == "__main__":
    main()
