"""What is compared: the works, the servers that do each, and what ours must reach.

Tables and the loops that fill them; how a server runs is servers.py, how it is loaded loads.py.
The servers of a work all run during it and are loaded in turn, round after round, so that a
machine that slows down slows down all of them.
"""

import importlib.util
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from tests.benchmarks import cpu
from tests.benchmarks.loads import Load, WebSocketClient, wrk
from tests.benchmarks.servers import Running, Server, gunicorn, running, running_redis, uvicorn

logger = logging.getLogger(__name__)

HTTP_CONNECTIONS = 64
ECHO_SOCKETS = 64
GROUP_SOCKETS = 1_000
IDLE_SOCKETS = 10_000
WARM_UP_SECONDS = 1.0
# Handshakes leave garbage, and buffers that are given back: memory is read after that.
SETTLE_SECONDS = 3.0

NO_DEFLATE = ("--ws-per-message-deflate", "false")


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
    def summary(self) -> str:
        """One line for who waits for the tables."""
        if self.memory:
            return f"{self.memory:,.0f} bytes each"
        return f"{self.rate:,.0f} operations/s, {self.cost:.1f} µs of CPU each"


LoadMaker = Callable[[int, int], AbstractContextManager[Callable[[float], Load]]]
"""Called with port and core; yields what loads for some seconds."""


@dataclass(frozen=True)
class Scenario:
    """One work, and the servers that do it; `title` and `operations` are for the tables."""

    name: str
    title: str
    operations: str
    load: LoadMaker
    servers: tuple[Server, ...]
    is_memory: bool = False
    is_default: bool = True


@dataclass(frozen=True)
class Claim:
    """What ours must reach in a scenario: a ratio to `peer`, or `below` bytes a connection."""

    scenario: str
    peer: str
    measure: str
    """A member of Measure in report.py."""
    at_least: float = 0.0
    below: float = 0.0


@contextmanager
def _http_load(port: int, core: int) -> Iterator[Callable[[float], Load]]:
    yield lambda seconds: wrk(port, core, connections=HTTP_CONNECTIONS, seconds=seconds)


def _websocket_load(mode: str, sockets: int, *, deflate: bool = False) -> LoadMaker:
    @contextmanager
    def load(port: int, core: int) -> Iterator[Callable[[float], Load]]:
        with WebSocketClient(mode, port, core, sockets=sockets, deflate=deflate) as client:
            yield client.run

    return load


def _bridge(app: str, *options: str) -> Server:
    return gunicorn("ours", app, "gunicorn_asgi.Worker", *options, ours=True)


def _gevent_servers() -> Iterator[Server]:
    yield gunicorn("gunicorn gevent", "hello_wsgi", "gevent", "--http-parser", "python")
    if importlib.util.find_spec("gunicorn_h1c"):
        yield gunicorn("gunicorn gevent, h1c", "hello_wsgi", "gevent", "--http-parser", "fast")


def _uvicorn_echo(*options: str) -> tuple[Server, ...]:
    """Return uvicorn with its default implementation of WebSockets, and with each other one."""
    return (
        uvicorn("uvicorn", "echo_asgi", *options),
        uvicorn("uvicorn, wsproto", "echo_asgi", "--ws", "wsproto", *options),
        uvicorn("uvicorn, websockets", "echo_asgi", "--ws", "websockets", *options),
    )


