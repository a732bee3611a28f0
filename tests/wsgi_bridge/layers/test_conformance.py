"""The conformance suite itself: it must fail for a layer that breaks a promise.

Each broken layer is the memory layer with one fault, which has to be found by the test that is
there for it.
"""

import threading
import time

import pytest

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.conformance import LayerConformance
from wsgi_bridge.layers.conformance.introspection import IntrospectionTests
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.names import reader_of


def fails(layer_class, name, patience=0.1):
    """Run one test of the suite on a layer."""

    class Suite(LayerConformance):
        def make_layer(self, **options):
            return layer_class(**options)

    suite = Suite()
    suite.patience = patience
    suite.setup_method()
    try:
        getattr(suite, name)()
    except (AssertionError, ChannelLayerError, LookupError, TypeError, ValueError):
        return True
    finally:
        suite.teardown_method()
    return False


class KeepsTheSendersDict(MemoryLayer):
    """What the sender changes later reaches the receiver."""

    def send(self, channel, message):
        super().send(channel, message)
        if isinstance(message, dict):
            entries = self._queues[reader_of(channel)].entries
            deadline, name, _ = entries.pop()
            entries.append((deadline, name, message))


class CopiesTheTopOnly(KeepsTheSendersDict):
    """The usual mistake: dict(message)."""

    def send(self, channel, message):
        super().send(channel, dict(message) if isinstance(message, dict) else message)


class LosesOrder(MemoryLayer):
    def _take(self, channels, limit, compact):
        return super()._take(channels, limit, compact)[::-1]


class SendsManyInReverse(MemoryLayer):
    def hand_over_many(self, messages):
        return super().hand_over_many(messages[::-1])[::-1]


class StopsAtTheFirstRefusal(MemoryLayer):
    def hand_over_many(self, messages):
        refusals = [None] * len(messages)
        for at, (channel, message) in enumerate(messages):
            refusals[at] = self._refusal(channel, message)
            if refusals[at] is not None:
                break
        return refusals


class RaisesForOneOfMany(MemoryLayer):
    def hand_over_many(self, messages):
        for channel, message in messages:
            self.hand_over(channel, message)
        return [None] * len(messages)


class ChecksWhileItSends(MemoryLayer):
    def send_many(self, messages):
        for channel, message in messages:
            self.send(channel, message)
        return [None] * len(messages)


class KeepsTheDictsOfMany(MemoryLayer):
    def send_many(self, messages):
        return self.hand_over_many(messages)


class LastInFirstOut(MemoryLayer):
    def send(self, channel, message):
        super().send(channel, message)
        self._queues[reader_of(channel)].entries.rotate(1)


class DeliversTwice(MemoryLayer):
    """Every tenth message stays where it was."""

    taken = 0

    def _drain(self, queue, batch, size, now, compact):
        before = len(batch)
        super()._drain(queue, batch, size, now, compact)
        for name, message in batch[before:]:
            self.taken += 1
            if self.taken % 10 == 0:
                queue.entries.append((now + self.expiry, name, message))


class Drops(MemoryLayer):
    """Every tenth message is gone."""

    sent = 0

    def send(self, channel, message):
        super().send(channel, message)
        self.sent += 1
        if self.sent % 10 == 0:
            self._queues[reader_of(channel)].entries.pop()


class NeverWakes(MemoryLayer):
    def listen(self, channels, wake):
        return super().listen(channels, lambda: None)


class WakesForSendOnly(MemoryLayer):
    def send_group(self, group, message):
        queues = list(self._queues.values())
        wakes = [queue.wakes for queue in queues]
        for queue in queues:
            queue.wakes = ()
        super().send_group(group, message)
        for queue, kept in zip(queues, wakes, strict=True):
            queue.wakes = kept


class Polls(MemoryLayer):
    """Waits by asking again and again."""

    interval = 0.001

    def _wait_and_take(self, channels, limit, timeout, compact):
        end = time.monotonic() + (1e9 if timeout is None else timeout)
        while not (batch := self._take(channels, limit, compact)) and time.monotonic() < end:
            time.sleep(self.interval)
        return batch


