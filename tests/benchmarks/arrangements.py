"""Where consumers run: threads, and processes of their own, beside what others have for it.

More scenarios and claims, of the kind of scenarios.py. A split arrangement has the server on its
core as all others do, and the consumers on the load's: they, and not the server, make room for the
load. Their CPU time counts as well.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.benchmarks.bench import Scenario
from tests.benchmarks.crowds import CROWD_CLAIMS, CROWDS
from tests.benchmarks.loads import Load, wrk
from tests.benchmarks.scenarios import (
    CLAIMS,
    ECHO_SOCKETS,
    FAMILIES,
    HTTP_CONNECTIONS,
    NO_DEFLATE,
    SCENARIOS,
    Claim,
    http_load,
    websocket_load,
)
from tests.benchmarks.servers import Running, Server, gunicorn, uvicorn
from tests.benchmarks.uwsgi import UWSGI, UWSGI_CLAIMS

THREADS = 8
# As many messages are taken at once, where each is short: half of the sockets of the load.
SPLIT_THREADS = 32


# What daphne 1.4.2, asgi_redis 1.4.3 and one worker of Channels 1 did on a machine like this one,
# with as many connections; they cannot be installed any more.
FORMER_RATE = 333
FORMER_CONNECTIONS = 8


def _split(app: str) -> Server:
    """Return a server and a process of consumers, joined by the gunicorn's own ipc layer."""
    config = ("-c", "python:tests.benchmarks.split_conf", "--threads", str(SPLIT_THREADS))
    return gunicorn("ours, split", app, "gunicorn_asgi.SplitWorker", *config, workers=2)


@contextmanager
def _former_load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
    """Request the root by wrk, over few connections."""
    yield lambda seconds: wrk(server.port, core, connections=FORMER_CONNECTIONS, seconds=seconds)


ARRANGEMENTS = (
    Scenario(
        "threads",
        f"hello world in {THREADS} threads over {HTTP_CONNECTIONS} keep-alive connections",
        "requests",
        http_load,
        (
            gunicorn("ours", "hello_wsgi", "gunicorn_asgi.Worker", "--threads", str(THREADS)),
            gunicorn("gunicorn gthread", "hello_wsgi", "gthread", "--threads", str(THREADS)),
        ),
    ),
    Scenario(
        "split-hello",
        f"hello world in another process over {HTTP_CONNECTIONS} keep-alive connections",
        "requests",
        http_load,
        (
            _split("hello_wsgi"),
            gunicorn("gunicorn gevent", "hello_wsgi", "gevent", "--http-parser", "python"),
        ),
    ),
    Scenario(
        "split-redis",
        "hello world in another process, over a local Redis and "
        f"{FORMER_CONNECTIONS} keep-alive connections",
        "requests",
        _former_load,
        (replace(_split("hello_wsgi"), layer="redis", layer_variable="CHANNEL_LAYER"),),
    ),
    Scenario(
        "split-echo",
        f"WebSocket echo of 100 bytes in another process over {ECHO_SOCKETS} sockets",
        "echoes",
        websocket_load("echo", ECHO_SOCKETS),
        (_split("echo_bridge"), uvicorn("uvicorn", "echo_asgi", *NO_DEFLATE)),
    ),
)
ALL_SCENARIOS = (*SCENARIOS, *ARRANGEMENTS, *CROWDS, *UWSGI)
ALL_FAMILIES = {
    **FAMILIES,
    "arrangements": [scenario.name for scenario in ARRANGEMENTS],
    "crowds": [scenario.name for scenario in CROWDS],
    "uwsgi": [scenario.name for scenario in UWSGI],
}
ALL_CLAIMS = (
    *CLAIMS,
    Claim("threads", "cost", "gunicorn gthread", at_least=2.0),
    Claim("split-hello", "throughput", "gunicorn gevent", at_least=1.5, server="ours, split"),
    # Ten times as many.
    Claim("split-redis", "throughput", rate=10 * FORMER_RATE, server="ours, split"),
    Claim("split-echo", "throughput", "uvicorn", at_least=0.7, server="ours, split"),
    *CROWD_CLAIMS,
    *UWSGI_CLAIMS,
)
