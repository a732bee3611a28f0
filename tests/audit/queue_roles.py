"""The processes of the queues audit: what they send and receive, and what they write down.

A sender numbers its messages, and writes into NAME.sent

    > TIME NUMBER CHANNEL           before it sends
    + TIME NUMBER PATH              it was sent, to the shared layer or to the process's own memory
    F TIME NUMBER                   refused: ChannelFull
    U TIME NUMBER                   refused: ChannelLayerUnavailable; it may have been put

A receiver writes into NAME.received, in one write for each batch

    B BEGAN TAKEN                   it asked, and has got
    CHANNEL SENDER NUMBER           for each message

A node is both at once, and all of them are nodes where the layer is local first: only then is there
anything that stays in a process. Times are of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.audit.backend import Crossings, open_audited
from tests.audit.children import Stop
from tests.audit.logs import Log, publish, read_published
from tests.audit.plan import Plan
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer

__all__ = ["END_OF_SENDING", "LOCAL", "LONELY", "SHARED", "node", "receiver", "sender"]

#: A channel that nobody reads: what is sent there expires.
LONELY = "audit.lonely"

#: The file that tells nodes to stop sending.
END_OF_SENDING = "end-of-sending"

#: Paths that a message may take.
LOCAL, SHARED = "local", "shared"

#: Habits of receivers: to listen all the time, to receive without waiting, to wait in each receive.
LISTENS, POLLS, WAITS = "listens", "polls", "waits"

#: Seconds that a receive waits, a sender of a full channel pauses, and so one without a backend.
WAIT = 0.2
PAUSE = 0.002
RETRY = 0.02

#: Messages between two looks at who can be reached.
LOOK_EVERY = 50

#: Bytes of the largest message; most have none beside their number.
LARGEST = 20_000


def _normal_channels(plan: Plan) -> list[str]:
    """Return the normal channels: a protocol's own names where local first makes a difference."""
    if plan.local_first:
        return ["http.request", "websocket.receive", "audit.named"]
    return [f"audit.normal.{number}" for number in range(plan.channels)]


def sender(plan: Plan, name: str, stop: Stop) -> None:
    """Send until told to stop."""
    layer, crossings = open_audited(plan)
    send(plan, name, stop, layer, crossings)
    layer.close()


def receiver(plan: Plan, name: str, stop: Stop) -> None:
    """Receive until told to stop, and until there is nothing left."""
    layer, _ = open_audited(plan)
    receive(plan, name, stop, layer)
    layer.close()


def node(plan: Plan, name: str, stop: Stop) -> None:
    """Do both; receive until the sending has ended."""
    layer, crossings = open_audited(plan)
    end = _EndOfSending(plan.folder)
    thread = threading.Thread(target=send, args=(plan, name, end, layer, crossings))
    thread.start()
    receive(plan, name, stop, layer)
    thread.join()
    layer.close()


def send(plan: Plan, name: str, stop: Any, layer: BaseLayer, crossings: Crossings) -> None:
    """Send in bursts, at the rate of the plan on average, and write everything down."""
    log = Log(plan.folder, "sent", name)
    chance = random.Random(f"{plan.seed} {name}")
    chooser = _channels(plan, chance)
    number = 0
    while not stop.is_set():
        burst = chance.randrange(1, 60)
        started = time.monotonic()
        for _ in range(burst):
            number += 1
            _send_one(layer, crossings, log, next(chooser), _message(chance, name, number))
        if plan.rate:
            time.sleep(max(0.0, started + burst / plan.rate - time.monotonic()))
    log.close()


def _message(chance: random.Random, name: str, number: int) -> dict[str, Any]:
    size = chance.randrange(LARGEST) if chance.random() < 0.02 else 0
    return {"sender": name, "number": number, "content": b"x" * size}


def _channels(plan: Plan, chance: random.Random) -> Iterator[str]:
    """Yield where to send to, for ever."""
    normal = _normal_channels(plan)
    while True:
        specific = [channel for line in read_published(plan.folder) for channel in line.split()]
        for _ in range(LOOK_EVERY):
            dice = chance.random()
            if dice < 0.01:
                yield LONELY
            elif dice < 0.5 or not specific:
                yield chance.choice(normal)
            else:
                yield chance.choice(specific)


def _send_one(
    layer: BaseLayer, crossings: Crossings, log: Log, channel: str, message: dict[str, Any]
) -> None:
    number = message["number"]
    log.write(f"> {time.monotonic():.6f} {number} {channel}")
    try:
        layer.send(channel, message)
    except ChannelFull:
        crossings.take()
        log.write(f"F {time.monotonic():.6f} {number}")
        time.sleep(PAUSE)
    except ChannelLayerUnavailable:
        crossings.take()
        log.write(f"U {time.monotonic():.6f} {number}")
        time.sleep(RETRY)
    else:
        path = SHARED if crossings.take() else LOCAL
        log.write(f"+ {time.monotonic():.6f} {number} {path}")


def receive(plan: Plan, name: str, stop: Any, layer: BaseLayer) -> None:
    """Receive on all normal channels and on two of its own; pause now and then with a batch."""
    log = Log(plan.folder, "received", name)
    chance = random.Random(f"{plan.seed} {name} receives")
    specific, single = f"{name}!", layer.new_channel(f"{name}?")
    channels = [*_normal_channels(plan), specific, single]
    habit = chance.choice(_habits(plan))
    # As servers and workers do, which listen as long as they live.
    listener = layer.listen(channels, lambda: None) if habit == LISTENS else None
    publish(plan.folder, name.rpartition(".")[0], f"{specific}a {specific}b {single}")
    wait = 0.0 if habit == POLLS else WAIT
    while _receive_once(plan, layer, channels, log, chance, wait) or not stop.is_set():
        if habit == POLLS:
            time.sleep(PAUSE)
    if listener is not None:
        listener.close()
    log.close()


def _habits(plan: Plan) -> list[str]:
    """Return the ways to receive, each of which is another way through a layer."""
    if plan.scheme.startswith("redis"):
        # Who waits without listening gives back what came too late: that leaves the order, which is
        # what the account takes for evidence.
        return [LISTENS, POLLS]
    return [LISTENS, POLLS, WAITS]


def _receive_once(
    plan: Plan,
    layer: BaseLayer,
    channels: list[str],
    log: Log,
    chance: random.Random,
    wait: float,
) -> bool:
    """Receive one batch; whether there was any."""
    began = time.monotonic()
    try:
        batch = layer.receive_many(channels, plan.limit, wait)
    except ChannelLayerUnavailable:
        log.write(f"B {began:.6f} {time.monotonic():.6f}")
        time.sleep(RETRY)
        return False
    taken = time.monotonic()
    if batch and chance.random() < 0.1:
        time.sleep(chance.random() * 0.05)  # at work: a good moment to be killed
    lines = [f"{channel} {each['sender']} {each['number']}" for channel, each in batch]
    log.write(f"B {began:.6f} {taken:.6f}", *lines)
    return bool(batch)


class _EndOfSending:
    """Whether nodes are to stop sending, while they go on receiving."""

    def __init__(self, folder: str) -> None:
        self._flag = os.path.join(folder, END_OF_SENDING)

    def is_set(self) -> bool:
        return os.path.exists(self._flag)
