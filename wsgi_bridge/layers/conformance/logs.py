"""Storage: logs, alone and with groups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from wsgi_bridge.exceptions import InvalidMessage, InvalidName
from wsgi_bridge.layers.conformance.storage import StorageCase
from wsgi_bridge.layers.conformance.support import Task, refused
from wsgi_bridge.layers.storage_base import Position, Storage

__all__ = ["LogTests"]


class LogTests(StorageCase):
    """MESSAGES.md section 1: `append`, `read`, and `send_group` with history."""

    def append(self, *numbers: int, keep: int = 10, ttl: float = 60.0) -> Position:
        """Append messages of these numbers, and return the place of the last one."""
        for number in numbers:
            place = self.other.append("log", {"n": number}, keep=keep, ttl=ttl)
        return place

    def since(self, place: Position, limit: int = 1000) -> list[int] | None:
        """Return the numbers of what can be recovered from a place on."""
        found = self.storage.read("log", *place, limit=limit).messages
        return None if found is None else [message["n"] for message in found]

    def test_what_was_missed_is_read(self) -> None:
        """`read`: the messages after a place, and the place where the log ends."""
        first = self.append(1)
        assert first.offset == 1
        last = self.append(2, 3)
        assert last == (first.epoch, 3)
        assert self.storage.read("log", *first) == (*last, [{"n": 2}, {"n": 3}])
        assert self.storage.read("log", *last) == (*last, [])
        assert self.since(Position(first.epoch, 0)) == [1, 2, 3]

    def test_an_empty_log_has_a_place(self) -> None:
        """From which the first message can be recovered."""
        epoch, offset, messages = self.storage.read("log")
        assert (bool(epoch), offset, messages) == (True, 0, None)
        assert self.storage.read("log", epoch, 0) == (epoch, 0, [])
        self.append(1)
        assert self.since(Position(epoch, 0)) == [1]

    def test_all_of_it_or_nothing_is_read(self) -> None:
        """None if some are gone or too many; never a part of what was missed."""
        place = self.append(1)
        self.append(2, 3, 4, keep=3)
        assert self.since(place) == [2, 3, 4]
        self.append(5, keep=3)
        assert self.since(place) is None
        place = self.append(6)
        self.append(7, 8)
        assert self.since(place, limit=2) == [7, 8]
        assert self.since(place, limit=1) is None

    def test_a_place_of_another_epoch_is_none(self) -> None:
        """None if the epoch is another one, none is given, or the place is yet to come."""
        epoch, offset = self.append(1, 2)
        for place in (("", 0), ("other", 1), (epoch, offset + 1), (epoch, -1)):
            assert self.storage.read("log", *place) == (epoch, offset, None)

    def test_a_message_of_a_log_lives_for_its_time(self) -> None:
        """`ttl`, in seconds, for each message."""
        place = self.append(1, ttl=10)
        self.append(2, ttl=10)
        self.clock.advance(6)
        self.append(3, ttl=10)
        assert self.since(place) == [2, 3]
        self.clock.advance(6)
        assert self.since(place) is None
        assert self.since(Position(place.epoch, 2)) == [3]
        self.clock.advance(6)
        assert self.since(Position(place.epoch, 2)) is None
        assert self.since(Position(place.epoch, 3)) == []
        assert self.append(4) == (place.epoch, 4)

    def test_the_epoch_changes_when_the_log_was_lost(self) -> None:
        """By `flush`, or when nobody touched it for `group_expiry` seconds."""
        self.reopen(group_expiry=1000)
        epochs = set()
        losses: tuple[Callable[[], object], ...] = (
            self.layer.flush,
            partial(self.clock.advance, 1001),
        )
        for lose in losses:
            place = self.append(1, 2, ttl=5000)
            lose()
            assert self.since(place) is None
            assert self.append(1).epoch != place.epoch
            assert self.since(place) is None
            epochs.add(place.epoch)
        assert len(epochs) == 2

    def test_whoever_reads_or_appends_keeps_the_epoch(self) -> None:
        """`group_expiry` after the last append or read."""
        self.reopen(group_expiry=1000)
        place = self.append(1, ttl=10)
        for touch in (lambda: self.since(place), lambda: self.append(2), lambda: self.since(place)):
            self.clock.advance(600)
            touch()
        assert self.append(3) == (place.epoch, 3)

    def test_logs_are_apart(self) -> None:
        """A log has a name of its own, whatever name begins with it."""
        for name in ("log", "log1", "lo", "g", "\u20ac log"):
            place = self.other.append(name, {"name": name}, keep=10, ttl=60)
            assert place.offset == 1
            assert self.storage.read(name, place.epoch).messages == [{"name": name}]

    def test_messages_of_a_log_are_copies(self) -> None:
        """What a caller has in hand is its own."""
        message: dict[str, Any] = {"list": [1]}
        place = self.other.append("log", message, keep=10, ttl=60)
        message["list"].append(2)
        for _ in range(2):
            [found] = self.storage.read("log", place.epoch).messages or [{}]
            assert found == {"list": [1]}
            found["list"].append(3)

    def test_what_cannot_be_sent_cannot_be_appended(self) -> None:
        """Checked as in `send`."""
        with refused(InvalidMessage, "a set"):
            self.storage.append("log", {"set": {1}}, keep=10, ttl=60)
        with refused(InvalidName, ""):
            self.storage.append("", {}, keep=10, ttl=60)
        for bounds in ({"keep": 0, "ttl": 60}, {"keep": 1, "ttl": 0}):
            with refused(ValueError, bounds):
                self.storage.append("log", {}, **bounds)
        assert self.storage.read("log").offset == 0

    # With groups.

    def send(self, storage: Storage, **message: Any) -> Position:
        """Send to the group, with history."""
        return storage.send_group("group", message, keep=100, ttl=60)

    def test_members_get_a_message_with_its_place(self) -> None:
        """`send_group`: each member gets it with `epoch` and `offset`, the log has it without."""
        for name in ("a", "p!x", "p!y"):
            self.peer.group_add("group", name)
        places = [self.send(self.other, n=number, text="t") for number in range(3)]
        received = self.drain("a", "p!")
        for name in ("a", "p!x", "p!y"):
            assert [message for each, message in received if each == name] == [
                {"n": number, "text": "t", **place._asdict()} for number, place in enumerate(places)
            ]
        assert self.storage.read("group", *places[0]).messages == [
            {"n": number, "text": "t"} for number in (1, 2)
        ]

    def test_a_message_to_nobody_is_in_the_log(self) -> None:
        """Who joins later finds it there."""
        epoch, offset = self.send(self.other, n=1)
        assert self.storage.read("group", epoch, offset - 1).messages == [{"n": 1}]

    def test_a_member_that_is_full_finds_it_in_the_log(self) -> None:
        """A full member loses it, and it is counted; never ChannelFull."""
        self.reopen(capacity=1)
        self.peer.group_add("group", "a")
        for number in range(3):
            place = self.send(self.other, n=number)
        [(_, received)] = self.drain("a")
        assert received["n"] == 0
        assert self.layer.global_statistics()["group_messages_lost_count"] == 2
        found = self.storage.read("group", received["epoch"], received["offset"])
        assert found == (*place, [{"n": 1}, {"n": 2}])

    def test_every_member_gets_them_in_the_order_of_the_log(self) -> None:
        """One order for all, whoever sends."""
        self.reopen(capacity=1000)
        for name in ("a", "p!x", "q!x"):
            self.peer.group_add("group", name)
        senders = [(number, each) for number, each in enumerate((self.storage, self.other) * 2)]
        tasks = [Task(_send_numbers, self, each, number) for number, each in senders]
        for task in tasks:
            task.result(4 * self.patience)
        epoch, _, _ = self.storage.read("group")
        logged = self.storage.read("group", epoch).messages
        assert logged is not None
        assert len(logged) == 80
        received = self.drain("a", "p!", "q!")
        for name in ("a", "p!x", "q!x"):
            mine = [message for each, message in received if each == name]
            offsets = [message["offset"] for message in mine]
            assert offsets == list(range(1, 81)), (name, offsets)
            assert [(message["sender"], message["n"]) for message in mine] == [
                (message["sender"], message["n"]) for message in logged
            ]

    def test_messages_with_and_without_history_are_in_order(self) -> None:
        """In order per sender, as all that it sends."""
        self.peer.group_add("group", "p!x")
        for number in range(0, 9, 3):
            self.send(self.other, n=number)
            self.peer.send_group("group", {"n": number + 1})
            self.peer.send("p!x", {"n": number + 2})
        assert [message["n"] for _, message in self.drain("p!")] == list(range(9))


def _send_numbers(test: LogTests, storage: Storage, sender: int) -> None:
    for number in range(20):
        test.send(storage, n=number, sender=sender)
