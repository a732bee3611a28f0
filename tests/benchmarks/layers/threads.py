"""Our layers in plain threads: a process that receives, one that asks and waits, one that idles."""

from __future__ import annotations

import time
import uuid

from tests.benchmarks.child import say, serve_runs
from tests.benchmarks.layers.messages import (
    CAPACITY,
    PATIENCE,
    REQUEST_CHANNEL,
    WrongMessageError,
    answer_to,
    check_answer,
    request,
)
from wsgi_bridge.layers import open_layer


def answer(url: str) -> None:
    """Receive requests one by one, and answer each."""
    layer = open_layer(url, capacity=CAPACITY)
    layer.receive([REQUEST_CHANNEL])
    say("ready")
    while True:
        _, message = layer.receive([REQUEST_CHANNEL], block=True)
        if message is not None:
            layer.hand_over(*answer_to(message))


def ask(url: str, in_flight: int) -> None:
    """Ask and wait, one at a time, whenever told to."""
    if in_flight != 1:
        raise ValueError(f"{in_flight!r} in flight: a thread waits for one answer")
    layer = open_layer(url, capacity=CAPACITY)
    reader = f"bench.response.{uuid.uuid4().hex[:12]}!"
    layer.receive([reader])

    def run(seconds: float) -> tuple[int, list[float]]:
        latencies: list[float] = []
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            number = len(latencies)
            layer.hand_over(REQUEST_CHANNEL, request(f"{reader}{number}", number))
            channel, message = layer.receive([reader], block=True, timeout=PATIENCE)
            if channel != f"{reader}{number}":
                raise WrongMessageError(f"expected the answer {number!r}, got {channel!r}")
            check_answer(message, number)
            latencies.append(time.perf_counter() - started)
        return len(latencies), latencies

    serve_runs(run)
    layer.close()


def wait(url: str) -> None:
    """Wait for a message that never comes."""
    layer = open_layer(url)
    layer.receive(["bench.idle"])
    say("ready")
    layer.receive(["bench.idle"], block=True)
    raise WrongMessageError("a message came that nobody sent")
