"""How a work is measured: its servers run, are loaded in turn, and what they used is noted.

All servers of a work run during it and are loaded in turn, round after round, so that a machine
that slows down slows down all of them. What is compared is scenarios.py.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tests.benchmarks import cpu
from tests.benchmarks.loads import Client, Load
from tests.benchmarks.servers import Running, Server, running

logger = logging.getLogger(__name__)

WARM_UP_SECONDS = 1.0
# Handshakes leave garbage, and buffers that are given back: memory is read after that.
SETTLE_SECONDS = 3.0
# Sockets that come and go before memory is read: what the first ones make it import is not theirs.
FIRST_SOCKETS = 64
# What an idle process does comes once a second, or less often: it is watched for so many times
# longer than a busy one.
IDLE_STRETCH = 5


@dataclass(frozen=True)
class Sample:
    """One round of one server. CPU and waiting are seconds; memory is bytes a connection."""

    load: Load
    cpu: float = 0.0
    waited: float = 0.0
    memory: float = 0.0

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.load.operations / self.load.seconds

    @property
    def cost(self) -> float:
        """Server CPU microseconds for an operation."""
        return self.cpu / self.load.operations * 1e6

    @property
    def cost_of_both(self) -> float:
        """CPU microseconds for an operation, those of the load included."""
        busy = self.load.busy * self.load.seconds
        return (self.cpu + busy) / self.load.operations * 1e6

    @property
    def share(self) -> float:
        """The share of a core that each of `operations` processes used."""
        return self.cpu / self.load.seconds / self.load.operations

    @property
    def summary(self) -> str:
        """One line for who waits for the tables."""
        if self.memory:
            return f"{self.memory:,.0f} bytes each"
        return f"{self.rate:,.0f} operations/s, {self.cost:.1f} µs of CPU each"


LoadMaker = Callable[[Running, int | None], AbstractContextManager[Callable[[float], Load]]]
"""Called with a server and the load's core, any if None; yields what loads for some seconds."""


@dataclass(frozen=True)
class Scenario:
    """One work, and the servers that do it; `title` and `operations` are for the tables."""

    name: str
    title: str
    operations: str
    load: LoadMaker
    servers: tuple[Server, ...]
    table: str = "servers"
    """A member of TABLES in report.py. Those of memory, crowd and idle are measured in their own
    way."""
    is_pinned: bool = True
    """Whether server and load have a core each; else both may use all."""
    is_default: bool = True


@dataclass(frozen=True)
class Bench:
    """How long, how often and where: the settings of a run."""

    rounds: int
    seconds: float
    server_core: int
    load_core: int

    def run(self, scenario: Scenario) -> dict[str, list[Sample]]:
        """Return the samples of each server of `scenario`, by its name; blocks for all rounds."""
        is_of_memory = scenario.table in ("memory", "crowd")
        rounds = self._memory_rounds if is_of_memory else self._load_rounds
        samples: dict[str, list[Sample]] = {server.name: [] for server in scenario.servers}
        for name, sample in rounds(scenario):
            logger.info("%s, %s: %s", scenario.name, name, sample.summary)
            samples[name].append(sample)
        return samples

    def _load_rounds(self, scenario: Scenario) -> Iterator[tuple[str, Sample]]:
        stretch = IDLE_STRETCH if scenario.table == "idle" else 1
        with ExitStack() as stack:
            started = [
                stack.enter_context(self._started(scenario, each)) for each in scenario.servers
            ]
            for server in started:
                self._loaded(scenario, server, WARM_UP_SECONDS * stretch)
            for _ in range(self.rounds):
                for server in started:
                    sample = self._loaded(scenario, server, self.seconds * stretch)
                    yield server.server.name, sample

    def _loaded(self, scenario: Scenario, server: Running, seconds: float) -> Sample:
        core = self.load_core if scenario.is_pinned else None
        with scenario.load(server, core) as load:
            pids = server.pids
            before = cpu.usage(pids)
            seen = load(seconds)
            used = cpu.usage(pids) - before
        return Sample(seen, used.cpu, used.waited)

    def _memory_rounds(self, scenario: Scenario) -> Iterator[tuple[str, Sample]]:
        """Memory that a socket took is not given back, so each round has a fresh server."""
        for _ in range(self.rounds):
            for server in scenario.servers:
                with self._started(scenario, server) as started:
                    yield server.name, self._filled(scenario, started)

    def _filled(self, scenario: Scenario, server: Running) -> Sample:
        core = self.load_core if scenario.is_pinned else None
        with websocket_client("idle", server, core, sockets=FIRST_SOCKETS * len(server.pids)):
            pass
        time.sleep(WARM_UP_SECONDS)
        before = cpu.memory(server.pids)
        with scenario.load(server, core) as load:
            seen = load(SETTLE_SECONDS)
            taken = cpu.memory(server.pids) - before
        return Sample(seen, memory=taken / seen.operations)

    def _started(self, scenario: Scenario, server: Server) -> AbstractContextManager[Running]:
        return running(server, self.server_core if scenario.is_pinned else None)


def websocket_client(
    mode: str, server: Running, core: int | None, *, sockets: int, deflate: bool = False
) -> Client:
    """Return a websocket_client.py with open sockets; `mode` is echo, group, idle or pinged."""
    flags = ["--deflate"] * deflate
    module = "tests.benchmarks.websocket_client"
    return Client(module, mode, server.port, sockets, *flags, core=core)
