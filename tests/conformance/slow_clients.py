"""A server under hundreds of slow clients: what an honest one has of it, and what becomes of them.

The attackers are those of ``tests/slowloris``, a third of each kind; who is cut comes back. The
servers have their own defaults: what they know of slow clients is what they do without being told.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from dataclasses import dataclass, field

from tests.benchmarks.servers import running
from tests.conformance.contestants import Contestant
from tests.integration.wire import Wire, request
from tests.slowloris.attackers import KINDS, Lives, attack

COUNT = 500
# Seconds of the attack: more than any server here gives a client by default.
SECONDS, QUICK_SECONDS = 90.0, 15.0
# Seconds until the attackers are all there.
BEGINNING = 2.0
# Seconds between two honest requests, and for the answer of one.
PAUSE, PATIENCE = 0.05, 5.0
# Upper ends of the classes of latency, in seconds, and their names.
CLASSES = ((0.01, "under 10 ms"), (0.1, "under 100 ms"), (1.0, "under 1 s"), (PATIENCE, "over 1 s"))


@dataclass
class Siege:
    """What happened: latencies of the honest requests that were answered, in seconds."""

    asked: int = 0
    latencies: list[float] = field(default_factory=list)
    lives: dict[str, Lives] = field(default_factory=dict)

    @property
    def latency_class(self) -> str:
        """The class of what 99 of 100 honest requests took; what was not answered took longest."""
        missing = [PATIENCE] * (self.asked - len(self.latencies))
        ordered = sorted(self.latencies + missing)
        worst = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        return next((name for end, name in CLASSES if worst < end), "no answer")

    def tell_fate(self, kind: str) -> str:
        """Return what became of the slow ones of a kind."""
        life, share = self.lives[kind], COUNT // len(KINDS)
        if life.dropped >= share:
            return f"cut within {life.longest:.0f} s"
        return f"{life.dropped} of {share} cut" if life.dropped else "not cut"


def besiege(contestant: Contestant, seconds: float) -> Siege:
    """Attack a server for so long, and ask honestly beside that."""
    siege = Siege()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with running(contestant.with_app("slow"), None) as server:
        arguments = (server.port, COUNT, True, theirs)
        process = context.Process(target=attack, args=arguments, daemon=True)
        process.start()
        time.sleep(BEGINNING)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ask(server.port, siege)
            time.sleep(PAUSE)
        ours.send("stop")
        if not ours.poll(10 * PATIENCE):
            raise RuntimeError("the attackers do not say what became of them")
        siege.lives = ours.recv()
        process.join()
    return siege


def ask(port: int, siege: Siege) -> None:
    """Ask once, on a connection of its own."""
    siege.asked += 1
    started = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
            if Wire(sock).ask(request()).status == 200:
                siege.latencies.append(time.monotonic() - started)
    except (OSError, EOFError):
        pass  # no answer
