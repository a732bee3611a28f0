"""Local first: the whole contract over two layers, and what crosses between processes.

Two processes are two LocalFirstLayers, each with a local part of its own, over one shared layer.
"""

import logging
import os
import threading
import time
from collections import Counter

import pytest

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable, InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.conformance import LayerConformance, ManualClock
from wsgi_bridge.layers.local_first import LOCAL_CHANNELS, LocalFirstLayer, taking
from wsgi_bridge.layers.local_first.ears import LINGERING
from wsgi_bridge.layers.memory import MemoryLayer

READER = "gunicorn.response.home!"
AWAY = "gunicorn.response.away!"


class Shared(MemoryLayer):
    """A shared layer that counts what it is asked to do, and can be cut off."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = Counter()
        self.is_gone = False

    def _count(self, name):
        self.calls[name] += 1
        if self.is_gone:
            raise ChannelLayerUnavailable("the backend is gone")

    def send(self, channel, message):
        self._count("send")
        super().send(channel, message)

    def hand_over(self, channel, message):
        self._count("hand_over")
        super().hand_over(channel, message)

    def hand_over_many(self, messages):
        self._count("hand_over_many")
        return super().hand_over_many(messages)

    def _take(self, channels, limit, compact):
        self._count("take")
        return super()._take(channels, limit, compact)

    def listen(self, channels, wake):
        self._count("listen")
        return super().listen(channels, wake)

    def send_group(self, group, message):
        self._count("send_group")
        super().send_group(group, message)

    def forget_channel(self, channel):
        self._count("forget_channel")
        super().forget_channel(channel)

    def channel_statistics(self, channel):
        self._count("channel_statistics")
        return super().channel_statistics(channel)

    def statistics_by_channel(self):
        self._count("statistics_by_channel")
        return super().statistics_by_channel()


class TestConformance(LayerConformance):
    """One process: everything that it sends, it receives."""

    def make_layer(self, **options):
        return LocalFirstLayer(MemoryLayer(**options), MemoryLayer(**options))

    def test_capacity_by_channel_is_the_first_match(self):
        """A protocol channel has room in both parts; every other channel as in any layer."""
        self.reopen(capacity=1, channel_capacity={"http.*": 2, "p!": 4})
        for name, capacity in (("http.request", 4), ("http.other", 2), ("p!a", 4), ("other", 1)):
            for _ in range(capacity):
                self.peer.send(name, {})
            with pytest.raises(ChannelFull):
                self.peer.send(name, {})


class TestConformanceBetweenTwo(LayerConformance):
    """Two processes: one sends, the other receives."""

    def make_layer(self, **options):
        self.options = options
        self.shared = MemoryLayer(**options)
        return LocalFirstLayer(MemoryLayer(**options), self.shared, local_channels=())

    def make_peer(self, layer):
        return LocalFirstLayer(MemoryLayer(**self.options), self.shared, local_channels=())


class TestConformanceOfASpillingLayer(LayerConformance):
    """Everything the suite sends to a normal channel is local at first, and overflows at once."""

    NAMES = ("channel", "a", "b", "busy", "quiet", "ping", "pong", "other", "full")

    def make_layer(self, **options):
        layers = MemoryLayer(**options), MemoryLayer(**options)
        return LocalFirstLayer(*layers, spill=2, spill_after=0, local_channels=self.NAMES)

    # Room in two queues is not that of one, and nobody puts a protocol channel into a group.
    test_one_that_is_refused_does_not_stop_those_sent_with_it = None
    test_a_full_channel_refuses_and_loses_nothing = None
    test_capacity_is_exact_under_concurrent_senders = None
    test_capacity_by_channel_is_the_first_match = None
    test_expired_messages_count_towards_no_capacity = None
    test_full_channels_are_counted = None
    test_a_message_to_a_full_channel_stays_scheduled = None
    test_errors_reach_the_coroutine = None
    test_a_full_member_loses_the_message_and_is_counted = None
    test_a_full_member_stays_a_member = None
    test_a_channel_whose_message_expires_leaves_its_groups = None


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def shared(clock):
    layer = Shared(clock=clock, capacity=1000)
    yield layer
    layer.close()


@pytest.fixture
def process(shared):
    """Return a function that makes the layer of one more process."""
    opened = []

    def make(*, spill=2, spill_after=0.0, **options):
        options = {"clock": shared.clock, "capacity": 1000, **options}
        layer = LocalFirstLayer(
            MemoryLayer(**options), shared, spill=spill, spill_after=spill_after
        )
        opened.append(layer)
        return layer

    yield make
    for layer in opened:
        layer.local.close()


@pytest.fixture
def home(process):
    """The process with the sockets, which consumes as well and listens on all that it reads."""
    layer = process()
    layer.listen([*sorted(LOCAL_CHANNELS), "jobs"], lambda: None)
    layer.listen([READER], lambda: None)
    settle(layer)
    return layer


@pytest.fixture
def away(process):
    """Another process: a consumer without sockets."""
    return process()


def settle(layer):
    layer.receive_many(sorted(LOCAL_CHANNELS), 10)
    layer.receive_many(["jobs"], 10)
    layer.receive_many([READER], 10)


def drain(layer, *channels, limit=10, compact=False):
    messages = []
    while batch := layer.receive_many(channels, limit, compact=compact):
        messages += batch
    return messages


def numbers(batch):
    return [message["n"] for _, message in batch]


def exchange(server, consumer, body_channel):
    """Have the consumer's process read a body and stream a response to the server's."""
    reply = READER + "1"
    consumer.hand_over(reply, {"body_window": 100})
    assert server.receive([READER]) == (reply, {"body_window": 100})
    for number in range(3):
        server.hand_over(body_channel, {"content": b"%d" % number, "more_content": True})
    chunks = drain(consumer, body_channel, limit=2)
    assert [chunk["content"] for _, chunk in chunks] == [b"0", b"1", b"2"]
    flow = consumer.new_channel("http.response.flow?")
    consumer.hand_over(reply, {"status": 200, "content": b"", "flow_channel": flow})
    assert server.receive([READER])[1]["flow_channel"] == flow
    server.hand_over(flow, {"sent": 10})
    assert consumer.receive([flow], block=True, timeout=5) == (flow, {"sent": 10})


class TestAtHome:
    """What need not cross never touches the shared layer."""

    def test_a_request_is_served_at_home(self, home, shared):
        body = home.new_channel("http.request.body?")
        shared.calls.clear()
        home.hand_over("http.request", {"reply_channel": READER + "1", "body_channel": body})
        assert home.receive(sorted(LOCAL_CHANNELS))[0] == "http.request"
        exchange(home, home, body)
        assert shared.calls.keys() <= {"take", "listen"}  # of single-reader channels

    def test_a_hot_loop_asks_the_shared_layer_for_nothing(self, home, shared):
        shared.calls.clear()
        for number in range(100):
            home.hand_over("http.request", {"n": number})
            home.send(READER + "7", {"n": number})
            assert numbers(home.receive_many(sorted(LOCAL_CHANNELS), 64)) == [number]
            assert numbers(home.receive_many([READER], 64)) == [number]
            home.receive_many([READER], 64)
        assert not shared.calls

    @pytest.mark.parametrize("notice", ["take", "group_channels", "send_group"])
    def test_who_let_a_local_message_expire_leaves_its_groups(self, home, away, clock, notice):
        for number in "12":
            away.group_add("room", READER + number)
        home.send(READER + "1", {})
        clock.advance(home.expiry + 1)
        home.group_add("room", READER + "2")
        if notice == "take":
            settle(home)
            settle(home)
        elif notice == "send_group":
            home.send_group("room", {"n": 1})
        assert (away if notice != "group_channels" else home).group_channels("room") == [
            READER + "2"
        ]

    def test_several_messages_cross_together(self, home, shared):
        shared.calls.clear()
        names = ("jobs", "other", READER + "1", "other", "http.request")
        assert home.send_many([(name, {"n": n}) for n, name in enumerate(names)]) == [None] * 5
        assert shared.calls == {"hand_over_many": 2, "hand_over": 3}  # by which it puts them
        assert numbers(drain(home, "jobs", "other")) == [0, 1, 3]
        assert numbers(drain(home, READER)) == [2]
        assert numbers(drain(home, "http.request")) == [4]

    def test_channels_that_nobody_listens_on_are_always_asked_for(self, home, away):
        for number in range(3):
            away.send("later", {"n": number})
            assert home.receive(["later"]) == ("later", {"n": number})

    def test_waiting_again_for_a_body_listens_once(self, home, away, shared):
        body = home.new_channel("http.request.body?")
        home.receive_many([body], 1, 0.001)
        shared.calls.clear()
        for _ in range(5):
            assert home.receive_many([body], 1, 0.001) == []
        assert not shared.calls
        away.send(body, {"n": 1})  # by who was told its name
        assert home.receive([body]) == (body, {"n": 1})

    def test_ears_of_bodies_do_not_pile_up(self, home, shared):
        awaited = home.new_channel("http.request.body?")
        woken = threading.Event()
        with home.listen([awaited], woken.set):
            for _ in range(2 * LINGERING):
                home.listen([home.new_channel("http.request.body?")], lambda: None).close()
            heard = [queue for queue in shared._queues.values() if "?" in queue.name]
            assert sum(bool(queue.wakes) for queue in heard) <= LINGERING + 1
            shared.send(awaited, {})
            assert woken.is_set()

    def test_a_named_channel_is_everybodys(self, home, away):
        home.send("jobs", {"n": 1})
        assert away.receive(["jobs"]) == ("jobs", {"n": 1})

    def test_names_of_single_reader_channels_fit(self, home):
        name = home.new_channel("n" * 82 + "?")
        assert len(name) == 99
        home.send(name, {})
        assert home.receive([name]) == (name, {})


class TestSpill:
    """A process whose consumers are all busy lets idle ones have some."""

    def test_a_sibling_takes_what_is_too_much_and_answers(self, home, away, shared):
        woken = threading.Event()
        away.listen(["http.request"], woken.set)
        assert away.receive(["http.request"]) == (None, None)
        for number in range(3):
            home.hand_over("http.request", {"n": number})
        assert not woken.is_set()
        body = home.new_channel("http.request.body?")
        message = {"n": 3, "reply_channel": READER + "1", "body_channel": body}
        home.hand_over("http.request", message)
        assert woken.is_set()
        assert away.receive(["http.request"]) == ("http.request", message)
        exchange(home, away, body)
        assert numbers(drain(home, "http.request")) == [0, 1, 2]

    def test_who_spilled_takes_it_back_when_nobody_else_does(self, home):
        body = home.new_channel("http.request.body?")
        for number in range(6):
            home.hand_over("http.request", {"n": number, "body_channel": body})
        assert sorted(numbers(drain(home, "http.request"))) == list(range(6))
        home.listen([READER], lambda: None)
        exchange(home, home, body)

    @pytest.mark.parametrize("is_over", [False, True])
    def test_what_came_back_says_that_siblings_are_busy_for_a_while(
        self, home, shared, monkeypatch, is_over
    ):
        monkeypatch.setattr(taking, "SPILL_PAUSE", 0.0 if is_over else 3600.0)
        for number in range(6):
            home.hand_over("http.request", {"n": number, "reply_channel": READER + "1"})
        assert shared.pending("http.request") == 3
        assert sorted(numbers(drain(home, "http.request"))) == list(range(6))
        for number in range(6):
            home.hand_over("http.request", {"n": number, "reply_channel": READER + "1"})
        assert shared.pending("http.request") == (3 if is_over else 0)

    def test_what_others_spilled_is_no_reason_to_keep_ones_own(self, home, away, shared):
        away.listen([AWAY], lambda: None)
        for number in range(4):
            away.hand_over("http.request", {"n": number, "reply_channel": AWAY + "1"})
        assert numbers(drain(home, "http.request")) == [3]
        for number in range(4):
            home.hand_over("http.request", {"n": number, "reply_channel": READER + "1"})
        assert shared.pending("http.request") == 1

    def test_a_burst_is_not_spilled(self, process, shared, clock):
        home = process(spill=2, spill_after=0.01)
        for number in range(20):
            home.hand_over("http.request", {"n": number})
        assert shared.pending("http.request") == 0
        clock.advance(0.02)
        home.hand_over("http.request", {"n": 20})
        assert shared.pending("http.request") == 1

    @pytest.mark.parametrize("spill_after", [0.0, 10.0])
    def test_a_channel_is_full_when_both_parts_are(self, process, shared, spill_after):
        shared.capacity = 3
        home = process(capacity=4, spill=2, spill_after=spill_after)
        for number in range(7):
            home.send("http.request", {"n": number})
        for put in (home.send, home.hand_over):
            with pytest.raises(ChannelFull):
                put("http.request", {})
        assert sorted(numbers(drain(home, "http.request"))) == list(range(7))

    def test_what_the_shared_layer_has_no_room_for_stays_with_its_body(self, process, shared):
        shared.capacity = 0
        home = process(spill=0)
        home.listen([READER], lambda: None)
        home.hand_over("http.request", {})
        body = home.new_channel("http.request.body?")
        home.hand_over("http.request", {"body_channel": body})
        assert len(drain(home, "http.request")) == 2
        exchange(home, home, body)

    def test_bodies_that_went_away_are_forgotten_when_they_expire(self, process, clock):
        home = process(spill=-1)
        for _ in range(300):
            body = home.new_channel("http.request.body?")
            home.hand_over("http.request", {"body_channel": body})
            clock.advance(1)
            home.hand_over(body, {})
            home.receive(["http.request"])
        assert len(home._exports) < 100
        assert body in home._exports

    def test_too_many_bodies_stay_at_home(self, process, shared, monkeypatch):
        monkeypatch.setattr("wsgi_bridge.layers.local_first.exports.MAX_EXPORTS", 3)
        home = process(spill=-1)
        for _ in range(5):
            body = home.new_channel("http.request.body?")
            home.hand_over("http.request", {"body_channel": body})
        assert shared.pending("http.request") == 3
        assert home.local.pending("http.request") == 2

    def test_a_refused_message_is_refused_when_it_would_spill(self, process):
        home = process(spill=-1)
        for message in ({"n": object()}, [], None):
            with pytest.raises(TypeError):
                home.send("http.request", message)


class TestOrder:
    """What a sender sends arrives in that order, by whichever way."""

    @pytest.mark.parametrize("limit", [1, 3, 100])
    def test_group_messages_and_others_arrive_in_order(self, home, limit):
        name = READER + "1"
        home.group_add("group", name)
        for number in range(0, 12, 3):
            home.send(name, {"n": number})
            home.send_group("group", {"n": number + 1})
            home.send(name, {"n": number + 2})
        assert numbers(drain(home, READER, limit=limit)) == list(range(12))

    def test_after_that_messages_are_local_again(self, home, shared):
        name = READER + "1"
        home.group_add("group", name)
        home.send_group("group", {"n": 0})
        home.send(name, {"n": 1})
        assert shared.pending(READER) == 2
        assert numbers(drain(home, READER)) == [0, 1]
        shared.calls.clear()
        home.send(name, {"n": 2})
        assert numbers(drain(home, READER)) == [2]
        assert not shared.calls

    def test_a_group_without_members_here_holds_nobody_up(self, home, shared):
        home.send_group("elsewhere", {})
        home.send(READER + "1", {"n": 0})
        assert numbers(drain(home, READER)) == [0]
        home.send(READER + "1", {"n": 1})
        assert (shared.pending(READER), home.local.pending(READER)) == (0, 1)

    def test_only_who_sent_to_a_group_follows_it(self, home, shared):
        home.group_add("group", READER + "1")
        home.send_group("group", {})
        other = threading.Thread(target=home.send, args=(READER + "2", {}))
        other.start()
        other.join()
        assert (shared.pending(READER), home.local.pending(READER)) == (1, 1)

    def test_an_add_is_seen_before_any_later_group_message(self, home, away):
        for number in range(5):
            away.group_add("group", f"{READER}{number}")
            away.send_group("group", {"n": number})
            home.group_discard("group", f"{READER}{number}")
        expected = [((f"{READER}{number}",), {"n": number}) for number in range(5)]
        assert drain(home, READER, compact=True) == expected

    def test_a_group_message_reaches_members_in_every_process(self, home, away):
        names = [READER + "1", READER + "2", "gunicorn.response.away!1"]
        away.listen(["gunicorn.response.away!"], lambda: None)
        for name in names:
            home.group_add("group", name)
        assert sorted(away.group_channels("group")) == sorted(names)
        home.send_group("group", {"n": 1})
        assert drain(home, READER, compact=True) == [(tuple(names[:2]), {"n": 1})]
        assert drain(away, "gunicorn.response.away!") == [(names[2], {"n": 1})]
        away.forget_channel(names[0])
        assert sorted(home.group_channels("group")) == sorted(names[1:])

    def test_a_held_group_message_is_expanded_for_who_asks_so(self, home):
        for number in range(3):
            home.group_add("group", f"{READER}{number}")
        home.send(READER + "9", {"n": 0})
        home.send_group("group", {"n": 1})
        assert home.receive_many([READER], 1, compact=True) == [(READER + "9", {"n": 0})]
        assert home.channel_statistics(READER)["messages_pending"] == 1
        assert home.global_statistics()["messages_pending"] == 1
        rest = drain(home, READER, limit=2)
        assert rest == [(f"{READER}{number}", {"n": 1}) for number in range(3)]
        assert len({id(message) for _, message in rest}) == 3

    def test_a_single_reader_channel_in_a_group_keeps_its_order(self, home):
        name = home.new_channel("progress?")
        home.group_add("group", name)
        home.send_group("group", {"n": 0})
        home.send(name, {"n": 1})
        assert numbers(drain(home, name)) == [0, 1]

    def test_order_holds_under_threads(self, home):
        senders, count = 3, 120
        for sender in range(senders):
            home.group_add(f"group{sender}", f"{READER}{sender}")
        received = {f"{READER}{sender}": [] for sender in range(senders)}
        threads = [
            threading.Thread(target=self.send_mixed, args=(home, sender, count))
            for sender in range(senders)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while sum(map(len, received.values())) < senders * count and time.monotonic() < deadline:
            for name, message in home.receive_many([READER], 3, 0.05):
                received[name].append(message["n"])
        for thread in threads:
            thread.join()
        assert all(found == list(range(count)) for found in received.values())

    @staticmethod
    def send_mixed(layer, sender, count):
        for number in range(count):
            if number % 4 == 1:
                layer.send_group(f"group{sender}", {"n": number})
            else:
                layer.send(f"{READER}{sender}", {"n": number})


class TestFairness:
    """Neither layer starves the other."""

    @pytest.mark.parametrize("limit", [1, 2, 10])
    @pytest.mark.parametrize("busy", ["local", "shared"])
    def test_a_busy_layer_does_not_starve_the_other(self, home, away, limit, busy):
        parts = (home.local, home.shared)
        crowded, other = parts if busy == "local" else parts[::-1]
        for number in range(100):
            crowded.send("http.request", {"n": number})
        other.send("http.request", {"n": "quiet"})
        batches = [home.receive_many(sorted(LOCAL_CHANNELS), limit) for _ in range(6)]
        assert "quiet" in [n for batch in batches for n in numbers(batch)]
        assert {len(batch) for batch in batches} == {limit}

    def test_no_rhythm_of_receivers_starves_the_shared_one(self, home):
        for number in range(60):
            home.local.send("http.request", {"n": number})
            home.shared.send("http.request", {"n": number})
        home.shared.send("jobs", {"n": "quiet"})
        received = []
        for _ in range(20):
            received += numbers(home.receive_many(["http.request", "jobs"], 1))
            home.receive_many(["http.request"], 1)
        assert "quiet" in received

    @pytest.mark.parametrize("limit", [1, 10])
    def test_a_reader_gets_both(self, home, away, limit):
        for number in range(50):
            home.send(READER + "1", {"n": number})
        away.send(READER + "1", {"n": "away"})
        received = []
        for _ in range(52):
            received += numbers(home.receive_many([READER], limit))
            home.send(READER + "1", {"n": 0})  # it never runs dry
        assert "away" in received

    def test_a_busy_reader_does_not_starve_other_channels(self, home, away):
        for number in range(100):
            away.send(READER + "1", {"n": number})
        home.send("http.request", {"n": "quiet"})
        received = [home.receive([READER, "http.request"])[1]["n"] for _ in range(3)]
        assert "quiet" in received

    def test_a_batch_is_filled_from_both(self, home, away):
        for number in range(10):
            home.shared.send("http.request", {"n": number})
        home.shared.send("jobs", {"n": 10})
        home.local.send("http.request", {"n": 11})
        batch = home.receive_many(["http.request", "jobs", READER], 12)
        assert sorted(numbers(batch)) == list(range(12))


class TestWakes:
    """A channel that was found empty is looked at again as soon as something comes."""

    def test_every_message_arrives_exactly_once(self, process, shared):
        processes = [process(spill=1, spill_after=0.0) for _ in range(2)]
        count, senders = 300, 3
        received = Counter()
        done = threading.Event()
        consumers = [
            threading.Thread(target=self.consume, args=(layer, received_here, done))
            for layer in processes
            for received_here in (received, received)
        ]
        for thread in consumers:
            thread.start()
        sending = [
            threading.Thread(target=self.produce, args=(layer, f"{place}.{sender}", count))
            for place, layer in enumerate(processes)
            for sender in range(senders)
        ]
        for thread in sending:
            thread.start()
        for thread in sending:
            thread.join()
        expected = 2 * senders * count
        deadline = time.monotonic() + 20
        while sum(received.values()) < expected and time.monotonic() < deadline:
            time.sleep(0.005)
        done.set()
        for layer in processes:
            for _ in consumers:
                layer.send("http.request", {"id": None})
        for thread in consumers:
            thread.join(10)
        received.pop(None, None)
        assert len(received) == expected
        assert set(received.values()) == {1}

    @staticmethod
    def produce(layer, sender, count):
        for number in range(count):
            channel = ("http.request", "websocket.receive", "jobs")[number % 3]
            while True:
                try:
                    layer.send(channel, {"id": (sender, number)})
                    break
                except ChannelFull:
                    time.sleep(0.001)

    @staticmethod
    def consume(layer, received, done):
        """Take after each wake until there is nothing, as a worker loop does; nothing polls."""
        channels = ["http.request", "websocket.receive", "jobs"]
        woken = threading.Event()
        with layer.listen(channels, woken.set):
            while not done.is_set():
                assert woken.wait(30)
                woken.clear()
                while batch := layer.receive_many(channels, 4):
                    for _, message in batch:
                        identity = message["id"]
                        received[tuple(identity) if identity else None] += 1

    def test_a_wake_between_a_take_and_its_end_is_kept(self, home, shared):
        taking = type(shared)._take

        def take_then_put(channels, limit, compact):
            batch = taking(shared, channels, limit, compact)
            if "jobs" in channels and not batch:
                shared._take = lambda *arguments: taking(shared, *arguments)
                shared.send("jobs", {"n": 1})
            return batch

        home._quiet.discard("jobs")
        shared._take = take_then_put
        assert home.receive(["jobs"]) == (None, None)
        assert home.receive(["jobs"]) == ("jobs", {"n": 1})

    def test_a_take_under_way_hides_nothing_from_another(self, home, shared):
        """Two receivers are woken for two messages: neither finds the channel marked meanwhile."""
        taking = type(shared)._take
        others = []

        def take_and_let_another_look(channels, limit, compact):
            shared._take = lambda *arguments: taking(shared, *arguments)
            batch = taking(shared, channels, limit, compact)
            others.append(home.receive(["jobs"]))
            return batch

        for number in range(2):
            shared.send("jobs", {"n": number})
        shared._take = take_and_let_another_look
        assert [home.receive(["jobs"])[1], others[0][1]] == [{"n": 0}, {"n": 1}]

    def test_listeners_that_come_and_go_leave_a_channel_heard(self, process, away):
        home = process()
        first = home.listen(["jobs"], lambda: None)
        second = home.listen(["jobs"], lambda: None)
        assert home.receive(["jobs"]) == (None, None)
        first.close()
        first.close()
        away.send("jobs", {"n": 1})
        assert home.receive(["jobs"]) == ("jobs", {"n": 1})
        assert home.receive(["jobs"]) == (None, None)
        second.close()
        away.send("jobs", {"n": 2})
        assert home.receive(["jobs"]) == ("jobs", {"n": 2})


class TestUnavailable:
    """A shared layer that is gone never harms what is local."""

    def test_local_traffic_goes_on(self, home, shared, caplog):
        shared.is_gone = True
        home._quiet.clear()
        body = home.new_channel("http.request.body?")
        for number in range(20):
            home.hand_over("http.request", {"n": number})
        home.hand_over(READER + "1", {"n": 1})
        with caplog.at_level(logging.WARNING):
            assert numbers(drain(home, "http.request")) == list(range(20))
            assert numbers(drain(home, READER)) == [1]
            assert home.receive_many([body], 1, 0.001) == []
            home.forget_channel(READER + "1")
            assert home.channel_statistics("http.request")["messages_count"] == 20
            assert home.global_statistics()["messages_count"] == 21
            assert home.statistics_by_channel().keys() == {"http.request", READER}
        assert len(caplog.records) == 1

    def test_what_has_to_cross_is_refused(self, home, shared):
        shared.is_gone = True
        for call in (
            lambda: home.send("jobs", {}),
            lambda: home.hand_over("gunicorn.response.other!1", {}),
            lambda: home.send_group("group", {}),
        ):
            with pytest.raises(ChannelLayerUnavailable):
                call()
        home.send(READER + "1", {"n": 1})  # whose sender is crossing
        assert numbers(drain(home, READER)) == [1]

    def test_what_follows_a_group_message_that_was_refused_stays(self, home, shared):
        shared.is_gone = True
        with pytest.raises(ChannelLayerUnavailable):
            home.send_group("group", {})
        shared.is_gone = False
        home.send(READER + "1", {"n": 1})
        assert shared.pending(READER) == 0
        assert numbers(drain(home, READER)) == [1]

    def test_who_crossed_is_at_home_again_when_the_shared_layer_is_gone(self, home, shared):
        home.group_add("group", READER + "1")
        home.send_group("group", {"n": 0})
        shared.is_gone = True
        home.send(READER + "1", {"n": 1})
        shared.is_gone = False
        home.send(READER + "1", {"n": 2})
        assert shared.pending(READER) == 1  # the group message
        assert sorted(numbers(drain(home, READER))) == [0, 1, 2]

    def test_it_goes_on_when_the_shared_layer_is_back(self, process, shared, away, monkeypatch):
        monkeypatch.setattr("wsgi_bridge.layers.local_first.taking.RETRY_INTERVAL", 0.0)
        home = process()
        shared.is_gone = True
        woken = threading.Event()
        home.listen(["http.request"], woken.set)
        home.send("http.request", {"n": 0})
        assert numbers(drain(home, "http.request")) == [0]
        shared.is_gone = False
        home.send("http.request", {"n": 1})
        assert numbers(drain(home, "http.request")) == [1]
        woken.clear()
        shared.send("http.request", {"n": 2})
        assert woken.is_set()
        assert numbers(drain(home, "http.request")) == [2]

    def test_it_is_not_asked_at_each_take(self, home, shared):
        shared.is_gone = True
        home._quiet.clear()
        shared.calls.clear()
        for _ in range(50):
            home.receive_many(["http.request"], 1)
        assert shared.calls["take"] <= 10


class TestLifeCycle:
    def test_the_options_are_those_of_the_shared_layer(self, clock):
        options = {"expiry": 1, "group_expiry": 2, "capacity": 3, "channel_capacity": {"a": 4}}
        layer = LocalFirstLayer.over(MemoryLayer(clock=clock, max_message_size=5, **options))
        for part in (layer, layer.local):
            assert {name: getattr(part, name) for name in options} == options
            assert (part.max_message_size, part.clock) == (5, clock)
        layer.close()

    def test_close_closes_both(self, home, shared):
        home.close()
        for layer in (home, home.local, shared):
            with pytest.raises(ChannelLayerUnavailable):
                layer.receive(["jobs"])

    def test_no_url_names_it(self):
        with pytest.raises(InvalidLayerURL):
            open_layer("local-first://x")
        with pytest.raises(InvalidLayerURL):
            LocalFirstLayer.from_url(None)

    def test_statistics_are_those_of_both(self, home, away, clock):
        home.local.send("http.request", {})
        clock.advance(5)
        home.shared.send("http.request", {})
        clock.advance(1)
        for figures in (home.channel_statistics("http.request"), home.global_statistics()):
            assert figures["messages_count"] == figures["messages_pending"] == 2
            assert figures["messages_max_age"] == 6

    def test_what_is_told_of_channels_and_groups_is_of_both(self, home, clock):
        home.local.send("http.request", {})
        home.shared.send("http.request", {})
        home.shared.send("jobs", {})
        home.group_add("group", READER + "1")
        home.send(READER + "9", {})
        home.send_group("group", {})
        home.receive_many([READER], 1)  # holds the group message behind it
        found = home.statistics_by_channel()
        pending = {name: figures["messages_pending"] for name, figures in found.items()}
        assert pending == {"http.request": 2, "jobs": 1, READER: 1}
        assert home.statistics_by_group().keys() == {"group"}
        assert home.describe() == {"layer": "memory", "local_first": True}

    def test_it_tells_as_much_as_the_shared_layer(self, home, clock):
        class Silent(MemoryLayer):
            extensions = ("groups",)

        assert "introspection" in home.extensions
        assert LocalFirstLayer.over(Silent(clock=clock)).extensions == ("groups",)

    def test_a_forked_child_is_another_process(self, home):
        home.send(READER + "1", {"n": 1})
        name = home.new_channel("body?")
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            answers = [
                home._stays(READER + "1"),
                home._stays(name),
                not home._stays(home.new_channel("body?")),
                bool(home._quiet),
                home.receive([READER]) != (None, None),
            ]
            os.write(writing, bytes(answers))
            os._exit(0)
        os.waitpid(pid, 0)
        assert os.read(reading, 10) == bytes(5)
        os.close(reading)
        os.close(writing)
        assert numbers(drain(home, READER)) == [1]