SCENARIOS = (
    Scenario(
        "hello",
        f"hello world over {HTTP_CONNECTIONS} keep-alive connections",
        "requests",
        _http_load,
        (_bridge("hello_wsgi"), *_gevent_servers(), uvicorn("uvicorn", "hello_asgi")),
    ),
    Scenario(
        "echo",
        f"WebSocket echo of 100 bytes over {ECHO_SOCKETS} sockets",
        "echoes",
        _websocket_load("echo", ECHO_SOCKETS),
        (_bridge("echo_bridge"), *_uvicorn_echo(*NO_DEFLATE)),
    ),
    Scenario(
        "group",
        f"one message of 100 bytes to a group of {GROUP_SOCKETS:,} sockets (p50, p99: to the last)",
        "deliveries",
        _websocket_load("group", GROUP_SOCKETS),
        (
            _bridge("group_bridge"),
            uvicorn("Channels 4", "group_channels", *NO_DEFLATE, needs_redis=True),
            uvicorn("uvicorn, a set", "group_asgi", *NO_DEFLATE),
        ),
    ),
    Scenario(
        "idle",
        f"{IDLE_SOCKETS:,} idle WebSockets",
        "sockets",
        _websocket_load("idle", IDLE_SOCKETS),
        (
            _bridge("echo_bridge"),
            uvicorn("uvicorn", "echo_asgi", *NO_DEFLATE),
            gunicorn("gunicorn asgi", "echo_asgi", "asgi", "--asgi-lifespan", "off"),
        ),
        is_memory=True,
    ),
    Scenario(
        "echo-deflate",
        f"WebSocket echo of 100 compressed bytes over {ECHO_SOCKETS} sockets",
        "echoes",
        _websocket_load("echo", ECHO_SOCKETS, deflate=True),
        (_bridge("echo_bridge"), *_uvicorn_echo()),
        is_default=False,
    ),
)

CLAIMS = (
    Claim("hello", "gunicorn gevent", "cost", at_least=5.0),
    Claim("hello", "uvicorn", "cost", at_least=1.0),
    Claim("echo", "uvicorn", "cost", at_least=1.0),
    Claim("group", "Channels 4", "p50", at_least=15.0),
    Claim("group", "Channels 4", "cost", at_least=15.0),
    Claim("idle", "uvicorn", "memory", below=8_000),
    Claim("idle", "gunicorn asgi", "memory", below=8_000),
)


@dataclass(frozen=True)
class Bench:
    """How long, how often and where: the settings of a run."""

    rounds: int
    seconds: float
    server_core: int
    load_core: int

    def run(self, scenario: Scenario) -> dict[str, list[Sample]]:
        """Return the samples of each server of `scenario`, by its name; blocks for all rounds."""
        rounds = self._memory_rounds if scenario.is_memory else self._load_rounds
        samples: dict[str, list[Sample]] = {server.name: [] for server in scenario.servers}
        for name, sample in rounds(scenario):
            logger.info("%s, %s: %s", scenario.name, name, sample.summary)
            samples[name].append(sample)
        return samples

    def _load_rounds(self, scenario: Scenario) -> Iterator[tuple[str, Sample]]:
        with ExitStack() as stack:
            started = [stack.enter_context(self._started(each)) for each in scenario.servers]
            for server in started:
                self._loaded(scenario, server, WARM_UP_SECONDS)
            for _ in range(self.rounds):
                for server in started:
                    yield server.server.name, self._loaded(scenario, server, self.seconds)

    def _loaded(self, scenario: Scenario, server: Running, seconds: float) -> Sample:
        with scenario.load(server.port, self.load_core) as load:
            pids = server.pids
            before = cpu.usage(pids)
            seen = load(seconds)
            used = cpu.usage(pids) - before
        return Sample(seen, used.cpu, used.waited)

    def _memory_rounds(self, scenario: Scenario) -> Iterator[tuple[str, Sample]]:
        """Memory that a socket took is not given back, so each round has a fresh server."""
        for _ in range(self.rounds):
            for server in scenario.servers:
                with self._started(server) as started:
                    yield server.name, self._filled(scenario, started)

    def _filled(self, scenario: Scenario, server: Running) -> Sample:
        with _websocket_load("idle", ECHO_SOCKETS)(server.port, self.load_core):
            pass  # what the first connections make it import is not theirs
        time.sleep(WARM_UP_SECONDS)
        before = cpu.memory(server.pids)
        with scenario.load(server.port, self.load_core) as load:
            seen = load(SETTLE_SECONDS)
            taken = cpu.memory(server.pids) - before
        return Sample(seen, memory=taken / seen.operations)

    @contextmanager
    def _started(self, server: Server) -> Iterator[Running]:
        # Redis has the load's core and its CPU time is not counted: both to the peer's advantage.
        redis = running_redis(self.load_core) if server.needs_redis else nullcontext("")
        with redis as url, running(server, self.server_core, {"BENCHMARK_REDIS": url}) as started:
            yield started
