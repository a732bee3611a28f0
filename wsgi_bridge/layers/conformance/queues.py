"""Order, at most once, capacity, expiry and fairness of channels."""

from __future__ import annotations

import re

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.conformance.support import Case, Task, refused

__all__ = ["QueueTests"]


class QueueTests(Case):
    """MESSAGES.md section 1: channels."""

    def test_receive_without_a_message_returns_none_twice(self) -> None:
        """`(channel, message)` or `(None, None)`."""
        assert self.layer.receive(["channel"]) == (None, None)
        assert self.layer.receive_many(["channel", "other"], 5) == []

    def test_messages_arrive_in_the_order_they_were_sent(self) -> None:
        """A channel is a named first-in-first-out queue, of any kind."""
        for name, reader in (("a", "a"), ("a?b", "a?b"), ("a!b", "a!")):
            for number in range(50):
                self.peer.send(name, {"n": number})
            received = self.drain(reader)
            assert received == [(name, {"n": number}) for number in range(50)]

    def test_a_reader_gets_every_message_under_its_name_in_order(self) -> None:
        """The receiver gets every message under the part up to `!`, with the full name."""
        names = ["p!a", "p!b", "p!", "p!a"]
        for number, name in enumerate(names):
            self.peer.send(name, {"n": number})
        assert self.drain("p!") == [(name, {"n": n}) for n, name in enumerate(names)]

    def test_receive_many_returns_up_to_the_limit(self) -> None:
        """Up to `limit` messages in one operation."""
        for number in range(5):
            self.peer.send("channel", {"n": number})
        sizes = [len(self.layer.receive_many(["channel"], limit)) for limit in (1, 3, 3, 3)]
        assert sizes == [1, 3, 1, 0]

    def test_only_the_channels_asked_for_are_received(self) -> None:
        """A message waits on its own channel, whatever else is received."""
        self.peer.send("a", {"n": 1})
        assert self.drain("b", "a?x", "a!") == []
        assert self.drain("a") == [("a", {"n": 1})]

    def test_concurrent_receivers_get_each_message_once(self) -> None:
        """A message is given to one receiver or dropped, never given twice."""
        self.reopen(capacity=1000)
        for number in range(400):
            self.peer.send("channel", {"n": number})
        tasks = [Task(_receive_all, layer) for layer in (self.layer, self.peer) * 2]
        received = [number for task in tasks for number in task.result(self.patience)]
        assert sorted(received) == list(range(400)), f"{len(received)} received of 400"

    def test_a_full_channel_refuses_and_loses_nothing(self) -> None:
        """ChannelFull at capacity."""
        self.reopen(capacity=3)
        for number in range(3):
            self.peer.send("channel", {"n": number})
        with refused(ChannelFull, "4th of 3"):
            self.peer.send("channel", {"n": 3})
        assert self.layer.receive(["channel"]) == ("channel", {"n": 0})
        self.peer.send("channel", {"n": 4})
        assert [message["n"] for _, message in self.drain("channel")] == [1, 2, 4]

    def test_handing_over_is_sending(self) -> None:
        """`hand_over` does as `send`: order, capacity, expiry, and the wake of who waits."""
        self.reopen(capacity=2, expiry=60)
        self.peer.send("p!x", {"n": 1})
        self.peer.hand_over("p!y", {"n": 2})
        with refused(ChannelFull, "p!z"):
            self.peer.hand_over("p!z", {"n": 3})
        assert self.drain("p!") == [("p!x", {"n": 1}), ("p!y", {"n": 2})]
        task = Task(self.layer.receive, ["p!"], True, 4 * self.patience)
        self.peer.hand_over("p!x", {"n": 4})
        assert task.result(self.patience) == ("p!x", {"n": 4})
        self.peer.hand_over("p!x", {"n": 5})
        self.clock.advance(61)
        assert self.drain("p!") == []

    def test_the_error_of_a_full_channel_names_it(self) -> None:
        """ChannelFull has the `channel`, by its full name."""
        self.reopen(capacity=1)
        self.layer.send("p!a", {})
        with refused(ChannelFull, "p!b") as errors:
            self.layer.send("p!b", {})
        assert errors[0].channel == "p!b"

    def test_capacity_counts_on_the_reader(self) -> None:
        """Capacity counts on the part up to `!`."""
        self.reopen(capacity=2)
        self.peer.send("p!a", {})
        self.peer.send("p!b", {})
        with refused(ChannelFull, "p!c"):
            self.peer.send("p!c", {})
        self.peer.send("q!a", {})

    def test_capacity_is_exact_under_concurrent_senders(self) -> None:
        """Capacity is exact under concurrent senders."""
        self.reopen(capacity=100)
        tasks = [Task(_send_many, layer, 50) for layer in (self.layer, self.peer) * 2]
        accepted = sum(task.result(self.patience) for task in tasks)
        assert accepted == 100
        assert len(self.drain("channel")) == 100

    def test_capacity_by_channel_is_the_first_match(self) -> None:
        """`channel_capacity`: {glob or regex: messages, first match wins}."""
        capacities = {"http.*": 2, re.compile(r"http|web(socket)?\."): 3, "p!": 4}
        self.reopen(capacity=1, channel_capacity=capacities)
        cases = (("http.request", 2), ("websocket.connect", 3), ("p!a", 4), ("other", 1))
        for name, capacity in cases:
            for _ in range(capacity):
                self.peer.send(name, {})
            with refused(ChannelFull, name):
                self.peer.send(name, {})

    def test_an_expired_message_is_never_delivered(self) -> None:
        """An expired message is never delivered."""
        self.reopen(expiry=60)
        self.peer.send("channel", {"n": 1})
        self.clock.advance(30)
        self.peer.send("channel", {"n": 2})
        self.clock.advance(30.5)
        assert self.drain("channel") == [("channel", {"n": 2})]
        self.peer.send("channel", {"n": 3})
        self.clock.advance(60.5)
        assert self.layer.receive(["channel"]) == (None, None)

    def test_a_message_is_delivered_until_it_expires(self) -> None:
        """`expiry` in seconds."""
        self.reopen(expiry=60)
        self.peer.send("channel", {"n": 1})
        self.clock.advance(59)
        assert self.drain("channel") == [("channel", {"n": 1})]

    def test_expired_messages_count_towards_no_capacity(self) -> None:
        """An expired message counts towards no capacity."""
        self.reopen(capacity=3, expiry=60)
        for _ in range(3):
            self.peer.send("channel", {"n": "old"})
        self.clock.advance(61)
        for number in range(3):
            self.peer.send("channel", {"n": number})
        with refused(ChannelFull, "4th of 3"):
            self.peer.send("channel", {"n": 3})
        assert [message["n"] for _, message in self.drain("channel")] == [0, 1, 2]

    def test_a_busy_channel_does_not_starve_a_quiet_one(self) -> None:
        """A busy channel never starves a quiet one in the same `receive`."""
        for channels in (["busy", "quiet"], ["quiet", "busy"]):
            self.layer.flush()
            for number in range(50):
                self.peer.send("busy", {"n": number})
            self.peer.send("quiet", {"n": 0})
            first = [self.layer.receive(channels)[0] for _ in range(20)]
            assert "quiet" in first, f"not among the first 20 of {channels}"

    def test_a_batch_has_a_share_for_each_channel(self) -> None:
        """A busy channel never starves a quiet one, in batches neither."""
        for channels in (["busy", "quiet"], ["quiet", "busy"]):
            self.layer.flush()
            for number in range(100):
                self.peer.send("busy", {"n": number})
            self.peer.send("quiet", {"n": 0})
            batches = [self.layer.receive_many(channels, 10) for _ in range(3)]
            assert "quiet" in [name for batch in batches for name, _ in batch]
            assert [len(batch) for batch in batches] == [10, 10, 10]

    def test_two_receivers_in_turn_do_not_starve_a_channel(self) -> None:
        """Fairness is the channel's, whoever receives: no rhythm of receivers hides one."""
        for channels in (["busy", "quiet"], ["quiet", "busy"]):
            self.layer.flush()
            for _ in range(60):
                self.peer.send("busy", {})
            self.peer.send("quiet", {})
            received = []
            for _ in range(20):
                received.append(self.layer.receive(channels)[0])
                self.layer.receive(["busy"])
            assert "quiet" in received, f"not among the first 20 of {channels}"

    def test_flush_empties_the_layer(self) -> None:
        """`flush()` empties the layer, groups too."""
        self.peer.send("a", {})
        self.peer.send("p!b", {})
        self.peer.group_add("group", "a")
        self.layer.flush()
        assert self.drain("a", "p!") == []
        assert list(self.layer.group_channels("group")) == []
        self.peer.send("a", {"n": 1})
        assert self.drain("a") == [("a", {"n": 1})]

    def test_a_closed_layer_is_unavailable(self) -> None:
        """`close` is idempotent; every later operation raises ChannelLayerUnavailable."""
        self.layer.close()
        self.layer.close()
        for refused_call in (
            lambda: self.layer.send("channel", {}),
            lambda: self.layer.receive(["channel"]),
            lambda: self.layer.group_add("group", "channel"),
            lambda: self.layer.send_group("group", {}),
            lambda: self.layer.listen(["channel"], lambda: None),
        ):
            with refused(ChannelLayerUnavailable, "closed"):
                refused_call()


def _receive_all(layer: BaseLayer) -> list[int]:
    received = []
    while batch := layer.receive_many(["channel"], 3):
        received += [message["n"] for _, message in batch]
    return received


def _send_many(layer: BaseLayer, count: int) -> int:
    accepted = 0
    for number in range(count):
        try:
            layer.send("channel", {"n": number})
        except ChannelFull:
            continue
        accepted += 1
    return accepted
