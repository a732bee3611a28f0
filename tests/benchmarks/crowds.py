"""Crowds: as many idle WebSockets as there may be, pinged, and pages that are asked for meanwhile.

More scenarios and claims, of the kind of scenarios.py. The clients of the sockets do little, and
give way to the one that asks for pages: what that sees is the server's doing.
"""

import math
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from tests.benchmarks.bench import LoadMaker, Scenario, websocket_client
from tests.benchmarks.loads import Client, Load
from tests.benchmarks.scenarios import Claim
from tests.benchmarks.servers import Running, Server, gunicorn

CROWD = 15_000
# Seconds in which each socket is pinged once, at least: it is pinged every 25, unless told.
CROWD_SECONDS = 40.0
# Pages a second: a site with a little to do beside its sockets.
PAGES_RATE = 200
# Of a server that has this many processes, each with as many descriptors as it may, but for these:
# gunicorn_asgi/descriptors.py leaves 32 to the site, and others are the process's own. Workers
# share connections about evenly; one that is full leaves them to the others.
SPARE_DESCRIPTORS = 300
# A limit of a million is no reason to have as many.
MOST_OF_PROCESS = 20_000
BYTES_EACH = 6_000
P99_SECONDS = 0.050


def most_of_process() -> int:
    """Return how many sockets one process may have: a server's, or a client's."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(most, MOST_OF_PROCESS) - SPARE_DESCRIPTORS


def crowd_load(sockets: int, *, seconds: float = CROWD_SECONDS) -> LoadMaker:
    """Return a load: so many sockets, each pinged once within `seconds`, and pages beside them.

    Its operations are the sockets, its times those of the pages.
    """

    @contextmanager
    def load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
        with ExitStack() as stack:
            # All are started before the first is waited for: who waits cannot answer pings.
            clients = [
                websocket_client("pinged", server, core, sockets=count)
                for count in _portions(sockets, most_of_process())
            ]
            for client in clients:
                stack.enter_context(client)
            ask = stack.enter_context(pages_load(server, core))
            yield lambda least: _run(clients, ask, sockets, max(seconds, least))

    return load


def _portions(total: int, most: int) -> list[int]:
    """Return the sizes of as few, and as equal, portions as there can be."""
    count = math.ceil(total / most)
    return [total // count + (number < total % count) for number in range(count)]


def _run(clients: list[Client], ask: Callable[[float], Load], sockets: int, seconds: float) -> Load:
    with ThreadPoolExecutor(len(clients)) as pool:
        pinging = [pool.submit(client.run, seconds) for client in clients]
        seen = ask(seconds)
        pinged = sum(each.result().operations for each in pinging)
    if pinged != sockets:
        raise RuntimeError(f"{pinged:,} of {sockets:,} sockets were pinged in {seconds} s")
    return replace(seen, operations=sockets)


@contextmanager
def pages_load(server: Running, core: int | None) -> Iterator[Callable[[float], Load]]:
    """Ask for pages at the same rate, with no sockets beside them."""
    with Client("tests.benchmarks.http_client", server.port, PAGES_RATE, core=core) as pages:
        yield pages.run


def _server(workers: int) -> Server:
    name = "ours" if workers == 1 else f"ours, -w {workers}"
    return gunicorn(name, "echo_bridge", "gunicorn_asgi.Worker", workers=workers)


def _crowd(name: str, sockets: int, workers: int) -> Scenario:
    processes = "one process" if workers == 1 else f"{workers} processes"
    return Scenario(
        name,
        f"{sockets:,} idle WebSockets in {processes}, pinged, and {PAGES_RATE} pages a second",
        "sockets",
        crowd_load(sockets),
        (_server(workers),),
        table="crowd",
        is_pinned=workers == 1,
    )


CROWDS = (
    # What is to be held against the others: the machine's own part in it.
    Scenario(
        "crowd-0",
        f"no WebSockets, and {PAGES_RATE} pages a second",
        "pages",
        pages_load,
        (_server(1),),
    ),
    _crowd("crowd", CROWD, 1),
    _crowd("crowd-2", 2 * most_of_process(), 2),
    _crowd("crowd-4", 4 * most_of_process(), 4),
)
CROWD_CLAIMS = tuple(
    claim
    for scenario in CROWDS[1:]
    for claim in (
        Claim(scenario.name, "memory", below=BYTES_EACH, server=scenario.servers[0].name),
        Claim(scenario.name, "p99", below=P99_SECONDS, server=scenario.servers[0].name),
    )
)
