"""The WebSocket load client: many sockets, one process, as little work per frame as Python can.

Closed loops over raw non-blocking sockets and epoll; every byte that comes back is checked.

    python -m tests.benchmarks.websocket_client echo|group|idle|pinged PORT SOCKETS [--deflate]

It opens its sockets, and then does what child.py says.
"""

import argparse
import gc
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tests.benchmarks.child import serve_runs
from tests.benchmarks.servers import raise_descriptor_limit
from tests.benchmarks.websocket_wire import (
    ANSWER_SECONDS,
    TEXT,
    Connection,
    UnexpectedAnswerError,
    client_frame,
    deflated_client_frame,
    is_text_frame,
    open_connections,
    server_frame,
)

PAYLOAD_BYTES = 100
# The nice value of who only waits.
POLITENESS = 10


class EchoLoad:
    """Each socket sends a text, waits for it to come back, and sends again."""

    path = "/echo"

    def __init__(self, connections: list[Connection], deflate: bool):
        self.by_descriptor = _by_descriptor(connections)
        payload = (b"0123456789" * PAYLOAD_BYTES)[:PAYLOAD_BYTES]
        self.frame = deflated_client_frame(payload) if deflate else client_frame(TEXT, payload)
        for connection in connections:
            self._learn_echo(connection, payload)

    def _learn_echo(self, connection: Connection, payload: bytes) -> None:
        """Set the frame that brings `payload` back: all later echoes are its equal.

        Without compression only one frame does; with it the server chose one, and without
        context takeover the same text makes the same frame each time.
        """
        connection.send(self.frame)
        connection.sock.settimeout(ANSWER_SECONDS)
        frame = connection.expected = connection.sock.recv(4 * PAYLOAD_BYTES)
        connection.sock.setblocking(False)
        if not is_text_frame(frame, payload):
            raise UnexpectedAnswerError(f"{frame!r} is not the echo of {payload!r}")

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of echoes and the time that each took."""
        by_descriptor, frame, clock = self.by_descriptor, self.frame, time.perf_counter
        latencies: list[float] = []
        with _epoll(by_descriptor) as poll:
            for connection in by_descriptor.values():
                connection.sent_at = clock()
                connection.send(frame)
            end = clock() + seconds
            while clock() < end:
                for connection in _answered(poll, by_descriptor):
                    now = clock()
                    latencies.append(now - connection.sent_at)
                    connection.sent_at = now
                    connection.send(frame)
            self._drain(poll)
        return len(latencies), latencies

    def _drain(self, poll: select.epoll) -> None:
        """Read the echoes still owed, so that the next run begins with none."""
        owed = len(self.by_descriptor)
        while owed:
            owed -= sum(1 for _ in _answered(poll, self.by_descriptor))


class GroupLoad:
    """One socket sends a text and all get it, then the next. A latency is the last socket's."""

    path = "/group"

    def __init__(self, connections: list[Connection], deflate: bool):
        if deflate:
            raise UnexpectedAnswerError("a group is measured without compression only")
        self.by_descriptor = _by_descriptor(connections)
        self.sender = connections[0]
        self.count = 0

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of deliveries and the time that each broadcast took."""
        latencies: list[float] = []
        with _epoll(self.by_descriptor) as poll:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                latencies.append(self._broadcast(poll))
        return len(latencies) * len(self.by_descriptor), latencies

    def _broadcast(self, poll: select.epoll) -> float:
        self.count += 1
        payload = (b"broadcast %d " % self.count).ljust(PAYLOAD_BYTES, b".")
        expected, frame = server_frame(TEXT, payload), client_frame(TEXT, payload)
        for connection in self.by_descriptor.values():
            connection.expected = expected
        missing = len(self.by_descriptor)
        begun = time.perf_counter()
        self.sender.send(frame)
        while missing:
            missing -= sum(1 for _ in _answered(poll, self.by_descriptor))
        return time.perf_counter() - begun


class IdleLoad:
    """Sockets that are open and say nothing, but answer pings so that they stay so."""

    path = "/echo"

    def __init__(self, connections: list[Connection], deflate: bool):
        self.by_descriptor = _by_descriptor(connections)

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of sockets, all still open after `seconds`."""
        end = time.perf_counter() + seconds
        with _epoll(self.by_descriptor) as poll:
            while (left := end - time.perf_counter()) > 0:
                for descriptor, _ in poll.poll(left):
                    self.by_descriptor[descriptor].read()
        return len(self.by_descriptor), [0.0]


class PingedLoad:
    """Idle sockets, of which those that were pinged are counted. Gives way to its core's others."""

    path = "/echo"

    def __init__(self, connections: list[Connection], deflate: bool):
        self.by_descriptor = _by_descriptor(connections)
        os.nice(POLITENESS)

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of sockets that were pinged, and when each was for the first time."""
        begun = time.perf_counter()
        first: dict[int, float] = {}
        with _epoll(self.by_descriptor) as poll:
            while (left := begun + seconds - time.perf_counter()) > 0:
                for descriptor, _ in poll.poll(left):
                    self.by_descriptor[descriptor].read()
                    first.setdefault(descriptor, time.perf_counter() - begun)
        return len(first), list(first.values()) or [0.0]


def _by_descriptor(connections: Iterable[Connection]) -> dict[int, Connection]:
    return {connection.sock.fileno(): connection for connection in connections}


@contextmanager
def _epoll(descriptors: Iterable[int]) -> Iterator[select.epoll]:
    with select.epoll() as poll:
        for descriptor in descriptors:
            poll.register(descriptor, select.EPOLLIN)
        yield poll


def _answered(poll: select.epoll, by_descriptor: dict[int, Connection]) -> Iterator[Connection]:
    """Wait, then yield each connection that now has the frame it was owed."""
    events = poll.poll(ANSWER_SECONDS)
    if not events:
        raise UnexpectedAnswerError(f"no frame came for {ANSWER_SECONDS} s while some were owed")
    for descriptor, _ in events:
        connection = by_descriptor[descriptor]
        if connection.read():
            yield connection


LOADS = {"echo": EchoLoad, "group": GroupLoad, "idle": IdleLoad, "pinged": PingedLoad}


def main(arguments: list[str]) -> None:
    """Open the sockets, then serve runs until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=LOADS)
    parser.add_argument("port", type=int)
    parser.add_argument("sockets", type=int)
    parser.add_argument("--deflate", action="store_true")
    options = parser.parse_args(arguments)
    kind = LOADS[options.mode]
    raise_descriptor_limit()
    connections = open_connections(
        options.port, kind.path, options.sockets, deflate=options.deflate
    )
    load = kind(connections, options.deflate)
    gc.freeze()  # the load makes no cycles: nothing to collect but its own pauses
    gc.disable()
    serve_runs(load.run)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (UnexpectedAnswerError, TimeoutError, ConnectionError) as error:
        sys.exit(f"websocket_client: {error!r}")