class PollsSlowly(Polls):
    """The ancestors' 50 ms."""

    interval = 0.05


class WakesUnderItsLock(MemoryLayer):
    """Here as a second lock that is not re-entrant: whoever uses the layer in a wake hangs."""

    def __init__(self, **options):
        super().__init__(**options)
        self._second = threading.Lock()

    def send(self, channel, message):
        if not self._second.acquire(timeout=0.3):
            raise ChannelLayerError("deadlock")
        try:
            super().send(channel, message)
        finally:
            self._second.release()


class HoldsOneTooMany(MemoryLayer):
    def capacity_of(self, channel):
        return super().capacity_of(channel) + 1


class HoldsOneTooFew(MemoryLayer):
    def capacity_of(self, channel):
        return super().capacity_of(channel) - 1


class CountsCapacityByName(MemoryLayer):
    """Each name under a reader has a capacity of its own."""

    def send(self, channel, message):
        reader = reader_of(channel) if isinstance(channel, str) else channel
        if reader == channel or reader not in self._queues:
            super().send(channel, message)
            return
        queue = self._queues[reader]
        if sum(name == channel for _, name, _ in queue.entries) < self.capacity_of(reader):
            queue.capacity = 10_000
        super().send(channel, message)
        queue.capacity = self.capacity_of(reader)


class RacesForCapacity(MemoryLayer):
    """Looks first and puts later, and lets others in between."""

    def send(self, channel, message):
        queue = self._queues.get(channel)
        if queue is None:
            super().send(channel, message)
            return
        room = len(queue.entries) < self.capacity_of(channel)
        time.sleep(0.0001)
        if not room:
            queue.full.add(self.clock())
            raise ChannelFull(channel)
        queue.capacity = 10_000
        super().send(channel, message)


class DeliversExpired(MemoryLayer):
    def _drain(self, queue, batch, size, now, compact):
        super()._drain(queue, batch, size, 0.0, compact)


class ExpiredFillsUp(MemoryLayer):
    def _purge(self, queue, now):
        return False


class ForgetsToLeaveGroups(MemoryLayer):
    def _expire(self, queue, names):
        queue.expired += 1


class DoesNotCountLosses(MemoryLayer):
    def _post(self, queue, names, message, now):
        posted = super()._post(queue, names, message, now)
        queue.lost = 0
        return posted


class CountsALossOnceForAllMembers(MemoryLayer):
    def _post(self, queue, names, message, now):
        before = queue.lost
        posted = super()._post(queue, names, message, now)
        queue.lost = min(queue.lost, before + 1)
        return posted


class RaisesForFullMembers(MemoryLayer):
    def _post(self, queue, names, message, now):
        if len(queue.entries) >= queue.capacity:
            raise ChannelFull(names[0])
        return super()._post(queue, names, message, now)


class SendsToEachMember(MemoryLayer):
    """One queue operation for each member, not for each process."""

    def _post(self, queue, names, message, now):
        posted = [super(SendsToEachMember, self)._post(queue, (n,), message, now) for n in names]
        return all(posted)


class SharesGroupMessages(MemoryLayer):
    """All receivers get one dict, and see what each does to it."""

    def send_group(self, group, message):
        super().send_group(group, message)
        entries = [entry for queue in self._queues.values() for entry in queue.entries]
        shared = entries[-1][2] if entries else None
        for queue in self._queues.values():
            queue.entries = type(queue.entries)(
                (deadline, names, shared if content == shared else content)
                for deadline, names, content in queue.entries
            )


class Starves(MemoryLayer):
    """The first of the list that has a message always goes first."""

    def _take(self, channels, limit, compact):
        for channel in channels:
            if batch := super()._take([channel], limit, compact):
                return batch
        return super()._take(channels, limit, compact)


