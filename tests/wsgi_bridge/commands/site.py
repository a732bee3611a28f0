"""Another process, whose layer the tests look at; not a test itself.

    python -m tests.wsgi_bridge.commands.site URL

It listens, fills the layer and prints `ready`; at the end of its input it prints what it can
still receive.
"""

import json
import sys
import threading

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers import open_layer

#: Nobody listens on it: a process takes what it listens for out of Redis.
READER = "web.response.P1!"


def fill(layer):
    for number in range(3):
        layer.send("jobs", {"n": number})
    try:
        layer.send("jobs", {"n": 3})
    except ChannelFull:
        pass
    layer.send(f"{READER}c1", {"text": "hello"})
    for name in (f"{READER}c1", f"{READER}c2", "audit"):
        layer.group_add("room", name)
    layer.group_add("alone", f"{READER}c1")


def main(url):
    layer = open_layer(url, channel_capacity={"jobs": 3})
    with layer.listen(["web.response.P2!"], threading.Event().set):
        fill(layer)
        print("ready", flush=True)
        sys.stdin.read()
        left = []
        while batch := layer.receive_many(["jobs", READER], 10, 0.2):
            left += [name for name, _ in batch]
        print(json.dumps(sorted(left)))
    layer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
