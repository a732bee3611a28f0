"""What the processes do that storage_processes.py starts; not a test itself.

    python -m tests.wsgi_bridge.layers.storage_child TASK URL [ARGUMENT...]

Each prints `ready` when it has begun, and goes on until it is killed.
"""

import contextlib
import itertools
import logging
import sys
import time

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers import open_layer


def ready():
    print("ready", flush=True)


def leave(url, reader, count):
    """Own a reader, with wills and values for its channels."""
    layer = open_layer(url)
    with layer.listen([reader], int):
        for number in range(int(count)):
            name = f"{reader}{number}"
            layer.storage.set_will(name, [("wrong", {})])
            layer.storage.set_will(name, [("gone", {"n": number}), ("gone!x", {"n": number})])
            layer.storage.save(name, {"n": number}, ttl=1000, owner=name)
        for name in (f"{reader}cleared", f"{reader}forgotten"):
            layer.storage.set_will(name, [("wrong", {})])
        layer.storage.clear_will(f"{reader}cleared")
        layer.forget_channel(f"{reader}forgotten")
        ready()
        sys.stdin.readline()
        layer.close()


def schedule(url, count):
    """Schedule, and end."""
    layer = open_layer(url)
    for number in range(int(count)):
        layer.storage.schedule("due", {"n": number}, time.time() + 0.1)
    ready()


def release(url):
    """Release all that is due, all the time."""
    layer = open_layer(url, capacity=10_000)
    ready()
    while True:
        with contextlib.suppress(ChannelLayerUnavailable):
            layer.storage.release_due(5)


def send(url, sender):
    """Send to a group with history, all the time."""
    layer = open_layer(url, capacity=100_000)
    ready()
    for number in itertools.count():
        time.sleep(0.0005)  # in turn with the others
        layer.storage.send_group("group", {"from": sender, "n": number}, keep=100_000, ttl=60)


if __name__ == "__main__":
    logging.disable()  # losses are a part of the tests
    globals()[sys.argv[1]](*sys.argv[2:])
