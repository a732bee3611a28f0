"""How many commands Redis is given: seen by its MONITOR."""

import itertools
import threading
import uuid

import pytest
import redis as client

from wsgi_bridge.layers.conformance.support import Task

from .servers import until

ROUNDS = 50
PATIENCE = 10.0


class Answering:
    """A process that listens for good and answers, as a worker does."""

    def __init__(self, layer):
        self.layer = layer
        self.woken = threading.Event()
        self.is_done = False
        self.listener = layer.listen(["http.request", "websocket.receive"], self.woken.set)
        self.task = Task(self.run)

    def run(self):
        while not self.is_done:
            self.woken.wait(PATIENCE)
            self.woken.clear()
            for _, message in self.layer.receive_many(["http.request", "websocket.receive"], 64):
                self.layer.hand_over(message["reply_channel"], {"status": 200, "ack": 1})

    def stop(self):
        self.is_done = True
        self.woken.set()
        self.task.result(PATIENCE)
        self.listener.close()


class Asking:
    """A process that listens on its reader for good, as a protocol server does."""

    def __init__(self, layer, channel):
        self.layer = layer
        self.channel = channel
        self.woken = threading.Event()
        self.listener = layer.listen(["server.response.P!"], self.woken.set)

    def ask(self):
        self.woken.clear()
        self.layer.hand_over(self.channel, {"reply_channel": "server.response.P!c1"})
        received = []
        while not received:
            assert self.woken.wait(PATIENCE)
            self.woken.clear()
            received = self.layer.receive_many(["server.response.P!"], 256, compact=True)
        assert received == [("server.response.P!c1", {"status": 200, "ack": 1})]


class Monitor:
    """Counts the commands that come over connections, and not those that scripts call."""

    def __init__(self, server):
        self.client = client.Redis(port=server.port, socket_timeout=PATIENCE)
        self.marker = client.Redis(port=server.port)
        self.monitor = self.client.monitor()
        self.monitor.__enter__()

    def count(self):
        """Return how many there were since the last call."""
        token = uuid.uuid4().hex
        self.marker.echo(token)
        number = 0
        while True:
            seen = self.monitor.next_command()
            if seen["command"] == f"ECHO {token}":
                return number
            if seen["client_type"] != "lua":
                number += 1

    def close(self):
        self.monitor.connection.disconnect()
        self.client.close()
        self.marker.close()


@pytest.fixture
def monitor(server):
    monitor = Monitor(server)
    yield monitor
    monitor.close()


def beatless(*layers):
    """Have these layers send no heartbeats, which are a matter of time and not of traffic."""
    for layer in layers:
        for shard in layer._shards:
            shard.keeper._beat = lambda: None


def measure(monitor, action, rounds=ROUNDS):
    monitor.count()
    for _ in range(rounds):
        action()
    return monitor.count() / rounds


def test_a_request_and_its_answer_are_four_round_trips(server, open_redis, monitor):
    for channel in ("http.request", "websocket.receive"):
        layers = [open_redis(server.url) for _ in range(2)]
        beatless(*layers)
        answering, asking = Answering(layers[0]), Asking(layers[1], channel)
        for _ in range(3):
            asking.ask()
        assert measure(monitor, asking.ask) <= 4.1
        answering.stop()
        asking.listener.close()
        for layer in layers:
            layer.close()


def test_under_load_a_request_is_less_than_one_round_trip(server, open_redis, monitor):
    layers = [open_redis(server.url, capacity=1000) for _ in range(2)]
    beatless(*layers)
    received = []
    woken = threading.Event()
    sender, receiver = layers
    messages = [("http.request", {"n": number}) for number in range(64)]
    with receiver.listen(["http.request"], woken.set):

        def burst():
            assert sender.send_many(messages) == [None] * 64
            del received[:]
            while len(received) < 64:
                received.extend(receiver.receive_many(["http.request"], 64))
                if len(received) < 64:
                    woken.wait(PATIENCE)
                    woken.clear()

        burst()
        assert measure(monitor, burst) / 64 < 0.25


def test_a_group_message_is_one_round_trip_and_a_push_for_each_process(server, open_redis):
    sender = open_redis(server.url)
    for process in range(3):
        for member in range(100):
            sender.group_add("group", f"p{process}!{member}")
    beatless(sender)
    before = server.commands()["evalsha"]
    sender.send_group("group", {"n": 1})
    assert server.commands()["evalsha"] - before == 1 + 3
    reader = open_redis(server.url)
    beatless(reader)
    [(members, _)] = reader.receive_many(["p1!"], 10, compact=True)
    assert len(members) == 100


def test_an_add_costs_the_process_that_reads_two_commands_at_most(server, open_redis, monitor):
    """One to fetch it, when it is woken by it, and one to wait again."""
    owner, adder = open_redis(server.url), open_redis(server.url)
    beatless(owner, adder)
    with owner.listen(["p!"], lambda: None):
        numbers = itertools.count()
        add = lambda: adder.group_add("group", f"p!{next(numbers)}")  # noqa: E731
        own = lambda: owner.group_add("group", f"p!{next(numbers)}")  # noqa: E731
        add()
        own()
        until(lambda: owner._memberships.known("p!"), what="the first one is fetched")
        assert measure(monitor, add) <= 2 + 2
        until(lambda: fetched_all(server, owner), what="the owner has heard of all")
        assert measure(monitor, own) == 2


def fetched_all(server, owner):
    """Whether a process has fetched every change behind its reader, and waits again."""
    queue = owner.inbox.queue("p!")
    known = owner._memberships.known("p!")
    is_waiting = queue.shard.reader.blocked and not server.admin.exists(queue.keys.wake)
    return is_waiting and known == float(server.admin.get(queue.keys.version))


def test_an_idle_layer_asks_for_nothing_but_its_heartbeats(server, open_redis, monitor):
    layer = open_redis(server.url)
    beatless(layer)
    with layer.listen(["a", "p!"], lambda: None):
        until(lambda: layer.inbox.queue("a").shard.reader.blocked, what="the reader waits")
        monitor.count()
        threading.Event().wait(0.3)
        assert monitor.count() == 0
