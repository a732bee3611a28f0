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
import threading
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
# Sockets that are opened before the ones so far answer pings.
PORTION = 1000
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
    """Idle sockets that answer pings from their first moment on, in a thread; counted when told.

    While others are opened, or other processes are waited for, the server goes on to ping.
    """

    path = "/echo"

    def __init__(self, connections: list[Connection], deflate: bool):
        self.by_descriptor: dict[int, Connection] = {}
        self._first: dict[int, float] = {}
        self._failure: Exception | None = None
        self._poll = select.epoll()
        os.nice(POLITENESS)  # gives way to others on its core
        self.add(connections)
        threading.Thread(target=self._answer, daemon=True).start()

    def add(self, connections: list[Connection]) -> None:
        """Hold these as well."""
        self.by_descriptor |= _by_descriptor(connections)
        for connection in connections:
            self._poll.register(connection.sock, select.EPOLLIN)

    def _answer(self) -> None:
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    self.by_descriptor[descriptor].read()
                    self._first.setdefault(descriptor, time.perf_counter())
        except (UnexpectedAnswerError, OSError) as error:
            self._failure = error

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of sockets that were pinged, and when each was for the first time."""
        begun = time.perf_counter()
        self._first = {}
        time.sleep(seconds)
        if self._failure is not None:
            raise self._failure
        times = [at - begun for at in list(self._first.values())]
        return len(times), times or [0.0]


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
    most = PORTION if kind is PingedLoad else options.sockets
    load = None
    for first in range(0, options.sockets, most):
        count = min(most, options.sockets - first)
        connections = open_connections(
            options.port, kind.path, count, first=first, deflate=options.deflate
        )
        if load is None:
            load = kind(connections, options.deflate)
        else:
            load.add(connections)
    gc.freeze()  # the load makes no cycles: nothing to collect but its own pauses
    gc.disable()
    serve_runs(load.run)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (UnexpectedAnswerError, TimeoutError, ConnectionError) as error:
        sys.exit(f"websocket_client: {error!r}")
