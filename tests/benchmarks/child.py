"""What the load processes have in common: they say that they are ready, run when told, and report.

A line on the standard input is for how many seconds to run; the answer is one line of JSON, which
is a `loads.Load`. The process ends when its input does.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

Run = Callable[[float], tuple[int, list[float]]]
"""Called with seconds; returns the number of operations, and how long each answer took."""


def say(line: str) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def serve_runs(run: Run) -> None:
    """Say that all is ready; run whenever told to, until the standard input ends."""
    say("ready")
    for line in sys.stdin:
        watch = Watch()
        say(watch.report(*run(float(line))))


class Watch:
    """What a run costs from now on."""

    def __init__(self) -> None:
        self._begun, self._cpu = time.perf_counter(), time.process_time()

    def report(self, operations: int, latencies: list[float]) -> str:
        """Return the line of JSON that ends the run."""
        elapsed, busy = time.perf_counter() - self._begun, time.process_time() - self._cpu
        latencies.sort()
        load = {
            "operations": operations,
            "seconds": elapsed,
            "p50": statistics.median(latencies),
            "p99": latencies[int(len(latencies) * 0.99)],
            "busy": busy / elapsed,
        }
        return json.dumps(load)
