"""One run: a site, its visitors, what is done to it, and what became of it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.servers import SHARED_MEMORY
from tests.integration.servers import Server, run_server
from tests.soak import gunicorn_settings, sabotage
from tests.soak.complaints import Complaint, find_complaints
from tests.soak.growth import Growth, find_growth
from tests.soak.hostile import SERVER_TIMEOUTS
from tests.soak.ledger import DRAIN, KILL, RELOAD, Failure, Ledger
from tests.soak.plan import Plan
from tests.soak.samples import Sample, Sampler
from tests.soak.traffic import Traffic
from wsgi_bridge.layers import open_layer

__all__ = ["Outcome", "run_soak"]

SITE = "tests.soak.site:application"
SETTINGS = "python:tests.soak.gunicorn_settings"

#: Seconds that a worker which stops has for what is at work. No visit of HTTP takes half as long.
GRACEFUL_TIMEOUT = int(DRAIN) - 1

#: Threads of a process of consumers, in a split. Streams take one each.
THREADS = 32

#: Seconds that a run may be longer than it was to be, so that there are enough visits.
PATIENCE = 60.0

#: Seconds between two looks at what is due, and between two lines of progress.
TICK = 0.1
PROGRESS = 60.0


@dataclass
class Outcome:
    """What a run showed."""

    plan: Plan
    started: float
    ledger: Ledger
    samples: list[Sample] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    log: str = ""

    @property
    def grown(self) -> list[Growth]:
        return [each for each in self.growths if each.has_grown]

    @property
    def failures(self) -> list[Failure]:
        return self.ledger.unexcused

    @property
    def is_sound(self) -> bool:
        """Whether nothing grew, complained or failed, and there was something to see."""
        has_seen = bool(self.growths and self.ledger.visits)
        return has_seen and not (self.grown or self.complaints or self.failures)


def run_soak(plan: Plan) -> Outcome:
    """Run, and return what it showed. Raises if the soak itself is mistaken."""
    window = 0.0 if plan.is_split else DRAIN
    outcome = Outcome(plan, time.monotonic(), Ledger(window))
    killed: set[int] = set()
    with (
        tempfile.TemporaryDirectory(prefix="soak-", dir=SHARED_MEMORY) as folder,
        _running(plan, folder) as server,
        contextlib.closing(open_layer(_layer_url(folder))) as layer,
    ):
        server.wait_for(lambda: len(server.worker_pids()) == plan.workers, "all workers")
        outcome.started = time.monotonic()
        traffic = Traffic(server.port, outcome.ledger, scale=plan.scale, seed=plan.seed)
        sampler = Sampler(server.pid, Path(folder), layer, plan.interval, outcome.samples)
        with traffic, sampler:
            for pid in _disturb(plan, server, outcome, traffic):
                killed.add(pid)
        if traffic.mistakes:
            raise traffic.mistakes[0]
        server.stop()
        outcome.log = server.log()
    outcome.complaints = find_complaints(outcome.log, killed)
    outcome.growths = find_growth(outcome.samples, outcome.ledger.marks, plan, outcome.started)
    return outcome


def _layer_url(folder: str) -> str:
    return f"ipc://{folder}/layer"


def _running(plan: Plan, folder: str) -> contextlib.AbstractContextManager[Server]:
    arguments = ["-w", str(plan.workers), "-c", SETTINGS, "--keep-alive", "4"]
    arguments += ["--graceful-timeout", str(GRACEFUL_TIMEOUT)]
    if plan.is_split:
        arguments += ["--threads", str(THREADS)]
    environ = {
        **SERVER_TIMEOUTS,
        "CHANNEL_LAYER": _layer_url(folder),
        gunicorn_settings.FOLDER: folder,
        sabotage.VARIABLE: plan.sabotage,
    }
    return run_server(SITE, args=arguments, env=environ, worker=plan.worker,
                      may_log_errors=True, may_lose_workers=True)  # fmt: skip


def _disturb(plan: Plan, server: Server, outcome: Outcome, traffic: Traffic) -> Iterator[int]:
    """Reload and kill until it is time to leave the site alone; wait; yield who was killed."""
    chance = random.Random(plan.seed)
    ledger = outcome.ledger
    quiet_at = outcome.started + plan.seconds
    hup_at = outcome.started + (plan.hup_every or float("inf"))
    kill_at = outcome.started + (plan.kill_every or float("inf"))
    tell_at = outcome.started + PROGRESS
    while traffic.is_running and not _has_ended(now := time.monotonic(), outcome):
        if hup_at <= now < quiet_at:
            hup_at += plan.hup_every
            ledger.mark(RELOAD)
            server.kill(signal.SIGHUP)
        if kill_at <= now < quiet_at:
            kill_at += plan.kill_every
            yield from _kill(server, chance, ledger)
        if tell_at <= now:
            tell_at += PROGRESS
            _tell(outcome)
        time.sleep(TICK)


def _has_ended(now: float, outcome: Outcome) -> bool:
    """Whether it is time, and there have been enough visits."""
    plan = outcome.plan
    late = now - outcome.started - plan.seconds - plan.calm
    return late >= PATIENCE or (late >= 0 and outcome.ledger.visits.total() >= plan.visits)


def _kill(server: Server, chance: random.Random, ledger: Ledger) -> Iterator[int]:
    if pids := server.worker_pids():
        pid = chance.choice(pids)
        ledger.mark(KILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            yield pid


def _tell(outcome: Outcome) -> None:
    ledger, now = outcome.ledger, time.monotonic()
    for failure in ledger.unexcused:
        if failure.ended >= now - PROGRESS:
            print(f"  {failure.describe(outcome.started)}", file=sys.stderr)
    memory = outcome.samples[-1].total("memory") / 1e6 if outcome.samples else 0
    print(
        f"{(now - outcome.started) / 60:.0f} min: {ledger.visits.total():,} visits, "
        f"{len(ledger.unexcused)} failures and {ledger.excused().total()} with an excuse, "
        f"{memory:.0f} MB, p99 of pages {ledger.percentile(0.99, now - PROGRESS) * 1e3:.0f} ms",
        file=sys.stderr,
        flush=True,
    )
