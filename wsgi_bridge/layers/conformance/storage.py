"""Storage: values, presence and wills, for layers that have the extension."""

from __future__ import annotations

import itertools
import unittest
from collections.abc import Callable
from functools import partial
from typing import Any

from wsgi_bridge.exceptions import InvalidMessage, InvalidName, MessageTooLarge
from wsgi_bridge.layers.conformance.support import Case, Task, refused
from wsgi_bridge.layers.storage_base import Storage

__all__ = ["StorageCase", "StorageTests"]

#: A value with every type that there is.
EVERYTHING = {"b": b"\xff\0", "s": "\u20ac", "i": -(2**63), "f": 0.5, "n": None, "l": [[1], {}]}


class StorageCase(Case):
    """A test of the extension, which is skipped for a layer without it."""

    @property
    def storage(self) -> Storage:
        """The storage of the layer that receives."""
        return self._storage_of(self.layer)

    @property
    def other(self) -> Storage:
        """That of the peer: what is done by the one holds for the other."""
        return self._storage_of(self.peer)

    def _storage_of(self, layer: Any) -> Storage:
        if "storage" not in layer.extensions:
            raise unittest.SkipTest("this layer has no extension 'storage'")
        storage: Storage = layer.storage
        return storage


class StorageTests(StorageCase):
    """MESSAGES.md section 1: `storage`, values and presence."""

    # Values.

    def test_a_value_is_loaded_as_it_was_saved(self) -> None:
        """`save` and `load`: a dict under a key, by any process."""
        assert self.storage.load("key") == (None, 0)
        for key in ("key", "session:p!x", "\u20ac " * 50, "x" * 250):
            self.other.save(key, {**EVERYTHING, "key": key}, ttl=60)
        for key in ("key", "session:p!x", "\u20ac " * 50, "x" * 250):
            assert self.storage.load(key).value == {**EVERYTHING, "key": key}

    def test_a_value_is_a_copy(self) -> None:
        """What a caller has in hand is its own."""
        value: dict[str, Any] = {"list": [1]}
        self.other.save("key", value, ttl=60)
        value["list"].append("saver")
        first = self.storage.load("key").value
        assert first == {"list": [1]}
        first["list"].append("loader")
        assert self.storage.load("key").value == {"list": [1]}

    def test_what_is_saved_replaces_what_was(self) -> None:
        """One value for each key; None is no value."""
        self.other.save("key", {"n": 1}, ttl=60)
        self.storage.save("key", {"n": 2}, ttl=60)
        assert self.storage.load("key").value == {"n": 2}
        self.other.save("key", None, ttl=60)
        self.other.save("never", None, ttl=60)
        assert self.storage.load("key") == (None, 0)

    def test_a_value_that_cannot_be_kept_is_refused(self) -> None:
        """As in `send`: types, size, names."""
        self.reopen(max_message_size=1000)
        with refused(InvalidMessage, "a set"):
            self.storage.save("key", {"set": {1}}, ttl=60)
        with refused(MessageTooLarge, "1001 bytes"):
            self.storage.save("key", {"data": b"x" * 1001}, ttl=60)
        for key in ("", "a\0b", "x" * 251, "\ud800", None):
            with refused(InvalidName, key):
                self.storage.save(key, {}, ttl=60)  # type: ignore[arg-type]
        with refused(ValueError, "no time"):
            self.storage.save("key", {}, ttl=0)
        assert self.storage.load("key") == (None, 0)

    def test_a_value_lives_for_its_time(self) -> None:
        """`ttl`, in seconds; saving it again begins anew."""
        for key in ("short", "renewed"):
            self.other.save(key, {}, ttl=10)
        self.other.save("long", {}, ttl=1000)
        self.clock.advance(9)
        assert self.storage.load("short").value == {}
        self.other.save("renewed", {"n": 2}, ttl=10)
        self.clock.advance(2)
        assert self.storage.load("short") == (None, 0)
        assert self.storage.load("renewed").value == {"n": 2}
        assert self.storage.load("long").value == {}

    def test_a_version_is_never_used_again(self) -> None:
        """Versions grow, also over a time without a value."""
        versions = []
        for number in range(5):
            self.other.save("key", {"n": number}, ttl=10)
            versions.append(self.storage.load("key").version)
            if number % 2:
                self.storage.save("key", None, ttl=10)
            else:
                self.clock.advance(11)
        assert versions[0] > 0
        assert versions == sorted(set(versions))

    def test_a_value_that_has_changed_is_not_overwritten(self) -> None:
        """`expected_version`: compare and set."""
        assert self.storage.save("key", {"n": 1}, ttl=60, expected_version=0)
        assert not self.storage.save("key", {"n": 2}, ttl=60, expected_version=0)
        version = self.storage.load("key").version
        assert self.other.save("key", {"n": 3}, ttl=60, expected_version=version)
        assert not self.storage.save("key", {"n": 4}, ttl=60, expected_version=version)
        assert not self.storage.save("key", None, ttl=60, expected_version=version)
        assert self.storage.load("key").value == {"n": 3}
        assert not self.storage.save("never", {}, ttl=60, expected_version=version)
        assert self.storage.load("never") == (None, 0)

    def test_no_change_is_lost_under_concurrent_ones(self) -> None:
        """Each change that was not refused is made on what was there."""
        tasks = [Task(_count_up, storage, 20) for storage in (self.storage, self.other) * 2]
        for task in tasks:
            task.result(4 * self.patience)
        assert self.storage.load("count").value == {"n": 80}

    def test_a_value_goes_with_its_owner(self) -> None:
        """`owner`: it ends `expiry` seconds after that channel was forgotten, and no earlier."""
        self.reopen(expiry=60)
        for name in ("p!x", "p!y", "a", "b?c"):
            self.other.save(name, {}, ttl=1000, owner=name)
        self.other.save("short", {}, ttl=30, owner="p!x")
        for name in ("p!x", "a", "b?c"):
            self.layer.forget_channel(name)
        self.clock.advance(31)
        assert self.storage.load("short") == (None, 0)
        for name in ("p!x", "p!y", "a", "b?c"):
            assert self.storage.load(name).value == {}, name
        self.clock.advance(30)
        for name in ("p!x", "a", "b?c"):
            assert self.storage.load(name) == (None, 0), name
        assert self.storage.load("p!y").value == {}

    def test_a_value_goes_with_an_owner_that_does_not_receive(self) -> None:
        """The same when a message to the channel expires."""
        self.reopen(expiry=60)
        for name in ("p!x", "p!y"):
            self.other.save(name, {}, ttl=1000, owner=name)
        self.peer.send("p!x", {})
        self.clock.advance(61)
        assert self.drain("p!") == []
        self.clock.advance(61)
        assert self.storage.load("p!x") == (None, 0)
        assert self.storage.load("p!y").value == {}

    def test_a_value_that_was_saved_again_has_its_new_owner(self) -> None:
        """What is saved later, and under another owner, is a new value."""
        self.reopen(expiry=60)
        for owner in ("", "p!y"):
            self.other.save("key", {"n": 1}, ttl=1000, owner="p!x")
            self.other.save("key", {"n": 2}, ttl=1000, owner=owner)
            self.layer.forget_channel("p!x")
            self.clock.advance(61)
            assert self.storage.load("key").value == {"n": 2}
        self.layer.forget_channel("p!y")
        self.clock.advance(61)
        assert self.storage.load("key") == (None, 0)

    # Presence.

    def test_members_are_told_with_their_data(self) -> None:
        """`group_add` with data, `group_members`."""
        assert self.storage.group_members("group") == {}
        self.other.group_add("group", "p!x", {**EVERYTHING, "name": "x"})
        self.other.group_add("group", "a", {})
        self.peer.group_add("group", "p!y")
        self.other.group_add("other", "p!x", {"name": "other"})
        expected = {"p!x": {**EVERYTHING, "name": "x"}, "a": {}, "p!y": None}
        assert self.storage.group_members("group") == expected
        assert self.other.group_members("group") == expected
        assert sorted(self.layer.group_channels("group")) == ["a", "p!x", "p!y"]

    def test_a_member_with_data_is_a_member(self) -> None:
        """`group_add` with data makes a member as the one without does."""
        for name in ("p!x", "a"):
            self.other.group_add("group", name, {"name": name})
        self.peer.send_group("group", {"n": 1})
        received = self.drain("p!", "a")
        assert sorted(name for name, _ in received) == ["a", "p!x"]

    def test_data_are_replaced_by_data_only(self) -> None:
        """The `group_add` of the layer renews, and leaves the data alone."""
        self.reopen(group_expiry=100)
        for name in ("p!x", "a"):
            self.other.group_add("group", name, {"n": 1})
            self.storage.group_add("group", name, {"n": 2})
        self.clock.advance(60)
        for name in ("p!x", "a"):
            self.peer.group_add("group", name)
        self.clock.advance(60)
        assert self.storage.group_members("group") == {"p!x": {"n": 2}, "a": {"n": 2}}

    def test_data_go_with_the_membership(self) -> None:
        """Discarded, forgotten, expired: who comes back has no data."""
        self.reopen(group_expiry=100)
        ends: tuple[Callable[[], object], ...] = (
            partial(self.layer.group_discard, "group", "p!x"),
            partial(self.layer.forget_channel, "p!x"),
            partial(self.clock.advance, 101),
            self.layer.flush,
        )
        for end, is_seen in itertools.product(ends, (True, False)):
            self.other.group_add("group", "p!x", {"n": 1})
            end()
            if is_seen:
                assert self.storage.group_members("group") == {}
            self.peer.group_add("group", "p!x")
            assert self.storage.group_members("group") == {"p!x": None}
            self.layer.group_discard("group", "p!x")

    # Wills.

    def test_a_will_is_not_executed_while_its_process_lives(self) -> None:
        """Nothing is sent by `set_will`, `clear_will` or `forget_channel`."""
        with self.layer.listen(["p!"], lambda: None):
            for name in ("p!x", "p!y", "p!z"):
                for number in range(2):
                    self.storage.set_will(name, [("a", {"n": number}), ("p!x", {})])
            self.other.clear_will("p!x")
            self.other.clear_will("never!x")
            self.layer.forget_channel("p!y")
            assert self.drain("a", "p!") == []

    def test_a_will_that_cannot_be_executed_is_refused(self) -> None:
        """Checked as in `send`."""
        for channel, target in (("p!x", "a b"), ("a b", "a")):
            with refused(InvalidName, (channel, target)):
                self.storage.set_will(channel, [(target, {})])
        with refused(InvalidMessage, "a set"):
            self.storage.set_will("p!x", [("a", {"set": {1}})])

    # All of it.

    def test_flush_empties_the_storage(self) -> None:
        """`flush()` empties the layer, its storage too."""
        self.other.save("key", {}, ttl=60)
        self.other.schedule("a", {}, self.clock())
        self.other.append("log", {}, keep=10, ttl=60)
        self.layer.flush()
        assert self.storage.load("key") == (None, 0)
        assert self.storage.release_due() == (0, None)
        assert self.storage.read("log").offset == 0
        assert self.drain("a") == []

    def test_the_extension_is_listed(self) -> None:
        """List of `groups`, `flush`, `statistics`, `asyncio`, `storage`."""
        assert isinstance(self.storage, Storage)


def _count_up(storage: Storage, times: int) -> None:
    while times:
        value, version = storage.load("count")
        number = 0 if value is None else value["n"]
        if storage.save("count", {"n": number + 1}, ttl=60, expected_version=version):
            times -= 1