class TakesTurnsByCall(MemoryLayer):
    """Starts one further at each call: fair to one receiver, and starves under two in rhythm."""

    calls = 0

    def _take(self, channels, limit, compact):
        self.calls += 1
        start = self.calls % len(channels)
        for channel in (*channels[start:], *channels[:start]):
            if batch := super()._take([channel], limit, compact):
                return batch
        return []


class TurnsBytesIntoText(MemoryLayer):
    def send(self, channel, message):
        if isinstance(message, dict):
            message = {
                key: value.decode("latin-1") if isinstance(value, bytes) else value
                for key, value in message.items()
            }
        super().send(channel, message)


class TellsNoAge(MemoryLayer):
    def _statistics(self, queues):
        return {**super()._statistics(queues), "messages_max_age": 0.0}


class NeverForgetsRates(MemoryLayer):
    def _statistics(self, queues):
        found = super()._statistics(queues)
        return {**found, "messages_count_per_second": float(found["messages_count"])}


class TellsNamesNotReaders(MemoryLayer):
    """Lists the names that were sent to, where capacity counts on the reader."""

    def statistics_by_channel(self):
        names = {
            name
            for queue in self._queues.values()
            for _, name, _ in queue.entries
            if isinstance(name, str)
        }
        return {name: self.channel_statistics(name) for name in names}


class TellsUnusedChannels(MemoryLayer):
    """Lists what is listened on, be there nothing to tell."""

    def statistics_by_channel(self):
        return {name: self.channel_statistics(name) for name in list(self._queues)}


class TakesToLook(MemoryLayer):
    """Counts what is in a queue by emptying it."""

    def statistics_by_channel(self):
        found = super().statistics_by_channel()
        for name in found:
            self.receive([name])
        return found


class CountsWhatExpiredAsPending(MemoryLayer):
    def statistics_by_channel(self):
        self._purge = lambda queue, now: False
        try:
            return super().statistics_by_channel()
        finally:
            del self._purge


class CountsReadersByMember(MemoryLayer):
    def statistics_by_group(self):
        found = super().statistics_by_group()
        for figures in found.values():
            figures["readers_count"] = figures["members_count"]
        return found


class TellsMembershipsThatAreOver(MemoryLayer):
    def statistics_by_group(self):
        clock, self.clock = self.clock, lambda: 0.0
        try:
            return super().statistics_by_group()
        finally:
            self.clock = clock


class KeepsGroupsWhenFlushed(MemoryLayer):
    def flush(self):
        kept, self._groups = self._groups, type(self._groups)(self.group_expiry)
        super().flush()
        self._groups = kept


class IsSilentOnIntrospection(MemoryLayer):
    """Has none, and answers with nothing in place of a refusal."""

    extensions = ("groups", "flush", "statistics", "asyncio")

    def statistics_by_channel(self):
        return {}


