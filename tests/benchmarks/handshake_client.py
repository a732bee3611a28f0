"""The load of opening handshakes: so many sockets at once, and again when all are open.

    python -m tests.benchmarks.handshake_client PORT SOCKETS

A latency is the time from the first connect until the last socket is open. It does what child.py
says.
"""

import gc
import sys
import time

from tests.benchmarks.child import serve_runs
from tests.benchmarks.servers import raise_descriptor_limit
from tests.benchmarks.websocket_wire import UnexpectedAnswerError, open_connections

PATH = "/echo"


class HandshakeLoad:
    """`sockets` connections are opened, closed, and opened again."""

    def __init__(self, port: int, sockets: int) -> None:
        self._port, self._sockets = port, sockets

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of handshakes, and how long each burst of them took."""
        bursts: list[float] = []
        end = time.perf_counter() + seconds
        while not bursts or time.perf_counter() < end:
            bursts.append(self._open_all())
        return self._sockets * len(bursts), bursts

    def _open_all(self) -> float:
        begun = time.perf_counter()
        connections = open_connections(self._port, PATH, self._sockets, deflate=False)
        took = time.perf_counter() - begun
        for connection in connections:
            connection.sock.close()
        return took


def main(arguments: list[str]) -> None:
    """Serve runs until the standard input ends."""
    port, sockets = map(int, arguments)
    raise_descriptor_limit()
    gc.disable()  # the load's own pauses are not the server's
    serve_runs(HandshakeLoad(port, sockets).run)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (UnexpectedAnswerError, TimeoutError, ConnectionError) as error:
        sys.exit(f"handshake_client: {error!r}")
