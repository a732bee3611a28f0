"""The audit of growth: nothing that a process or the backend holds grows with what has passed.

Samples are taken all along. The first part of the run is left out: what is kept for a while, such
as the figures of channels that are gone, has to reach its level. Of the rest, the medians of the
second quarter and of the last are compared. Afterwards one process lives on without work: what was
kept for a while has to go.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.audit.backend import Backend, open_shared
from tests.audit.children import Children
from tests.audit.growth_roles import CAPACITY
from tests.audit.logs import read_published
from tests.audit.plan import Plan
from wsgi_bridge.layers.base import BaseLayer

__all__ = ["GrowthAccount", "audit_growth", "compare"]

ASKER = "tests.audit.growth_roles:asker"
ANSWERER = "tests.audit.growth_roles:answerer"

#: Seconds for which the figures of a channel are kept when it is gone, beyond the layer's expiry:
#: in Redis until its keys go, in the ipc layer until its rates are 0 and the sweep comes by.
GRACE = {"redis": 60.0, "ipc": 10.0}

#: Part of the messages at least that is left out; how many times as long as that the run is at
#: least; samples that are taken in all, about.
WARM_UP = 0.1
SHARE = 2.0
SAMPLES = 200
FEWEST_SAMPLES = 16

#: What is counted by the piece, and how many pieces may be left at the end: those of the processes.
COUNTS = ("keys", "channels in the index", "LMDB entries")
MOST_LEFT = 400

#: Seconds beyond the time for which it is kept, until it is gone.
PATIENCE = 30.0

#: Seconds between two samples, at least.
TICK = 0.1

#: What a figure may differ by without having grown, where it is not `Plan.bound`: LMDB's file grows
#: in steps of up to 16 MB with the worst moment; the rest goes up and down with the load.
BOUNDS = {
    "file bytes": 16 << 20,
    "LMDB pages": 500,
    "LMDB entries": 2000,
    "keys": 500,
    "channels in the index": 500,
}


@dataclass
class GrowthAccount:
    """The figures of an audit of growth; see `is_balanced`. Bytes, pages and keys."""

    messages: int = 0
    seconds: float = 0.0
    messages_per_second: float = 0.0
    second_quarter: dict[str, float] = field(default_factory=dict)
    last_quarter: dict[str, float] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    bounds: dict[str, float] = field(default_factory=dict)
    grown: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        """Whether nothing has grown."""
        return not self.grown and bool(self.last_quarter)

    def dump(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "is_balanced": self.is_balanced}


Sample = dict[str, float]


def audit_growth(plan: Plan, backend: Backend) -> GrowthAccount:
    """Run the audit that `plan` describes, and return its account."""
    layer = open_shared(plan, capacity=CAPACITY)
    try:
        with Children(plan) as children:
            answerer = children.start(ANSWERER, "answerer")
            asker = children.start(ASKER, "asker")
            pids = {"asker": asker.process.pid, "answerer": answerer.process.pid}
            samples = _observe(plan, children, lambda: _sample(layer, backend, pids))
            children.end(ASKER)
            left = _await_the_rest(plan, lambda: _sample(layer, backend, {}))
            children.end(ANSWERER)
    finally:
        layer.close()
    account = compare(samples, plan.bound, plan.tolerance)
    account.left = left
    account.grown += [f"{name}: {left[name]:.0f} are left" for name in _too_many(left)]
    return account


def _await_the_rest(plan: Plan, sample: Callable[[], Sample]) -> Sample:
    """Wait until nothing is left of what came and went, and return the last sample."""
    end = time.monotonic() + _warm_up(plan) + PATIENCE
    while _too_many(left := sample()) and time.monotonic() < end:
        time.sleep(TICK)
    return left


def _too_many(left: Sample) -> list[str]:
    return [name for name in left if name.endswith(COUNTS) and left[name] > MOST_LEFT]


def _warm_up(plan: Plan) -> float:
    """Return for how many seconds things are kept, at most."""
    kind = "redis" if plan.scheme.startswith("redis") else plan.scheme
    return 2 * plan.expiry + (plan.grace or GRACE[kind])


def _observe(plan: Plan, children: Children, sample: Callable[[], Sample]) -> list[Sample]:
    """Take samples until all messages are through; warmed up ones only."""
    started = time.monotonic()
    warm_up = _warm_up(plan)
    samples: list[Sample] = []
    interval = TICK
    sent = 0
    while (
        sent < plan.messages
        or time.monotonic() - started < SHARE * warm_up
        or len(samples) < FEWEST_SAMPLES
    ):
        time.sleep(interval)
        children.running()
        sent = sum(int(text) for text in read_published(plan.folder))
        seconds = time.monotonic() - started
        interval = max(TICK, seconds / SAMPLES)
        if seconds >= warm_up and sent >= plan.messages * WARM_UP:
            samples.append({"seconds": seconds, "messages": sent, **sample()})
    return samples


def _sample(layer: BaseLayer, backend: Backend, pids: dict[str, int]) -> Sample:
    sample = {f"memory of the {name}": _memory(pid) for name, pid in pids.items()}
    for server in backend.servers:
        name = f"Redis {server.port}: " if len(backend.servers) > 1 else ""
        sample[f"{name}used memory"] = server.admin.info("memory")["used_memory"]
        sample[f"{name}keys"] = server.admin.dbsize()
    if hasattr(layer, "_shards"):
        pairs = zip(layer._shards, backend.servers, strict=False)
        sizes = [server.admin.zcard(shard.keys.index) for shard, server in pairs]
        sample["channels in the index"] = sum(sizes)
    if hasattr(layer, "directory"):
        sample.update(_sample_directory(layer))
    return sample


def _memory(pid: int) -> float:
    """Return the bytes that are the process's own: the shared map is counted with its file."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024.0
    raise LookupError("RssAnon")


def _sample_directory(layer: Any) -> Sample:
    files = [os.stat(each.path) for each in os.scandir(layer.directory)]
    env = layer._attach().store._opened()
    found = env.stat()
    return {
        "file bytes": sum(each.st_blocks * 512.0 for each in files),
        "LMDB pages": found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"],
        "LMDB entries": found["entries"],
    }


def compare(samples: list[Sample], bound: float, tolerance: float = 0.1) -> GrowthAccount:
    """Return the account of samples; a figure may grow by `bound` bytes, or what BOUNDS has.

    In any case it may by the part `tolerance`.
    """
    account = GrowthAccount()
    if len(samples) < FEWEST_SAMPLES:
        account.grown.append(f"{len(samples)} samples are too few")
        return account
    first, last = samples[0], samples[-1]
    account.messages, account.seconds = int(last["messages"]), last["seconds"]
    passed = last["messages"] - first["messages"]
    account.messages_per_second = passed / (last["seconds"] - first["seconds"])
    quarter = len(samples) // 4
    for name in first.keys() - {"seconds", "messages"}:
        before = statistics.median(each[name] for each in samples[quarter : 2 * quarter])
        after = statistics.median(each[name] for each in samples[-quarter:])
        account.second_quarter[name], account.last_quarter[name] = before, after
        allowed = account.bounds[name] = max(_bound(name, bound), tolerance * before)
        if after - before > allowed:
            account.grown.append(f"{name}: from {before:.0f} to {after:.0f}")
    return account


def _bound(name: str, bound: float) -> float:
    figures = [figure for ending, figure in BOUNDS.items() if name.endswith(ending)]
    return figures[0] if figures else bound
