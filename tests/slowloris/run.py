"""One run: a server, attackers in a process of their own, an honest client, and an account."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, field

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, open_wire, request
from tests.slowloris.attackers import Lives, attack

SITE = "tests.apps.site:application"
# Seconds between two requests of the honest client.
PAUSE = 0.02
# Seconds that the attackers' process may take to tell what became of them.
PATIENCE = 30.0


@dataclass
class Outcome:
    """What happened. Latencies are those of the honest client, in seconds."""

    lives: dict[str, Lives] = field(default_factory=dict)
    statuses: set[int] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, part: float) -> float:
        """Return the latency that this part of the requests did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def run_attack(*, connections: int, seconds: float, deadline: float, again: bool) -> Outcome:
    """Attack a server that gives clients ``deadline`` seconds for everything.

    For ``seconds``, or with ``again`` false until the last attacker was dropped, whichever is
    later. Raises when the attackers say nothing.
    """
    env = {f"ASGI_{name}_TIMEOUT": str(deadline) for name in ("HEAD", "BODY", "WRITE")}
    args = ["--worker-connections", str(2 * connections + 100), "--keep-alive", "5"]
    outcome = Outcome()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with run_server(SITE, args=args, env=env, may_log_errors=True) as server:
        arguments = (server.port, connections, again, theirs)
        attackers = context.Process(target=attack, args=arguments, daemon=True)
        attackers.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ask_honestly(server, outcome)
        if again:
            ours.send("stop")
        if not ours.poll(PATIENCE + deadline):
            raise RuntimeError("the attackers were not dropped")
        outcome.lives = ours.recv()
        attackers.join()
    return outcome


def ask_honestly(server: Server, outcome: Outcome) -> None:
    """Ask twice, on a new connection and again on that; note what came and when."""
    with open_wire(server) as wire:
        for _ in range(2):
            note(wire, outcome)
            time.sleep(PAUSE)


def note(wire: Wire, outcome: Outcome) -> None:
    """Ask once."""
    started = time.monotonic()
    outcome.statuses.add(wire.ask(request()).status)
    outcome.latencies.append(time.monotonic() - started)
