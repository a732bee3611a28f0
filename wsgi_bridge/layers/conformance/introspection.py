"""Introspection: every channel and group is told, and looking changes nothing.

A layer without the extension passes: it promises nothing here but a clear refusal.
"""

from __future__ import annotations

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers.conformance.support import Case, refused
from wsgi_bridge.layers.statistics import GroupStatistics, Statistics

__all__ = ["IntrospectionTests"]


class IntrospectionTests(Case):
    """MESSAGES.md section 1: `statistics_by_channel`, `statistics_by_group`, `describe`."""

    #: What names are told as: a layer that hashes them says how in its own tests.
    names_are_told = True

    @property
    def has_introspection(self) -> bool:
        """Whether the layer promises any of this."""
        return "introspection" in self.layer.extensions

    def channels(self) -> dict[str, Statistics]:
        """Return what the layer tells of channels; the peer tells the same."""
        found = self.layer.statistics_by_channel()
        assert self.peer.statistics_by_channel() == found
        return found

    def groups(self) -> dict[str, GroupStatistics]:
        """Return what the layer tells of groups; the peer tells the same."""
        found = self.layer.statistics_by_group()
        assert self.peer.statistics_by_group() == found
        return found

    def test_who_has_no_introspection_says_so(self) -> None:
        """`introspection` is an extension."""
        if not self.has_introspection:
            for ask in (self.layer.statistics_by_channel, self.layer.statistics_by_group):
                with refused(NotImplementedError):
                    ask()

    def test_every_layer_describes_itself(self) -> None:
        """`describe`: `layer` is always there."""
        assert isinstance(self.layer.describe()["layer"], str)

    def test_an_unused_layer_has_no_channel_and_no_group(self) -> None:
        """Of a channel that nobody used nothing is told, also when somebody listens on it."""
        if self.has_introspection:
            with self.layer.listen(["a", "p!"], lambda: None):
                assert self.channels() == {}
                assert self.groups() == {}

    def test_every_channel_that_was_used_is_told_by_its_reader(self) -> None:
        """`statistics_by_channel`: messages or a count, of every kind of channel."""
        if not self.has_introspection:
            return
        self.reopen(capacity=2)
        for name in ("a", "p!x", "p!y", "b?x"):
            self.peer.send(name, {})
        with refused(ChannelFull, "p!z"):
            self.peer.send("p!z", {})
        self.layer.receive(["a"])
        found = self.channels()
        assert len(found) == 3
        assert sorted(each["messages_pending"] for each in found.values()) == [0, 1, 2]
        assert [each["channel_full_count"] for each in found.values()].count(1) == 1
        if self.names_are_told:
            assert found.keys() == {"a", "p!", "b?x"}
            for name, figures in found.items():
                assert figures == self.layer.channel_statistics(name)

    def test_what_expired_is_told_as_expired(self) -> None:
        """An expired message is not pending, whoever has met it."""
        if not self.has_introspection:
            return
        self.reopen(expiry=60)
        self.peer.send("a", {})
        self.clock.advance(61)
        [figures] = self.channels().values()
        assert figures["messages_pending"] == figures["messages_max_age"] == 0
        assert figures["messages_expired_count"] == 1

    def test_every_group_is_told_with_its_members_and_their_readers(self) -> None:
        """`statistics_by_group`: a reader stands for all members under one `!`."""
        if not self.has_introspection:
            return
        for name in ("a", "p!x", "p!y", "q!x"):
            self.peer.group_add("many", name)
        self.layer.group_add("one", "p!x")
        self.layer.group_add("none", "p!x")
        self.layer.group_discard("none", "p!x")
        found = self.groups()
        sizes = [(each["members_count"], each["readers_count"]) for each in found.values()]
        assert sorted(sizes) == [(1, 1), (4, 3)]
        if self.names_are_told:
            assert found.keys() == {"many", "one"}

    def test_a_membership_that_is_over_is_not_told(self) -> None:
        """Memberships end after `group_expiry`, unless renewed."""
        if not self.has_introspection:
            return
        self.reopen(group_expiry=100)
        for name in ("a", "p!x", "q!x"):
            self.peer.group_add("group", name)
        self.peer.group_add("over", "p!x")
        self.clock.advance(60)
        self.peer.group_add("group", "p!x")
        self.clock.advance(60)
        [sizes] = self.groups().values()
        assert sizes == {"members_count": 1, "readers_count": 1}

    def test_looking_changes_nothing(self) -> None:
        """Who looks takes no message, is no reader, and leaves every count as it is."""
        if not self.has_introspection:
            return
        for name in ("a", "p!x", "b?x"):
            self.peer.send(name, {"n": name})
        self.peer.group_add("group", "p!x")
        before = self.layer.global_statistics()
        for _ in range(3):
            self.channels()
            self.groups()
            self.layer.describe()
        assert self.layer.global_statistics() == before
        assert self.layer.group_channels("group") == ["p!x"]
        received = sorted(name for name, _ in self.drain("a", "p!", "b?x"))
        assert received == ["a", "b?x", "p!x"]

    def test_a_flush_leaves_no_group(self) -> None:
        """`flush` empties the layer, groups too."""
        if self.has_introspection:
            self.peer.send("a", {})
            self.peer.group_add("group", "a")
            self.layer.flush()
            assert self.groups() == {}
            assert not any(each["messages_pending"] for each in self.channels().values())
