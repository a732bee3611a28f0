"""The same work through channels_redis, in asyncio tasks: its core layer with its defaults.

One task for each request that may be under way and for each member of a group, as Daphne and the
consumers of Channels have it.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial

from channels_redis.core import RedisChannelLayer

from tests.benchmarks.child import Watch, say
from tests.benchmarks.layers.crowd import Crowd
from tests.benchmarks.layers.messages import (
    CAPACITY,
    GROUP,
    PATIENCE,
    REQUEST_CHANNEL,
    WrongMessageError,
    answer_to,
    check_answer,
    news,
    request,
)

RECEIVERS = 64
"""Tasks that receive and answer: as many as there are requests in flight."""

Run = Callable[[float], Awaitable[tuple[int, list[float]]]]


def _open(url: str) -> RedisChannelLayer:
    # redis-py 8 has every read end after 5 s, just when a receive that waits for nothing would.
    hosts = [f"{url}?socket_timeout=60"]
    return RedisChannelLayer(hosts=hosts, capacity=CAPACITY)


async def _serve_runs(run: Run) -> None:
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        watch = Watch()
        say(watch.report(*await run(float(line))))


async def answer(url: str) -> None:
    """Receive and answer in as many tasks as there may be requests."""
    layer = _open(url)

    async def consume() -> None:
        while True:
            await layer.send(*answer_to(await layer.receive(REQUEST_CHANNEL)))

    say("ready")
    await asyncio.gather(*[consume() for _ in range(RECEIVERS)])


async def ask(url: str, in_flight: int) -> None:
    """Have tasks send and wait, each on a channel of its own, whenever told to."""
    layer = _open(url)

    async def ask_until(end: float, latencies: list[float]) -> None:
        reply = await layer.new_channel()
        number = 0
        while (started := time.perf_counter()) < end:
            number += 1
            await layer.send(REQUEST_CHANNEL, request(reply, number))
            check_answer(await layer.receive(reply), number)
            latencies.append(time.perf_counter() - started)

    async def run(seconds: float) -> tuple[int, list[float]]:
        latencies: list[float] = []
        end = time.perf_counter() + seconds
        asking = asyncio.gather(*[ask_until(end, latencies) for _ in range(in_flight)])
        await asyncio.wait_for(asking, seconds + PATIENCE)
        return len(latencies), latencies

    await _serve_runs(run)


async def hold(url: str, members: int) -> None:
    """Be the group's members of one process; tell whoever connects when all have a message."""
    senders: list[asyncio.StreamWriter] = []

    def report(number: int, when: float) -> None:
        senders[-1].write(f"{number} {when!r}\n".encode())

    async def welcome(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        senders[:] = [writer]
        writer.write(b"begin\n")

    _, hearing = await _join(_open(url), members, report)
    server = await asyncio.start_server(welcome, "127.0.0.1", 0)
    say(f"running on tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.gather(*hearing)


async def send(url: str, members: int, port: int) -> None:
    """Be the members of the other process, and send to the group whenever told to."""
    layer = _open(url)
    results: asyncio.Queue[tuple[int, float]] = asyncio.Queue()
    channels, hearing = await _join(layer, members, lambda *each: results.put_nowait(each))
    others, _ = await asyncio.open_connection("127.0.0.1", port)
    assert await others.readline() == b"begin\n"
    sender = uuid.uuid4().hex
    numbers = iter(range(1, 1 << 60))

    async def run(seconds: float) -> tuple[int, list[float]]:
        latencies: list[float] = []
        end = time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            number = next(numbers)
            await layer.group_send(GROUP, news(sender, number))
            mine, ended = await asyncio.wait_for(results.get(), PATIENCE)
            theirs, when = (await asyncio.wait_for(others.readline(), PATIENCE)).split()
            assert mine == int(theirs) == number
            latencies.append(max(ended, float(when)) - started)
        return len(latencies) * 2 * members, latencies

    await _serve_runs(run)
    for channel in channels:
        await layer.group_discard(GROUP, channel)
    for task in hearing:
        task.cancel()


async def _join(
    layer: RedisChannelLayer, size: int, finished: Callable[[int, float], object]
) -> tuple[list[str], list[asyncio.Task[None]]]:
    """Make `size` members, and have each wait for its next message in a task of its own."""
    crowd = Crowd(size, finished)

    async def hear(member: int, channel: str) -> None:
        while True:
            crowd.hear(member, await layer.receive(channel))

    channels = [await layer.new_channel() for _ in range(size)]
    for channel in channels:
        await layer.group_add(GROUP, channel)
    hearing = [asyncio.create_task(hear(*each)) for each in enumerate(channels)]
    for task in hearing:
        task.add_done_callback(partial(_give_up, asyncio.get_running_loop()))
    return channels, hearing


def _give_up(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """Have the process fail with the first member that does, and not wait for its message."""
    if not task.cancelled() and task.exception() is not None:
        loop.call_exception_handler({"message": "a member failed", "exception": task.exception()})
        loop.stop()


async def wait(url: str) -> None:
    """Wait for a message that never comes."""
    say("ready")
    await _open(url).receive("bench.idle")
    raise WrongMessageError("a message came that nobody sent")
