"""What the processes do that test_ipc_processes.py starts; not a test itself.

    python -m tests.wsgi_bridge.layers.ipc_child TASK DIRECTORY [ARGUMENT...]

Each prints `ready` when it has begun.
"""

import logging
import random
import sys
import time

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers.ipc import IpcLayer


def open_layer(directory):
    return IpcLayer(directory, capacity=1000, expiry=60)


def ready():
    print("ready", flush=True)


def listen(directory, reader):
    """Own a reader until killed."""
    layer = open_layer(directory)
    with layer.listen([reader], int):
        ready()
        time.sleep(60)


def churn(directory, seed):
    """Do everything, all the time, until killed."""
    chance = random.Random(seed)
    layer = open_layer(directory)
    reader = f"churn.{seed}!"
    layer.receive([reader])
    ready()
    while True:
        try:
            layer.send(
                "shared", {"n": chance.randrange(100), "data": b"x" * chance.randrange(9000)}
            )
            layer.send(f"{reader}{chance.randrange(5)}", {})
            layer.group_add("churned", f"{reader}{chance.randrange(50)}")
            layer.group_discard("churned", f"{reader}{chance.randrange(50)}")
            layer.send_group("churned", {})
        except ChannelFull:
            pass
        layer.receive_many(["shared", reader], chance.randrange(1, 50), chance.choice([0, 0.001]))


def count(directory, number):
    """Print the numbers that were received on `shared`, until `stop` comes."""
    layer = open_layer(directory)
    ready()
    received = []
    while True:
        for channel, message in layer.receive_many(["shared", f"stop.{number}!"], 7, 20):
            if channel != "shared":
                print(*received, flush=True)
                return
            received.append(message["n"])


def members(directory, number, count):
    """Hold members that stay and others that come and go; print what each one that stays got."""
    layer = open_layer(directory)
    reader = f"audit.{number}!"
    stay = [f"{reader}stay{index}" for index in range(int(count))]
    for name in stay:
        layer.group_add("audit", name)
    ready()
    got = {name: [] for name in stay}
    step = 0
    while True:
        step += 1
        for index in range(3):
            name = f"{reader}go{(step + index) % 20}"
            (layer.group_add if index else layer.group_discard)("audit", name)
        for names, message in layer.receive_many([reader], 10, 20, compact=True):
            if message.get("end"):
                lists = list(got.values())
                assert all(item == lists[0] for item in lists), "members differ"
                print(*lists[0], flush=True)
                return
            assert len(set(names)) == len(names)
            for name in set(names) & got.keys():
                got[name].append(message["n"])


def fill(directory, count):
    """Send as much as makes the file grow several times, then wait."""
    layer = open_layer(directory)
    for _ in range(int(count)):
        layer.send("large", {"data": b"x" * 100_000})
    ready()
    time.sleep(60)


def echo(directory, kind):
    """Answer on `answer` what comes on `question`; with threads, greenlets or asyncio."""
    if kind == "asyncio":
        import asyncio

        asyncio.run(_echo_asyncio(directory))
        return
    layer = open_layer(directory)
    if kind in ("gevent", "hub"):
        from gevent import monkey

        monkey.patch_all()
        import gevent

        gevent.spawn(_tick)
    if kind == "hub":
        layer.hear_with(_watch_in_hub)
    ready()
    for _ in range(20):
        layer.send("answer", layer.receive(["question"], True, 20)[1])
    if kind in ("gevent", "hub"):
        assert ticks  # the hub went on meanwhile


def _watch_in_hub(descriptor, function):
    import gevent

    watcher = gevent.get_hub().loop.io(descriptor, 1)
    watcher.start(function)
    return watcher.stop


ticks = []


def _tick():
    import gevent

    while True:
        gevent.sleep(0.001)
        ticks.append(1)


async def _echo_asyncio(directory):
    layer = open_layer(directory)
    ready()
    for _ in range(20):
        _, message = await layer.receive_async(["question"], 20)
        await layer.send_async("answer", message)


if __name__ == "__main__":
    logging.disable()  # losses of group messages are a part of the tests
    globals()[sys.argv[1]](*sys.argv[2:])