BROKEN = [
    (KeepsTheSendersDict, "test_later_changes_by_the_sender_do_not_reach_the_receiver"),
    (CopiesTheTopOnly, "test_later_changes_by_the_sender_do_not_reach_the_receiver"),
    (LosesOrder, "test_messages_arrive_in_the_order_they_were_sent"),
    (LastInFirstOut, "test_messages_arrive_in_the_order_they_were_sent"),
    (SendsManyInReverse, "test_several_messages_are_sent_at_once"),
    (StopsAtTheFirstRefusal, "test_one_that_is_refused_does_not_stop_those_sent_with_it"),
    (RaisesForOneOfMany, "test_one_that_is_refused_does_not_stop_those_sent_with_it"),
    (ChecksWhileItSends, "test_what_cannot_be_sent_stops_all_that_is_sent_with_it"),
    (KeepsTheDictsOfMany, "test_messages_sent_at_once_are_copies"),
    (DeliversTwice, "test_concurrent_receivers_get_each_message_once"),
    (Drops, "test_concurrent_receivers_get_each_message_once"),
    (NeverWakes, "test_a_blocked_receive_gets_a_message_that_is_sent_later"),
    (NeverWakes, "test_a_listener_is_woken_by_every_kind_of_put"),
    (NeverWakes, "test_a_coroutine_is_woken_by_a_thread"),
    (WakesForSendOnly, "test_a_listener_is_woken_by_every_kind_of_put"),
    (Polls, "test_a_blocked_receive_sleeps"),
    (PollsSlowly, "test_a_message_wakes_a_blocked_receive_at_once"),
    (WakesUnderItsLock, "test_a_wake_may_use_the_layer"),
    (HoldsOneTooMany, "test_a_full_channel_refuses_and_loses_nothing"),
    (HoldsOneTooFew, "test_a_full_channel_refuses_and_loses_nothing"),
    (CountsCapacityByName, "test_capacity_counts_on_the_reader"),
    (RacesForCapacity, "test_capacity_is_exact_under_concurrent_senders"),
    (DeliversExpired, "test_an_expired_message_is_never_delivered"),
    (ExpiredFillsUp, "test_expired_messages_count_towards_no_capacity"),
    (ForgetsToLeaveGroups, "test_a_channel_whose_message_expires_leaves_its_groups"),
    (DoesNotCountLosses, "test_a_full_member_loses_the_message_and_is_counted"),
    (CountsALossOnceForAllMembers, "test_a_full_member_loses_the_message_and_is_counted"),
    (RaisesForFullMembers, "test_a_full_member_loses_the_message_and_is_counted"),
    (SendsToEachMember, "test_the_compact_form_is_one_message_with_its_members"),
    (SendsToEachMember, "test_a_group_message_is_one_queue_operation_for_each_process"),
    (SharesGroupMessages, "test_members_get_messages_of_their_own"),
    (Starves, "test_a_busy_channel_does_not_starve_a_quiet_one"),
    (Starves, "test_a_batch_has_a_share_for_each_channel"),
    (TakesTurnsByCall, "test_two_receivers_in_turn_do_not_starve_a_channel"),
    (TurnsBytesIntoText, "test_every_type_of_value_arrives_as_it_was"),
    (TellsNoAge, "test_pending_messages_and_their_age_are_told"),
    (TellsNamesNotReaders, "test_every_channel_that_was_used_is_told_by_its_reader"),
    (TellsUnusedChannels, "test_an_unused_layer_has_no_channel_and_no_group"),
    (TakesToLook, "test_looking_changes_nothing"),
    (CountsWhatExpiredAsPending, "test_what_expired_is_told_as_expired"),
    (CountsReadersByMember, "test_every_group_is_told_with_its_members_and_their_readers"),
    (TellsMembershipsThatAreOver, "test_a_membership_that_is_over_is_not_told"),
    (KeepsGroupsWhenFlushed, "test_a_flush_leaves_no_group"),
    (IsSilentOnIntrospection, "test_who_has_no_introspection_says_so"),
    (NeverForgetsRates, "test_a_rate_is_that_of_the_last_seconds"),
]


@pytest.mark.parametrize(
    ("layer_class", "name"), BROKEN, ids=[f"{layer.__name__}-{name}" for layer, name in BROKEN]
)
def test_a_fault_is_found_by_the_test_that_is_there_for_it(layer_class, name):
    assert fails(layer_class, name)


def test_a_layer_without_a_fault_passes_by_the_same_runner():
    names = {name for _, name in BROKEN}
    assert [name for name in names if fails(MemoryLayer, name, patience=5.0)] == []


def test_a_layer_without_introspection_passes():
    class Plain(MemoryLayer):
        extensions = BaseLayer.extensions
        statistics_by_channel = BaseLayer.statistics_by_channel
        statistics_by_group = BaseLayer.statistics_by_group
        describe = BaseLayer.describe

    names = [name for name in dir(IntrospectionTests) if name.startswith("test_")]
    assert [name for name in names if fails(Plain, name, patience=5.0)] == []


def test_a_suite_without_a_layer_says_what_to_do():
    with pytest.raises(NotImplementedError, match="make_layer"):
        LayerConformance().setup_method()
