"""Groups: members, delivery, compact form, loss, expiry."""

from __future__ import annotations

from typing import Any

from wsgi_bridge.layers.conformance.support import Case

__all__ = ["GroupTests"]


class GroupTests(Case):
    """MESSAGES.md section 1: groups."""

    def members(self, group: str = "group") -> list[str]:
        """Return the members in order, from the layer that did not add them."""
        members = sorted(self.layer.group_channels(group))
        assert members == sorted(self.peer.group_channels(group))
        return members

    def test_every_member_gets_a_group_message(self) -> None:
        """`send_group`: to every member, of every kind."""
        for channel in ("a", "b?x", "p!x", "p!y", "q!x"):
            self.peer.group_add("group", channel)
        self.peer.send_group("group", {"n": 1})
        received = self.drain("a", "b?x", "p!", "q!")
        assert sorted(name for name, _ in received) == ["a", "b?x", "p!x", "p!y", "q!x"]
        assert all(message == {"n": 1} for _, message in received)

    def test_joining_twice_is_joining_once(self) -> None:
        """`group_add` is idempotent."""
        for channel in ("a", "p!x"):
            self.layer.group_add("group", channel)
            self.peer.group_add("group", channel)
        self.peer.send_group("group", {})
        assert sorted(name for name, _ in self.drain("a", "p!")) == ["a", "p!x"]

    def test_who_left_gets_nothing(self) -> None:
        """`group_discard` ends a membership; idempotent, and quiet for who is no member."""
        for channel in ("a", "p!x", "p!y"):
            self.peer.group_add("group", channel)
        for channel in ("a", "p!x", "a", "never", "never!x"):
            self.layer.group_discard("group", channel)
        self.layer.group_discard("unknown", "a")
        self.peer.send_group("group", {})
        assert [name for name, _ in self.drain("a", "p!", "never", "never!")] == ["p!y"]

    def test_the_members_are_exact_for_whoever_asks(self) -> None:
        """`group_channels` is exact for members added anywhere."""
        assert self.members() == []
        for channel in ("a", "p!x", "p!y", "b?x"):
            self.peer.group_add("group", channel)
        assert self.members() == ["a", "b?x", "p!x", "p!y"]
        self.peer.group_discard("group", "p!x")
        assert self.members() == ["a", "b?x", "p!y"]
        assert self.members("other") == []

    def test_a_forgotten_channel_is_in_no_group(self) -> None:
        """`forget_channel` ends every membership of one channel, and of no other."""
        for group in ("group", "other"):
            self.layer.group_add(group, "p!x")
            self.layer.group_add(group, "p!y")
        self.layer.forget_channel("p!x")
        self.layer.forget_channel("p!x")
        assert self.members() == ["p!y"]
        assert self.members("other") == ["p!y"]

    def test_groups_are_apart(self) -> None:
        """A message goes to the members of its group, and a channel may be in several."""
        self.peer.group_add("one", "a")
        self.peer.group_add("two", "a")
        self.peer.group_add("two", "b")
        self.peer.send_group("one", {"n": 1})
        self.peer.send_group("two", {"n": 2})
        assert self.drain("b") == [("b", {"n": 2})]
        assert self.drain("a") == [("a", {"n": 1}), ("a", {"n": 2})]

    def test_a_message_to_nobody_is_no_error(self) -> None:
        """To every member, be there none."""
        self.peer.send_group("nobody", {"n": 1})

    def test_the_compact_form_is_one_message_with_its_members(self) -> None:
        """A protocol server asks for the compact form: the message once, with its members."""
        names = [f"p!{number:03}" for number in range(300)]
        for name in (*names, "a", "q!x"):
            self.peer.group_add("group", name)
        self.peer.send_group("group", {"n": 1})
        received = self.drain("p!", compact=True)
        assert len(received) == 1, f"{len(received)} messages for one reader"
        members, message = received[0]
        assert isinstance(members, tuple)
        assert sorted(members) == names
        assert message == {"n": 1}
        assert self.drain("q!", compact=True) == [(("q!x",), {"n": 1})]
        assert self.drain("a", compact=True) == [("a", {"n": 1})]

    def test_a_plain_receive_yields_one_message_for_each_member(self) -> None:
        """A plain `receive` yields a group message as one (channel, message) per member."""
        names = [f"p!{number}" for number in range(7)]
        for name in names:
            self.peer.group_add("group", name)
        self.peer.send_group("group", {"n": 1})
        self.peer.send("p!0", {"n": 2})
        batches = [self.layer.receive_many(["p!"], 3) for _ in range(4)]
        assert [len(batch) for batch in batches] == [3, 3, 2, 0]
        received: list[Any] = [item for batch in batches for item in batch]
        assert received[-1] == ("p!0", {"n": 2})
        assert sorted(name for name, message in received if message == {"n": 1}) == names

    def test_members_get_messages_of_their_own(self) -> None:
        """What one receiver does to its message does not reach another one."""
        for name in ("a", "p!x", "p!y", "q!x"):
            self.peer.group_add("group", name)
        message: dict[str, Any] = {"list": [[]]}
        self.peer.send_group("group", message)
        message["list"].append("sender")
        for name, received in self.drain("a", "p!", "q!"):
            assert received == {"list": [[]]}, f"{name} received {received}"
            received["list"][0].append(name)

    def test_group_messages_keep_their_place_in_the_order(self) -> None:
        """In order per sender: group messages and others to the same process alike."""
        self.peer.group_add("group", "p!x")
        for number in range(0, 10, 2):
            self.peer.send_group("group", {"n": number})
            self.peer.send("p!x", {"n": number + 1})
        assert [message["n"] for _, message in self.drain("p!")] == list(range(10))

    def test_an_add_is_seen_before_any_later_group_message(self) -> None:
        """An add is always seen before any later group message, and a discard likewise."""
        for number in range(10):
            self.peer.group_add("group", f"p!{number}")
            self.peer.send_group("group", {"n": number})
            self.peer.group_discard("group", f"p!{number}")
        self.peer.send_group("group", {"n": 10})
        expected = [(f"p!{number}", {"n": number}) for number in range(10)]
        assert self.drain("p!") == expected

    def test_a_group_message_is_one_queue_operation_for_each_process(self) -> None:
        """`send_group` costs one queue operation per process that holds members, not per member."""
        self.reopen(capacity=5)
        for number in range(100):
            self.peer.group_add("group", f"p!{number}")
        for _ in range(5):
            self.peer.send_group("group", {})
        assert self.layer.global_statistics()["group_messages_lost_count"] == 0
        assert len(self.drain("p!")) == 500

    def test_a_full_member_loses_the_message_and_is_counted(self) -> None:
        """Never ChannelFull: a full member loses the message, and the loss is counted."""
        self.reopen(capacity=1)
        for name in ("full", "a", "p!x", "p!y"):
            self.peer.group_add("group", name)
        self.peer.send("full", {"n": 0})
        self.peer.send("p!z", {"n": 0})
        self.peer.send_group("group", {"n": 1})
        assert self.drain("a") == [("a", {"n": 1})]
        assert self.drain("full", "p!") == [("full", {"n": 0}), ("p!z", {"n": 0})]
        # The channel and both members of the process.
        assert self.layer.global_statistics()["group_messages_lost_count"] == 3
        assert self.layer.channel_statistics("full")["group_messages_lost_count"] == 1
        assert self.layer.channel_statistics("p!x")["group_messages_lost_count"] == 2

    def test_a_full_member_stays_a_member(self) -> None:
        """Only the message is lost."""
        self.reopen(capacity=1)
        self.peer.group_add("group", "a")
        self.peer.send("a", {"n": 0})
        self.peer.send_group("group", {"n": 1})
        assert self.drain("a") == [("a", {"n": 0})]
        self.peer.send_group("group", {"n": 2})
        assert self.drain("a") == [("a", {"n": 2})]

    def test_a_membership_ends_after_group_expiry(self) -> None:
        """`group_expiry`, in seconds."""
        self.reopen(group_expiry=100)
        for name in ("a", "p!x"):
            self.peer.group_add("group", name)
        self.clock.advance(99)
        assert self.members() == ["a", "p!x"]
        self.clock.advance(2)
        assert self.members() == []
        self.peer.send_group("group", {})
        assert self.drain("a", "p!") == []

    def test_joining_again_renews_the_membership(self) -> None:
        """`group_add` renews the membership."""
        self.reopen(group_expiry=100)
        for name in ("p!x", "p!y", "a"):
            self.peer.group_add("group", name)
        self.clock.advance(60)
        for name in ("p!x", "a"):
            self.peer.group_add("group", name)
        self.clock.advance(60)
        assert self.members() == ["a", "p!x"]
        self.peer.send_group("group", {})
        assert sorted(name for name, _ in self.drain("a", "p!")) == ["a", "p!x"]

    def test_a_channel_whose_message_expires_leaves_its_groups(self) -> None:
        """When a message to a channel expires, that channel leaves its groups."""
        self.reopen(expiry=60)
        for group in ("group", "other"):
            for name in ("a", "p!x", "p!y"):
                self.peer.group_add(group, name)
        self.peer.send("a", {})
        self.peer.send("p!x", {})
        self.clock.advance(61)
        assert self.members() == ["p!y"]
        assert self.members("other") == ["p!y"]
        self.peer.send_group("group", {"n": 1})
        assert self.drain("a", "p!") == [("p!y", {"n": 1})]

    def test_members_of_an_expired_group_message_leave(self) -> None:
        """The same for a group message: nobody keeps sending to who does not receive."""
        self.reopen(expiry=60)
        for name in ("a", "p!x"):
            self.peer.group_add("group", name)
        self.peer.send_group("group", {})
        self.clock.advance(61)
        assert self.members() == []
        assert self.drain("a", "p!", compact=True) == []
