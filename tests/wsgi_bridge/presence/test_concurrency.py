"""Many processes look at one group at once: each event is sent once, and in an order that holds."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack, closing

import pytest

from wsgi_bridge import Group, open_layer
from wsgi_bridge.presence import JOIN, LEAVE, PresenceRegister
from wsgi_bridge.presence.roll import CHECK

THREADS = 4
ACTS = 40
IDS = ["ada", "bob"]


class Process:
    """What a worker process does with a group: adds, discards, and looks when it is asked to."""

    def __init__(self, layer, number):
        self.layer = layer
        self.register = PresenceRegister(layer, {JOIN, LEAVE}, lambda: None)
        self.group = Group("room", layer, presence=True, grace=0.0)
        self.random = random.Random(number)
        self.sockets = [(f"test.{number}!{each}", each) for each in IDS]
        self.is_in = dict.fromkeys(IDS, False)
        self.failures = []

    def run(self):
        try:
            for _ in range(ACTS):
                channel, name = self.random.choice(self.sockets)
                self.act(channel, name)
                self.look()
        except BaseException as exc:
            self.failures.append(exc)
            raise

    def act(self, channel, name):
        if self.is_in[name]:
            self.group.discard(channel)
        else:
            self.group.add(channel, {"id": name})
        self.is_in[name] = not self.is_in[name]

    def look(self):
        for _, message in self.layer.receive_many([CHECK], 10):
            self.register.check(message)


@pytest.fixture
def processes(layer_url):
    with ExitStack() as layers:

        def open_one():
            return layers.enter_context(closing(open_layer(layer_url, capacity=10_000)))

        first = open_one()
        first.flush()
        is_shared = not layer_url.startswith("memory")
        yield [
            Process(open_one() if number and is_shared else first, number)
            for number in range(THREADS)
        ]


def test_joins_and_leaves_take_turns_and_agree_with_who_is_there(processes):
    threads = [threading.Thread(target=process.run) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.failures for process in processes] == THREADS * [[]]

    last = processes[0]
    for _ in range(3):  # what is due, and what that puts
        last.layer.storage.release_due()
        while messages := last.layer.receive_many([CHECK], 100):
            for _, message in messages:
                last.register.check(message)
    events = [
        (message["order"], message["id"], channel)
        for channel, message in last.layer.receive_many([JOIN, LEAVE], 10_000)
    ]
    orders = [order for order, _, _ in events]
    assert len(set(orders)) == len(orders)
    for name in IDS:
        told = [channel for _, who, channel in sorted(events) if who == name]
        assert told == [JOIN, LEAVE] * (len(told) // 2) + [JOIN] * (len(told) % 2)
        is_there = any(process.is_in[name] for process in processes)
        assert (len(told) % 2 == 1) is is_there
    assert sorted(each.id for each in last.group.present()) == [
        name for name in IDS if any(process.is_in[name] for process in processes)
    ]
