"""What is compared: the works, the servers that do each, and what ours must reach.

Tables, and how each work is loaded. How they are measured is bench.py, how a server runs
servers.py, how it is loaded loads.py.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.benchmarks.bench import LoadMaker, Scenario, websocket_client
from tests.benchmarks.loads import Client, Load, wrk
from tests.benchmarks.servers import Running, Server, gunicorn, layer_process, uvicorn

HTTP_CONNECTIONS = 64
ECHO_SOCKETS = 64
GROUP_SOCKETS = 1_000
IDLE_SOCKETS = 10_000
IN_FLIGHT = 64
MEMBERS_OF_A_PROCESS = 500
IDLE_PROCESSES = 4

NO_DEFLATE = ("--ws-per-message-deflate", "false")


@dataclass(frozen=True)
class Claim:
    """What ours must reach in a scenario: a ratio to `peer`, `below` so many of the measure, or a
    `rate`: so many operations a second."""

    scenario: str
    measure: str
    """A member of MEASURES in report.py."""
    peer: str = ""
    at_least: float = 0.0
    below: float = 0.0
    rate: float = 0.0
    server: str = "ours"


@contextmanager
def http_load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
    """Request the root by wrk."""
    yield lambda seconds: wrk(server.port, core, connections=HTTP_CONNECTIONS, seconds=seconds)


def websocket_load(mode: str, sockets: int, *, deflate: bool = False) -> LoadMaker:
    """Return the load of websocket_client.py in one of its modes."""

    @contextmanager
    def load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
        with websocket_client(mode, server, core, sockets=sockets, deflate=deflate) as client:
            yield client.run

    return load


def _layer_load(role: str, **options: int) -> LoadMaker:
    """Load through the server's layer, by the kind of process that the server is one of."""
    flags = [f"--{option.replace('_', '-')}={value}" for option, value in options.items()]

    @contextmanager
    def load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
        *_, kind, _ = (part for part in server.server.command if not part.startswith("--"))
        arguments = (role, kind, server.layer, f"--port={server.port}", *flags)
        with Client("tests.benchmarks.layers", *arguments, core=core) as client:
            yield client.run

    return load


@contextmanager
def _no_load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
    """Let the processes be; an operation is one of them."""

    def leave_alone(seconds: float) -> Load:
        time.sleep(seconds)
        return Load(IDLE_PROCESSES, seconds, 0.0, 0.0, 0.0)

    yield leave_alone


def _bridge(app: str, *options: str) -> Server:
    return gunicorn("ours", app, "gunicorn_asgi.Worker", *options)


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


def _workers(name: str, workers: int, *, layer: str = "") -> Server:
    """Return several of our workers, the cost of the process that supervises them included."""
    server = gunicorn(name, "hello_wsgi", "gunicorn_asgi.Worker", workers=workers)
    return replace(server, has_arbiter=False, layer=layer, layer_variable="CHANNEL_LAYER")


def _idle(name: str, kind: str, layer: str) -> Server:
    """Return processes with a layer open and a receiver that waits, and one that started them."""
    server = layer_process(name, "idle", kind, layer, processes=IDLE_PROCESSES)
    return replace(server, has_arbiter=True, workers=IDLE_PROCESSES)


SERVERS = (
    Scenario(
        "hello",
        f"hello world over {HTTP_CONNECTIONS} keep-alive connections",
        "requests",
        http_load,
        (_bridge("hello_wsgi"), *_gevent_servers(), uvicorn("uvicorn", "hello_asgi")),
    ),
    Scenario(
        "echo",
        f"WebSocket echo of 100 bytes over {ECHO_SOCKETS} sockets",
        "echoes",
        websocket_load("echo", ECHO_SOCKETS),
        (_bridge("echo_bridge"), *_uvicorn_echo(*NO_DEFLATE)),
    ),
    Scenario(
        "group",
        f"one message of 100 bytes to a group of {GROUP_SOCKETS:,} sockets (p50, p99: to the last)",
        "deliveries",
        websocket_load("group", GROUP_SOCKETS),
        (
            _bridge("group_bridge"),
            uvicorn("Channels 4", "group_channels", *NO_DEFLATE, layer="redis"),
            uvicorn("uvicorn, a set", "group_asgi", *NO_DEFLATE),
        ),
    ),
    Scenario(
        "idle",
        f"{IDLE_SOCKETS:,} idle WebSockets",
        "sockets",
        websocket_load("idle", IDLE_SOCKETS),
        (
            _bridge("echo_bridge"),
            uvicorn("uvicorn", "echo_asgi", *NO_DEFLATE),
            gunicorn("gunicorn asgi", "echo_asgi", "asgi", "--asgi-lifespan", "off"),
        ),
        table="memory",
    ),
    Scenario(
        "echo-deflate",
        f"WebSocket echo of 100 compressed bytes over {ECHO_SOCKETS} sockets",
        "echoes",
        websocket_load("echo", ECHO_SOCKETS, deflate=True),
        (_bridge("echo_bridge"), *_uvicorn_echo()),
        is_default=False,
    ),
)

