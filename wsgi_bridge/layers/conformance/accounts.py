"""Statistics: what is lost is counted, by cause."""

from __future__ import annotations

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers.conformance.support import Case, refused
from wsgi_bridge.layers.statistics import RATE_WINDOW, Statistics

__all__ = ["AccountTests"]


class AccountTests(Case):
    """MESSAGES.md section 1: `global_statistics`, `channel_statistics`, options."""

    def test_every_figure_is_there_from_the_start(self) -> None:
        """Counts and rates are 0 for a layer, and for a channel, that nobody used."""
        for statistics in (self.layer.global_statistics(), self.layer.channel_statistics("a")):
            assert statistics.keys() == Statistics.__annotations__.keys()
            assert not any(statistics.values())

    def test_messages_are_counted(self) -> None:
        """`messages_count` is of messages sent, whether received or not."""
        for number in range(5):
            self.peer.send("ab"[number % 2], {})
        self.layer.receive(["a"])
        assert self.layer.global_statistics()["messages_count"] == 5
        assert self.layer.channel_statistics("a")["messages_count"] == 3
        assert self.layer.channel_statistics("b")["messages_count"] == 2

    def test_a_process_specific_channel_is_counted_by_its_reader(self) -> None:
        """Capacity counts on the part up to `!`, and so do the figures."""
        self.peer.send("p!x", {})
        self.peer.send("p!y", {})
        for name in ("p!x", "p!"):
            assert self.layer.channel_statistics(name)["messages_pending"] == 2

    def test_pending_messages_and_their_age_are_told(self) -> None:
        """`messages_pending`, and `messages_max_age` in seconds."""
        self.reopen(expiry=60)
        self.peer.send("a", {})
        self.clock.advance(10)
        self.peer.send("a", {})
        self.peer.send("b", {})
        self.clock.advance(5)
        _check(self.layer.global_statistics(), messages_pending=3, messages_max_age=15)
        _check(self.layer.channel_statistics("b"), messages_pending=1, messages_max_age=5)
        self.layer.receive(["a"])
        _check(self.layer.global_statistics(), messages_pending=2, messages_max_age=5)
        self.drain("a", "b")
        _check(self.layer.global_statistics(), messages_pending=0, messages_max_age=0)

    def test_expired_messages_are_counted_and_not_pending(self) -> None:
        """`messages_expired_count`: also of those that nobody has asked for since."""
        self.reopen(expiry=60)
        for _ in range(3):
            self.peer.send("a", {})
        self.clock.advance(61)
        for statistics in (self.layer.global_statistics(), self.layer.channel_statistics("a")):
            _check(statistics, messages_expired_count=3, messages_pending=0, messages_max_age=0)
        assert self.drain("a") == []
        assert self.layer.global_statistics()["messages_expired_count"] == 3

    def test_full_channels_are_counted(self) -> None:
        """`channel_full_count`, and by the second; what was refused is no message."""
        self.reopen(capacity=1)
        self.peer.send("a", {})
        for _ in range(3):
            with refused(ChannelFull, "a"):
                self.peer.send("a", {})
        for statistics in (self.layer.global_statistics(), self.layer.channel_statistics("a")):
            _check(statistics, messages_count=1, channel_full_count=3)
            assert statistics["channel_full_count_per_second"] > 0
        assert self.layer.channel_statistics("b")["channel_full_count"] == 0

    def test_a_rate_is_that_of_the_last_seconds(self) -> None:
        """`messages_count_per_second`: steady load is told to a fifth, and forgotten later."""
        for _ in range(100):
            self.clock.advance(0.1)
            self.peer.send("a", {})
            self.layer.receive(["a"])
        for statistics in (self.layer.global_statistics(), self.layer.channel_statistics("a")):
            rate = statistics["messages_count_per_second"]
            assert 8 <= rate <= 12, f"{rate} a second, of 10"
        self.clock.advance(RATE_WINDOW + 1)
        assert self.layer.global_statistics()["messages_count_per_second"] == 0
        assert self.layer.channel_statistics("a")["messages_count_per_second"] == 0

    def test_the_options_can_be_read(self) -> None:
        """`expiry`, `group_expiry`, `capacity`, `channel_capacity`, with their defaults."""
        layer = self.layer
        assert (layer.expiry, layer.group_expiry, layer.capacity) == (60, 86400, 100)
        assert not layer.channel_capacity
        layer, _ = self.reopen(expiry=1, group_expiry=2, capacity=3, channel_capacity={"a": 4})
        assert (layer.expiry, layer.group_expiry, layer.capacity) == (1, 2, 3)
        assert layer.channel_capacity == {"a": 4}

    def test_the_extensions_are_listed(self) -> None:
        """List of `groups`, `flush`, `statistics`, `asyncio`."""
        assert set(self.layer.extensions) >= {"groups", "flush", "statistics", "asyncio"}


def _check(statistics: Statistics, **expected: float) -> None:
    found: dict[str, object] = {**statistics}
    for name, value in expected.items():
        assert found[name] == value, f"{name} is {found[name]}: expected {value}"
