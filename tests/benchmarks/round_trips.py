"""Request and answer through a layer, between two processes: round trips a second.

    python -m tests.benchmarks.round_trips redis://127.0.0.1:6379 [channels_redis://127.0.0.1:6379]

One process sends a realistic `http.request` for each of IN_FLIGHT callers, and each waits for its
answer on a reply channel of its own; the other one receives requests and answers them. Ours runs
them in greenlets, as a server and a worker do; channels_redis in asyncio tasks, as Daphne does.
Prints one line of JSON for each round of each layer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import uuid

IN_FLIGHT = 64
SECONDS = 3.0

REQUEST = {
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/articles/2017/03/some-title/",
    "raw_path": b"/articles/2017/03/some-title/",
    "root_path": "",
    "query_string": b"page=2&order=newest",
    "headers": [
        [b"host", b"www.example.com"],
        [b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"],
        [b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        [b"accept-language", b"en-US,en;q=0.5"],
        [b"accept-encoding", b"gzip, deflate, br"],
        [b"cookie", b"sessionid=0123456789abcdef0123456789abcdef; csrftoken=" + b"x" * 32],
        [b"connection", b"keep-alive"],
    ],
    "body": b"",
    "client": ["203.0.113.9", 51234],
    "server": ["192.0.2.1", 80],
}
ANSWER = {
    "status": 200,
    "headers": [[b"content-type", b"text/html; charset=utf-8"], [b"content-length", b"1024"]],
    "content": b"x" * 1024,
    "more_content": False,
}


def answer_by_greenlets(url: str) -> None:
    """Receive requests in batches; a pooled greenlet answers each."""
    from gevent import monkey

    monkey.patch_all()
    from gevent.pool import Pool

    from wsgi_bridge.layers import open_layer

    layer = open_layer(url, capacity=1000)
    pool = Pool(100)
    listener = layer.listen(["http.request"], lambda: None)
    print("ready", flush=True)
    while True:
        for _, message in layer.receive_many(["http.request"], 64, None):
            pool.spawn(layer.hand_over, message["reply_channel"], dict(ANSWER))
    listener.close()


def ask_by_greenlets(url: str, seconds: float, in_flight: int) -> dict[str, float]:
    """Have greenlets send and wait, and a dispatcher hand them their answers."""
    from gevent import monkey

    monkey.patch_all()
    import gevent
    from gevent.event import AsyncResult

    from wsgi_bridge.layers import open_layer

    layer = open_layer(url, capacity=1000)
    reader = f"bench.response.{uuid.uuid4().hex[:12]}!"
    waiting: dict[str, AsyncResult] = {}
    latencies: list[float] = []
    listener = layer.listen([reader], lambda: None)

    def dispatch() -> None:
        while True:
            for channel, message in layer.receive_many([reader], 256, None, compact=True):
                waiting.pop(channel).set(message)

    def ask(number: int, end: float) -> None:
        sequence = 0
        while (started := time.perf_counter()) < end:
            sequence += 1
            reply = f"{reader}{number}.{sequence}"
            waiting[reply] = result = AsyncResult()
            layer.hand_over("http.request", {"reply_channel": reply, **REQUEST})
            result.get()
            latencies.append(time.perf_counter() - started)

    dispatcher = gevent.spawn(dispatch)
    started = time.perf_counter()
    cpu = time.process_time()
    gevent.joinall([gevent.spawn(ask, each, started + seconds) for each in range(in_flight)])
    took = time.perf_counter() - started
    cpu = time.process_time() - cpu
    dispatcher.kill()
    listener.close()
    layer.close()
    return summary(latencies, took, cpu)


def open_channels_redis(url: str):
    from channels_redis.core import RedisChannelLayer

    return RedisChannelLayer(hosts=[url.replace("channels_redis://", "redis://")], capacity=1000)


def answer_by_tasks(url: str) -> None:
    """Receive and answer in as many tasks as there may be requests."""

    async def answer() -> None:
        while True:
            message = await layer.receive("http.request")
            await layer.send(message["reply_channel"], dict(ANSWER))

    async def main() -> None:
        print("ready", flush=True)
        await asyncio.gather(*[answer() for _ in range(IN_FLIGHT)])

    layer = open_channels_redis(url)
    asyncio.run(main())


def ask_by_tasks(url: str, seconds: float, in_flight: int) -> dict[str, float]:
    """Have tasks send and wait, each on a channel of its own."""
    latencies: list[float] = []

    async def ask(end: float) -> None:
        reply = await layer.new_channel()
        while (started := time.perf_counter()) < end:
            await layer.send("http.request", {"reply_channel": reply, **REQUEST})
            await layer.receive(reply)
            latencies.append(time.perf_counter() - started)

    async def main() -> dict[str, float]:
        started = time.perf_counter()
        cpu = time.process_time()
        await asyncio.gather(*[ask(started + seconds) for _ in range(in_flight)])
        return summary(latencies, time.perf_counter() - started, time.process_time() - cpu)

    layer = open_channels_redis(url)
    return asyncio.run(main())


def summary(latencies: list[float], took: float, cpu: float) -> dict[str, float]:
    return {
        "per_second": round(len(latencies) / took),
        "p50_ms": round(statistics.median(latencies) * 1000, 3),
        "cpu_us": round(cpu / len(latencies) * 1e6, 1),
    }


def measure(url: str, seconds: float, in_flight: int) -> dict[str, float]:
    """Start an answering process, and ask it."""
    command = [sys.executable, "-m", __spec__.name, "--seconds", str(seconds)]
    command += ["--in-flight", str(in_flight), url]
    with subprocess.Popen([*command, "--answer"], stdout=subprocess.PIPE, text=True) as answering:
        try:
            assert answering.stdout is not None
            assert answering.stdout.readline() == "ready\n"
            asked = subprocess.run([*command, "--ask"], stdout=subprocess.PIPE, check=True)
        finally:
            answering.kill()
    return json.loads(asked.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ask", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    url = arguments.urls[0]
    theirs = url.startswith("channels_redis")
    if arguments.answer:
        (answer_by_tasks if theirs else answer_by_greenlets)(url)
    elif arguments.ask:
        ask = ask_by_tasks if theirs else ask_by_greenlets
        print(json.dumps(ask(url, arguments.seconds, arguments.in_flight)))
    else:
        for _ in range(arguments.rounds):
            for each in arguments.urls:
                figures = measure(each, arguments.seconds, arguments.in_flight)
                print(json.dumps({"url": each, **figures}), flush=True)


if __name__ == "__main__":
    main()