LAYERS = (
    Scenario(
        "layer-many",
        f"requests and answers between two processes, {IN_FLIGHT} in flight",
        "round trips",
        _layer_load("ask", in_flight=IN_FLIGHT),
        (
            layer_process("ipc", "answer", "greenlets", "ipc"),
            layer_process("redis", "answer", "greenlets", "redis"),
            layer_process("channels_redis", "answer", "channels", "redis"),
        ),
        table="layers",
    ),
    Scenario(
        "layer-one",
        "requests and answers between two processes, one at a time",
        "round trips",
        _layer_load("ask", in_flight=1),
        (
            layer_process("ipc, threads", "answer", "threads", "ipc"),
            layer_process("ipc, gevent", "answer", "greenlets", "ipc"),
            layer_process("redis, gevent", "answer", "greenlets", "redis"),
            layer_process("channels_redis", "answer", "channels", "redis"),
        ),
        table="layers",
    ),
    Scenario(
        "layer-group",
        f"one message of 100 bytes to a group of {2 * MEMBERS_OF_A_PROCESS:,} members in two "
        "processes (p50, p99: to the last)",
        "deliveries",
        _layer_load("send", members=MEMBERS_OF_A_PROCESS),
        (
            *(
                layer_process(name, "hold", "greenlets", name, members=MEMBERS_OF_A_PROCESS)
                for name in ("ipc", "redis")
            ),
            layer_process(
                "channels_redis", "hold", "channels", "redis", members=MEMBERS_OF_A_PROCESS
            ),
        ),
        table="layers",
    ),
    Scenario(
        "workers",
        f"hello world over {HTTP_CONNECTIONS} keep-alive connections, all processes on any core",
        "requests",
        http_load,
        (
            _workers("ours, -w 2", 2),
            _workers("ours, -w 2 on redis", 2, layer="redis"),
            # What two cost on this machine where nothing joins them.
            _workers("ours, -w 2 on memory", 2, layer="memory"),
            _workers("ours, -w 1", 1),
        ),
        is_pinned=False,
    ),
    Scenario(
        "layer-idle",
        f"{IDLE_PROCESSES} processes with nothing to do",
        "processes",
        _no_load,
        (
            _idle("ipc", "threads", "ipc"),
            _idle("redis", "threads", "redis"),
            gunicorn(
                f"gunicorn -w {IDLE_PROCESSES}",
                "hello_wsgi",
                "gunicorn_asgi.Worker",
                workers=IDLE_PROCESSES,
            ),
            _idle("channels_redis", "channels", "redis"),
        ),
        table="idle",
    ),
)

SCENARIOS = (*SERVERS, *LAYERS)

# Names that stand for several.
FAMILIES = {
    "servers": [scenario.name for scenario in SERVERS if scenario.is_default],
    "layers": [scenario.name for scenario in LAYERS],
}

CLAIMS = (
    Claim("hello", "cost", "gunicorn gevent", at_least=5.0),
    Claim("hello", "cost", "uvicorn", at_least=1.0),
    Claim("echo", "cost", "uvicorn", at_least=1.0),
    Claim("group", "p50", "Channels 4", at_least=15.0),
    Claim("group", "cost", "Channels 4", at_least=15.0),
    Claim("idle", "memory", "uvicorn", below=8_000),
    Claim("idle", "memory", "gunicorn asgi", below=8_000),
    Claim("layer-many", "rate", "redis", at_least=2.0, server="ipc"),
    Claim("layer-many", "rate", "channels_redis", at_least=10.0, server="redis"),
    Claim("layer-one", "latency", below=200e-6, server="ipc, threads"),
    Claim("layer-one", "latency", below=200e-6, server="ipc, gevent"),
    Claim("layer-group", "p50", "channels_redis", at_least=10.0, server="redis"),
    # Within 10 %.
    Claim("workers", "cost", "ours, -w 1", at_least=1 / 1.1, server="ours, -w 2"),
    Claim("layer-idle", "share", below=0.002, server="ipc"),
    Claim("layer-idle", "share", below=0.002, server="redis"),
    Claim("layer-idle", "share", below=0.002, server=f"gunicorn -w {IDLE_PROCESSES}"),
)
