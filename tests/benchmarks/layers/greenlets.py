"""Our layers under gevent, as a protocol server and a worker use them.

A process has one channel to receive on, and a greenlet that receives in batches and hands out what
came. Imported after gevent has patched the process.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.queue import Queue
from gevent.server import StreamServer
from gevent.socket import create_connection

from tests.benchmarks.child import say, serve_runs
from tests.benchmarks.layers.crowd import Crowd
from tests.benchmarks.layers.messages import (
    CAPACITY,
    GROUP,
    PATIENCE,
    REQUEST_CHANNEL,
    answer_to,
    check_answer,
    news,
    request,
)
from wsgi_bridge.layers import BaseLayer, open_layer

BATCH = 256
CONSUMERS = 100


def answer(url: str) -> None:
    """Receive requests in batches; a pooled greenlet answers each."""
    layer = open_layer(url, capacity=CAPACITY)
    pool = Pool(CONSUMERS)

    def consume(message: dict[str, Any]) -> None:
        layer.hand_over(*answer_to(message))

    with layer.listen([REQUEST_CHANNEL], lambda: None):
        say("ready")
        while True:
            for _, message in layer.receive_many([REQUEST_CHANNEL], BATCH, None):
                pool.spawn(consume, message)


def ask(url: str, in_flight: int) -> None:
    """Have greenlets send and wait, whenever told to."""
    asker = _Asker(open_layer(url, capacity=CAPACITY), in_flight)
    with asker.layer.listen([asker.reader], lambda: None):
        dispatcher = gevent.spawn(_dispatch, asker.layer, asker.reader, asker.settle)
        serve_runs(asker.run)
        dispatcher.kill()
    asker.layer.close()


class _Asker:
    """Greenlets that ask, each again and again, and what they wait for."""

    def __init__(self, layer: BaseLayer, in_flight: int) -> None:
        self.layer = layer
        self.reader = _new_reader()
        self._in_flight = in_flight
        self._waiting: dict[str, AsyncResult] = {}

    def settle(self, channel: str, message: dict[str, Any]) -> None:
        """Give a greenlet its answer."""
        self._waiting.pop(channel).set(message)

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Ask for `seconds`; return the count and the times of the answers."""
        latencies: list[float] = []
        end = time.perf_counter() + seconds
        greenlets = [
            gevent.spawn(self._ask, each, end, latencies) for each in range(self._in_flight)
        ]
        done = gevent.joinall(greenlets, timeout=seconds + PATIENCE, raise_error=True)
        if len(done) < len(greenlets):
            raise TimeoutError(f"no answer came for {PATIENCE} s")
        return len(latencies), latencies

    def _ask(self, asker: int, end: float, latencies: list[float]) -> None:
        number = 0
        while (started := time.perf_counter()) < end:
            number += 1
            reply = f"{self.reader}{asker}.{number}"
            self._waiting[reply] = result = AsyncResult()
            self.layer.hand_over(REQUEST_CHANNEL, request(reply, number))
            check_answer(result.get(), number)
            latencies.append(time.perf_counter() - started)


def hold(url: str, members: int) -> None:
    """Be the group's members of one process; tell whoever connects when all have a message."""
    senders: list[Any] = []

    def report(number: int, when: float) -> None:
        senders[-1].sendall(f"{number} {when!r}\n".encode())

    def welcome(connection: Any, _: Any) -> None:
        senders[:] = [connection.dup()]  # the server closes its own when this returns
        connection.sendall(b"begin\n")

    _Members(open_layer(url, capacity=CAPACITY), members, report).join()
    server = StreamServer(("127.0.0.1", 0), welcome)
    server.start()
    say(f"running on tcp://127.0.0.1:{server.server_port}")
    server.serve_forever()


def send(url: str, members: int, port: int) -> None:
    """Be the members of the other process, and send to the group whenever told to."""
    results: Queue = Queue()
    put = results.put
    crowd = _Members(open_layer(url, capacity=CAPACITY), members, lambda *each: put(each))
    crowd.join()
    others = create_connection(("127.0.0.1", port)).makefile("r")
    assert others.readline() == "begin\n"
    sender = uuid.uuid4().hex
    numbers = iter(range(1, 1 << 60))

    def run(seconds: float) -> tuple[int, list[float]]:
        latencies: list[float] = []
        end = time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            number = next(numbers)
            crowd.layer.send_group(GROUP, news(sender, number))
            mine, ended = results.get(timeout=PATIENCE)
            theirs, when = others.readline().split()
            assert mine == int(theirs) == number
            latencies.append(max(ended, float(when)) - started)
        return len(latencies) * 2 * members, latencies

    serve_runs(run)
    crowd.leave()


class _Members:
    """A greenlet for each member, which waits for its next message."""

    def __init__(
        self, layer: BaseLayer, size: int, finished: Callable[[int, float], object]
    ) -> None:
        self.layer = layer
        self._crowd = Crowd(size, finished)
        self._reader = _new_reader()
        self._queues: dict[str, Queue] = {f"{self._reader}{each}": Queue() for each in range(size)}

    def join(self) -> None:
        """Make every member one of the group, and have it hear."""
        self._listener = self.layer.listen([self._reader], lambda: None)
        self._dispatcher = gevent.spawn(_dispatch, self.layer, self._reader, self._hand_out)
        for number, (channel, queue) in enumerate(self._queues.items()):
            self.layer.group_add(GROUP, channel)
            gevent.spawn(self._hear, number, queue)

    def _hand_out(self, channels: tuple[str, ...], message: dict[str, Any]) -> None:
        for channel in channels:
            self._queues[channel].put(message)

    def _hear(self, number: int, queue: Queue) -> None:
        while True:
            self._crowd.hear(number, queue.get())

    def leave(self) -> None:
        """Have the group be without them."""
        for channel in self._queues:
            self.layer.group_discard(GROUP, channel)
        self._dispatcher.kill()
        self._listener.close()
        self.layer.close()


def _new_reader() -> str:
    return f"bench.response.{uuid.uuid4().hex[:12]}!"


def _dispatch(layer: BaseLayer, reader: str, hand_out: Callable[..., object]) -> None:
    while True:
        for channels, message in layer.receive_many([reader], BATCH, None, compact=True):
            hand_out(channels, message)
