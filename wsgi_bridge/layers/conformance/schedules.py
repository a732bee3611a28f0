"""Storage: scheduled messages."""

from __future__ import annotations

from typing import Any

from wsgi_bridge.exceptions import InvalidMessage, InvalidName
from wsgi_bridge.layers.conformance.storage import StorageCase
from wsgi_bridge.layers.conformance.support import Task, refused
from wsgi_bridge.layers.storage_base import RETRY_DELAY, Storage

__all__ = ["ScheduleTests"]


class ScheduleTests(StorageCase):
    """MESSAGES.md section 1: `schedule`, `cancel`, `release_due`."""

    def release(self, expected: int) -> float | None:
        """Release all that is due, and return when the next is, in seconds from now."""
        number, following = self.storage.release_due()
        assert number == expected
        return None if following is None else round(following - self.clock(), 3)

    def test_a_message_is_put_when_it_is_due(self) -> None:
        """`release_due` puts what is due, on channels of every kind, and nothing else."""
        names = ("a", "b?c", "p!x")
        assert self.storage.release_due() == (0, None)
        for seconds, name in enumerate(names):
            self.other.schedule(name, {"n": name}, self.clock() + seconds)
        assert self.drain("a", "b?c", "p!") == []
        for left, name in zip((1, 1, None), names, strict=True):
            assert self.release(1) == left
            assert self.drain("a", "b?c", "p!") == [(name, {"n": name})]
            self.clock.advance(1)
        assert self.release(0) is None

    def test_the_earliest_comes_first(self) -> None:
        """Up to `limit` messages, the earliest first; the next is due at once if there are more."""
        for seconds in (5, 1, 4, 2, 3):
            self.other.schedule("a", {"n": seconds}, self.clock() + seconds)
        self.clock.advance(10)
        assert self.storage.release_due(2) == (2, self.clock() - 7)
        assert self.storage.release_due(2) == (2, self.clock() - 5)
        assert self.storage.release_due(2) == (1, None)
        assert [message["n"] for _, message in self.drain("a")] == [1, 2, 3, 4, 5]

    def test_a_message_is_scheduled_once_for_each_key(self) -> None:
        """A message replaces an earlier one for that channel under the same `key`."""
        now = self.clock()
        assert self.other.schedule("a", {"n": 1}, now + 1, key="key") == "key"
        self.other.schedule("b", {"n": 2}, now + 1, key="key")
        self.storage.schedule("a", {"n": 3}, now + 2, key="key")
        self.clock.advance(1)
        assert self.release(1) == 1
        self.clock.advance(1)
        assert self.release(1) is None
        assert sorted(self.drain("a", "b")) == [("a", {"n": 3}), ("b", {"n": 2})]

    def test_what_is_scheduled_already_may_keep_its_time(self) -> None:
        """`keep_time`: the message is the new one; the time only where the period is another."""
        self.other.schedule("a", {"n": 1}, self.clock() + 10, key="key", every=10)
        self.clock.advance(9)

        def again(message: dict[str, Any], due: float, every: float) -> None:
            self.storage.schedule("a", message, due, key="key", every=every, keep_time=True)

        again({"n": 2}, self.clock() + 10, 10)
        self.clock.advance(1)
        assert self.release(1) == 10
        assert self.drain("a") == [("a", {"n": 2})]
        again({"n": 3}, self.clock() + 5, 5)
        assert self.release(0) == 5
        assert self.storage.cancel("a", "key")
        again({"n": 4}, self.clock() + 7, 5)
        assert self.release(0) == 7

    def test_what_is_overdue_is_put_although_it_is_scheduled_again(self) -> None:
        """`keep_time`: nobody released it in time, and a process that starts comes first."""
        self.other.schedule("a", {"n": 1}, self.clock(), key="key", every=10)
        self.clock.advance(3)
        self.storage.schedule("a", {"n": 2}, self.clock() + 10, key="key", every=10, keep_time=True)
        assert self.release(1) == 7
        assert self.drain("a") == [("a", {"n": 2})]

    def test_what_is_put_once_may_keep_its_time_too(self) -> None:
        """`keep_time` without a period: the next time of what has no fixed one."""
        first = self.clock() + 10
        self.other.schedule("a", {"n": 1}, first, key="key")
        self.storage.schedule("a", {"n": 2}, first + 5, key="key", keep_time=True)
        self.clock.advance(10)
        assert self.release(1) is None
        assert self.drain("a") == [("a", {"n": 2})]

    def test_it_tells_what_is_scheduled(self) -> None:
        """`scheduled`: how many, and when the next is due."""
        assert self.storage.scheduled() == (0, None)
        for number in range(3):
            self.other.schedule(f"a{number}", {}, self.clock() + number, key="key")
        self.other.schedule("a0", {}, self.clock() + 5, key="key")
        assert self.storage.scheduled() == (3, self.clock() + 1)
        self.storage.cancel("a1", "key")
        self.clock.advance(2)
        self.release(1)
        assert self.storage.scheduled() == (1, self.clock() + 3)

    def test_it_lists_what_is_scheduled(self) -> None:
        """`plans`: the earliest first, up to `limit`. Keys may be unknown, all of them."""
        now = self.clock()
        assert self.storage.plans() == []
        self.other.schedule("b", {}, now + 2, key="two", every=5)
        self.other.schedule("a?b", {}, now + 1, key="one")
        self.other.schedule("c", {}, now + 3, key="a:b")
        found = self.storage.plans()
        assert [plan.key for plan in found] in (["one", "two", "a:b"], [None] * 3)
        told = [(plan.channel, plan.due - now, plan.every) for plan in found]
        assert told == [("a?b", 1, 0), ("b", 2, 5), ("c", 3, 0)]
        assert self.storage.plans(2) == found[:2]

    def test_messages_without_a_key_are_apart(self) -> None:
        """Each has a random key, which is returned."""
        keys = {self.other.schedule("a", {"n": n}, self.clock()) for n in range(3)}
        assert len(keys) == 3
        assert self.storage.cancel("a", min(keys))
        assert self.release(2) is None

    def test_a_cancelled_message_is_never_put(self) -> None:
        """`cancel`: whether there was anything."""
        self.other.schedule("a", {}, self.clock() + 1, key="key")
        assert not self.storage.cancel("b", "key")
        assert self.storage.cancel("a", "key")
        assert not self.storage.cancel("a", "key")
        self.clock.advance(1)
        assert self.release(0) is None
        self.other.schedule("a", {}, self.clock(), key="key")
        self.release(1)
        assert not self.storage.cancel("a", "key")

    def test_a_message_to_a_full_channel_stays_scheduled(self) -> None:
        """It is tried again RETRY_DELAY seconds later, and is not in the way of others."""
        self.reopen(capacity=2)
        for number in range(2):
            self.peer.send("full", {"n": number})
        for seconds, name in enumerate(("full", "full", "free")):
            self.other.schedule(name, {"n": 2}, self.clock() + seconds)
        self.clock.advance(2)
        assert self.storage.release_due(2) == (0, self.clock())
        assert self.storage.release_due(2) == (1, self.clock() + RETRY_DELAY)
        assert self.drain("free") == [("free", {"n": 2})]
        self.layer.receive(["full"])
        self.clock.advance(RETRY_DELAY)
        assert self.release(1) == RETRY_DELAY
        assert len(self.drain("full")) == 2
        self.clock.advance(RETRY_DELAY)
        assert self.release(1) is None
        assert self.drain("full") == [("full", {"n": 2})]

    def test_what_has_expired_makes_room(self) -> None:
        """Expired messages count towards no capacity."""
        self.reopen(capacity=1, expiry=60)
        self.peer.send("a", {"n": 1})
        self.other.schedule("a", {"n": 2}, self.clock())
        self.clock.advance(61)
        assert self.release(1) is None
        assert self.drain("a") == [("a", {"n": 2})]

    def test_a_scheduled_message_expires_after_it_was_put(self) -> None:
        """What is scheduled does not expire, however long nobody releases it."""
        self.reopen(expiry=60)
        self.other.schedule("a", {"n": 1}, self.clock() + 1000)
        self.clock.advance(100_000)
        assert self.release(1) is None
        self.clock.advance(59)
        assert self.drain("a") == [("a", {"n": 1})]

    def test_a_message_is_repeated_without_drift(self) -> None:
        """`every`: always counted from the first time, whenever it is released."""
        first = self.clock() + 1
        self.other.schedule("a", {"n": 1}, first, every=10)
        self.clock.advance(1)
        for late in (0.0, 3.0, 9.0, 0.5):
            self.clock.now = max(self.clock.now, first + late)
            first += 10
            assert self.storage.release_due() == (1, first)
            assert self.drain("a") == [("a", {"n": 1})]
            self.clock.now = first

    def test_missed_periods_are_not_made_up_for(self) -> None:
        """`every`: once for all that were missed."""
        first = self.clock()
        self.other.schedule("a", {"n": 1}, first, every=10)
        self.clock.advance(55)
        assert self.storage.release_due() == (1, first + 60)
        assert self.storage.release_due() == (0, first + 60)
        assert len(self.drain("a")) == 1

    def test_a_repeated_message_can_be_cancelled(self) -> None:
        """`cancel` ends the repetition; so does a message of the same key without one."""
        for end in (
            lambda: self.storage.cancel("a", "key"),
            lambda: self.storage.schedule("a", {}, self.clock(), key="key"),
        ):
            self.other.schedule("a", {}, self.clock(), key="key", every=10)
            self.release(1)
            end()
            self.clock.advance(100)
            self.storage.release_due()
            assert self.storage.release_due() == (0, None)

    def test_a_message_is_put_once_whoever_releases(self) -> None:
        """Each exactly once, by concurrent callers."""
        self.reopen(capacity=1000)
        for number in range(100):
            self.other.schedule("a", {"n": number}, self.clock())
        tasks = [Task(_release_all, each) for each in (self.storage, self.other) * 2]
        assert sum(task.result(self.patience) for task in tasks) == 100
        assert sorted(message["n"] for _, message in self.drain("a")) == list(range(100))

    def test_who_waits_is_woken_by_what_is_due(self) -> None:
        """A release is a put like any other."""
        task = Task(self.layer.receive, ["a"], True, 4 * self.patience)
        self.other.schedule("a", {"n": 1}, self.clock())
        self.other.release_due()
        assert task.result(self.patience) == ("a", {"n": 1})

    def test_a_scheduled_message_is_a_copy(self) -> None:
        """Each one that is put, too."""
        message: dict[str, Any] = {"list": [1]}
        self.other.schedule("a", message, self.clock(), every=1)
        message["list"].append(2)
        for _ in range(2):
            self.release(1)
            [(_, received)] = self.drain("a")
            assert received == {"list": [1]}
            received["list"].append(3)
            self.clock.advance(1)

    def test_what_cannot_be_sent_cannot_be_scheduled(self) -> None:
        """Checked as in `send`, when it is scheduled."""
        with refused(InvalidName, "a b"):
            self.storage.schedule("a b", {}, 0.0)
        with refused(InvalidName, ""):
            self.storage.schedule("a", {}, 0.0, key="")
        with refused(InvalidMessage, "a set"):
            self.storage.schedule("a", {"set": {1}}, 0.0)
        with refused(ValueError, "every"):
            self.storage.schedule("a", {}, 0.0, every=-1)
        assert self.storage.release_due() == (0, None)


def _release_all(storage: Storage) -> int:
    released = 0
    while number := storage.release_due(7).number:
        released += number
    return released
