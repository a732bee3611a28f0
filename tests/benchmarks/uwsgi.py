"""A site on uWSGI: what its sockets reach, and what the fragment costs its pages.

More scenarios and claims, of the kind of scenarios.py. Which uWSGI it is says the variable UWSGI,
as in the tests; `make bench` has it.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.benchmarks.bench import Scenario
from tests.benchmarks.loads import Client, Load
from tests.benchmarks.scenarios import Claim, http_load, websocket_load
from tests.benchmarks.servers import APPS, Running, Server

BINARY = os.environ.get("UWSGI", "uwsgi")
WORKERS = 2
# What a sketch of this did, from a worker by way of wsproto, Redis and one consumer mule, on a
# machine like this one: messages a second of as many sockets.
SKETCH_RATE = 1_900
SKETCH_SOCKETS = 50
HANDSHAKES = 300
HANDSHAKES_SECONDS = 0.5
# wrk sends another request on what it is not told to leave, and uWSGI's http-socket closes it.
CLOSES = ("--add-header", "Connection: close")


def uwsgi(name: str, app: str, *options: str, config: tuple[str, ...] | None = None) -> Server:
    """Return a uWSGI of sync workers, with the fragment if `config` is given."""
    command = [
        *(BINARY, "--master", "--http-socket", "127.0.0.1:0", "--processes", str(WORKERS)),
        *("--module", f"{APPS}.{app}:application", "--pythonpath", ".", "--venv", sys.prefix),
        *("--die-on-term", "--disable-logging", "--need-app", *options),
    ]
    if config is not None:
        fragment = " ".join([sys.executable, "-m", "uwsgi_asgi.config", *config, ":uwsgi"])
        command += ["--ini", f"exec://{fragment}"]
    workers = WORKERS + (0 if config is None else 2)
    return Server(name, tuple(command), has_arbiter=True, workers=workers)


@contextmanager
def _handshakes(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
    """Open so many sockets, again and again."""
    module = "tests.benchmarks.handshake_client"
    with Client(module, server.port, HANDSHAKES, core=core) as client:
        yield client.run


BRIDGE = uwsgi("ours, uWSGI", "echo_bridge", config=())

UWSGI = (
    Scenario(
        "uwsgi-echo",
        f"WebSocket echo of 100 bytes in a mule of uWSGI over {SKETCH_SOCKETS} sockets that "
        "another mule holds, all processes on any core",
        "echoes",
        websocket_load("echo", SKETCH_SOCKETS),
        (BRIDGE,),
        is_pinned=False,
    ),
    Scenario(
        "uwsgi-hello",
        f"hello world of a site on uWSGI, {WORKERS} sync workers, a connection each",
        "requests",
        http_load,
        (
            uwsgi(
                "with the fragment",
                "hello_wsgi",
                *CLOSES,
                config=("--app", f"{APPS}.echo_bridge:application", "--prefix", "/echo"),
            ),
            uwsgi("without", "hello_wsgi", *CLOSES),
        ),
    ),
    Scenario(
        "uwsgi-handshakes",
        f"{HANDSHAKES} handshakes through {WORKERS} sync workers of uWSGI (p50, p99: of all "
        f"{HANDSHAKES}), all processes on any core",
        "handshakes",
        _handshakes,
        (BRIDGE,),
        is_pinned=False,
    ),
)
UWSGI_CLAIMS = (
    # Eight times as many.
    Claim("uwsgi-echo", "throughput", rate=8 * SKETCH_RATE, server=BRIDGE.name),
    Claim("uwsgi-hello", "throughput", "without", at_least=0.97, server="with the fragment"),
    Claim("uwsgi-handshakes", "burst", below=HANDSHAKES_SECONDS, server=BRIDGE.name),
)
