"""What the kernel says that processes used, read from /proc and the
processes' clocks (Linux only).

Not a profiler: totals only. Times are seconds, sizes bytes. CPU time is what noise from other
processes disturbs least; `Usage.waited` says how much of that noise there was.
"""

import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Of Linux: the kind of clock that counts what the scheduler gave to all threads of a process.
CPUCLOCK_SCHED = 2
# Of the fields of /proc/PID/stat, counted from the one after the command's name (proc(5), from 0).
PARENT = 1


@dataclass(frozen=True)
class Usage:
    """CPU time of a set of processes since each began, or the difference of two such."""

    cpu: float
    """Seconds that their threads ran, user and system."""
    waited: float
    """Seconds that their threads were ready to run while something else had the core."""

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.cpu - earlier.cpu, self.waited - earlier.waited)


def usage(pids: list[int]) -> Usage:
    """Return the CPU time of `pids` up to now, all their threads included."""
    return Usage(sum(map(_cpu_seconds, pids)), sum(map(_waited_seconds, pids)))


def _cpu_seconds(pid: int) -> float:
    # clock_getcpuclockid(3): what /proc has in ticks of 10 ms, in nanoseconds.
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def _waited_seconds(pid: int) -> float:
    threads = (PROC / str(pid) / "task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[1]) for thread in threads) / 1e9


def memory(pids: list[int]) -> int:
    """Return the proportional set size of `pids`: resident bytes, shared pages divided fairly."""
    return sum(map(_proportional_size, pids))


def _proportional_size(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss line in smaps_rollup of process {pid!r}")


def descendants(pid: int) -> list[int]:
    """Return the live children of `pid`, their children, and so on, oldest first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _maybe_parent(int(entry.name))) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        waiting += (below := sorted(children.get(waiting.pop(), ())))
        found += below
    return found


def _maybe_parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[PARENT])
    except (FileNotFoundError, ProcessLookupError):  # it ended while /proc was being read
        return None


def _stat(pid: int) -> list[str]:
    # The command's name is in parentheses and may hold anything, parentheses too.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
