"""The storage part of the conformance suite: it must fail for a layer that breaks a promise.

Each broken layer is the memory layer with one fault in its storage, which has to be found by the
test that is there for it.
"""

import time

import pytest

from wsgi_bridge.layers.conformance import LayerConformance
from wsgi_bridge.layers.memory import MemoryLayer
from wsgi_bridge.layers.storage import MemoryStorage
from wsgi_bridge.layers.storage_base import Plan, Recovered, next_due

from .test_conformance import fails


class KeepsTheSaversDict(MemoryStorage):
    def _copy(self, message):
        super()._copy(message)
        return message


class GivesItsOwnDict(MemoryStorage):
    def _load(self, key):
        found = super()._load(key)
        return found._replace(value=self._values[key].value) if key in self._values else found


class KeepsForEver(MemoryStorage):
    def _live(self, key, now):
        return super()._live(key, 0.0)


class CountsVersionsByKey(MemoryStorage):
    """A version is used again after the value is gone."""

    def _save(self, key, value, deadline, owner, expected_version):
        before = self._load(key).version
        saved = super()._save(key, value, deadline, owner, expected_version)
        if saved and key in self._values:
            self._values[key] = self._values[key]._replace(version=before + 1)
        return saved


class LooksAndSavesLater(MemoryStorage):
    """Compares, lets others in, and sets."""

    def _save(self, key, value, deadline, owner, expected_version):
        if expected_version is not None and expected_version != self._load(key).version:
            return False
        time.sleep(0.0001)
        return super()._save(key, value, deadline, owner, None)


class IgnoresOwners(MemoryStorage):
    def forget(self, channel, now):
        pass


class DropsWithTheOwner(MemoryStorage):
    """At once, so that the message on the end of a socket finds nothing."""

    def forget(self, channel, now):
        for key in self._owned.pop(channel, ()):
            del self._values[key]


class RemembersEarlierOwners(MemoryStorage):
    def _drop(self, key):
        self._values.pop(key, None)


class KeepsDataOfThoseWhoLeft(MemoryStorage):
    def __init__(self, layer):
        super().__init__(layer)
        self._data = {}

    def _group_add(self, group, channel, data):
        super()._group_add(group, channel, data)
        self._data[group, channel] = data

    def _group_members(self, group):
        return {name: self._data.get((group, name)) for name in super()._group_members(group)}


class ForgetsDataOnRenewal(MemoryStorage):
    def _group_members(self, group):
        members = self._layer._groups._groups.get(group, {}).values()
        renewed = {
            name for each in members for name, end in each.deadlines.items() if end != self._end
        }
        found = super()._group_members(group)
        return {name: None if name in renewed else data for name, data in found.items()}

    def _group_add(self, group, channel, data):
        super()._group_add(group, channel, data)
        self._end = self._layer.clock() + self._layer.group_expiry


class ExecutesWillsAtOnce(MemoryStorage):
    def _set_will(self, channel, messages):
        for target, message in messages:
            self._layer.send(target, message)


class ReleasesEverything(MemoryStorage):
    def release_due(self, limit=100):
        for name, planned in list(self._plans.items()):
            self._plan(name, planned._replace(at=0.0))
        return super().release_due(limit)


class TellsNoNextTime(MemoryStorage):
    def release_due(self, limit=100):
        return super().release_due(limit)._replace(next_due=None)


class ReleasesTheLastFirst(MemoryStorage):
    def _schedule(self, channel, key, message, due, every, keep_time):
        super()._schedule(channel, key, message, -due, every, keep_time)


class MixesUpKeys(MemoryStorage):
    """A key for all channels."""

    def _schedule(self, channel, key, message, due, every, keep_time):
        for name in [name for name in self._plans if name[1] == key]:
            del self._plans[name]
        super()._schedule(channel, key, message, due, every, keep_time)


class AlwaysPutsOff(MemoryStorage):
    """Who starts often keeps what is scheduled from ever being due."""

    def _schedule(self, channel, key, message, due, every, keep_time):
        super()._schedule(channel, key, message, due, every, False)


class NeverPutsOff(MemoryStorage):
    """Another period keeps the time too."""

    def _schedule(self, channel, key, message, due, every, keep_time):
        earlier = self._plans.get((channel, key))
        if keep_time and earlier is not None:
            self._plans[channel, key] = earlier._replace(every=every)
        super()._schedule(channel, key, message, due, every, keep_time)


class ListsInNoOrder(MemoryStorage):
    def plans(self, limit=1000):
        return [Plan(*name, each.at, each.every) for name, each in self._plans.items()][:limit]


class TellsWhenTheLastIsDue(MemoryStorage):
    def scheduled(self):
        last = max((planned.at for planned in self._plans.values()), default=None)
        return super().scheduled()._replace(next_due=last)


class NeverCancels(MemoryStorage):
    def _cancel(self, channel, key):
        return (channel, key) in self._plans


class LosesWhatFindsAChannelFull(MemoryStorage):
    def _release(self, name, now, wakes):
        is_put = super()._release(name, now, wakes)
        if not is_put:
            del self._plans[name]
        return is_put


class TriesAgainAtOnce(MemoryStorage):
    """What finds its channel full stays the first: others wait behind it."""

    def release_due(self, limit=100):
        before = dict(self._plans)
        released = super().release_due(limit)
        now = self._layer.clock()
        for name, planned in before.items():
            if name in self._plans and planned.at <= now < self._plans[name].at:
                self._plan(name, planned)
        return released


class Drifts(MemoryStorage):
    """Counts the period from the time of the release."""

    def _release(self, name, now, wakes):
        planned = self._plans[name]
        is_put = super()._release(name, now, wakes)
        if is_put and planned.every:
            self._plan(name, planned._replace(at=now + planned.every))
        return is_put


class MakesUpForMissedPeriods(MemoryStorage):
    def _release(self, name, now, wakes):
        planned = self._plans[name]
        is_put = super()._release(name, now, wakes)
        if is_put and planned.every:
            following = next_due(planned.first, planned.every, planned.at)
            self._plan(name, self._plans[name]._replace(at=following))
        return is_put


class ReleasesTwice(MemoryStorage):
    """Looks what is due, lets others in, and releases that."""

    def release_due(self, limit=100):
        now = self._layer.clock()
        due = {name: each for name, each in self._plans.items() if each.at <= now}
        time.sleep(0.001)
        self._plans.update(due)
        for name, planned in due.items():
            self._plan(name, planned)
        return super().release_due(limit)


class WakesNobody(MemoryStorage):
    def _release(self, name, now, wakes):
        return super()._release(name, now, [])


class RecoversAPart(MemoryStorage):
    def _read(self, log, epoch, offset, limit):
        found = super()._read(log, epoch, offset, limit)
        if found.messages is None and epoch == found.epoch and 0 <= offset <= found.offset:
            left = [message for _, message in self._logs[log].entries]
            return found._replace(messages=left[-limit:])
        return found


class RecoversAcrossEpochs(MemoryStorage):
    def _read(self, log, epoch, offset, limit):
        found = super()._read(log, epoch, offset, limit)
        return super()._read(log, found.epoch, offset, limit) if epoch else found


class HasOneEpoch(MemoryStorage):
    def _log(self, name, now):
        log = super()._log(name, now)
        log.epoch = "epoch"
        return log


class HasNoPlaceBeforeTheFirst(MemoryStorage):
    def _read(self, log, epoch, offset, limit):
        if log not in self._logs:
            return Recovered("", 0, None)
        return super()._read(log, epoch, offset, limit)


class AppendsApartFromTheDelivery(MemoryStorage):
    """Two steps, between which others append and deliver."""

    def _send_group(self, group, message, keep, ttl):
        place = self._append(group, message, keep, ttl)
        time.sleep(0.001 if place.offset % 2 else 0)  # so that greenlets overtake, too
        self._layer.send_group(group, {**message, **place._asdict()})
        return place


class TellsNoPlaces(MemoryStorage):
    def _send_group(self, group, message, keep, ttl):
        place = self._append(group, message, keep, ttl)
        self._layer.send_group(group, message)
        return place


class OutlivesAFlush(MemoryStorage):
    def clear(self):
        if not hasattr(self, "_values"):
            super().clear()


BROKEN = [
    (KeepsTheSaversDict, "test_a_value_is_a_copy"),
    (KeepsTheSaversDict, "test_a_scheduled_message_is_a_copy"),
    (KeepsTheSaversDict, "test_messages_of_a_log_are_copies"),
    (GivesItsOwnDict, "test_a_value_is_a_copy"),
    (KeepsForEver, "test_a_value_lives_for_its_time"),
    (CountsVersionsByKey, "test_a_version_is_never_used_again"),
    (LooksAndSavesLater, "test_no_change_is_lost_under_concurrent_ones"),
    (IgnoresOwners, "test_a_value_goes_with_its_owner"),
    (IgnoresOwners, "test_a_value_goes_with_an_owner_that_does_not_receive"),
    (DropsWithTheOwner, "test_a_value_goes_with_its_owner"),
    (RemembersEarlierOwners, "test_a_value_that_was_saved_again_has_its_new_owner"),
    (KeepsDataOfThoseWhoLeft, "test_data_go_with_the_membership"),
    (ForgetsDataOnRenewal, "test_data_are_replaced_by_data_only"),
    (ExecutesWillsAtOnce, "test_a_will_is_not_executed_while_its_process_lives"),
    (ReleasesEverything, "test_a_message_is_put_when_it_is_due"),
    (TellsNoNextTime, "test_a_message_is_put_when_it_is_due"),
    (ReleasesTheLastFirst, "test_the_earliest_comes_first"),
    (MixesUpKeys, "test_a_message_is_scheduled_once_for_each_key"),
    (AlwaysPutsOff, "test_what_is_scheduled_already_may_keep_its_time"),
    (AlwaysPutsOff, "test_what_is_overdue_is_put_although_it_is_scheduled_again"),
    (NeverPutsOff, "test_what_is_scheduled_already_may_keep_its_time"),
    (ListsInNoOrder, "test_it_lists_what_is_scheduled"),
    (TellsWhenTheLastIsDue, "test_it_tells_what_is_scheduled"),
    (NeverCancels, "test_a_cancelled_message_is_never_put"),
    (NeverCancels, "test_a_repeated_message_can_be_cancelled"),
    (LosesWhatFindsAChannelFull, "test_a_message_to_a_full_channel_stays_scheduled"),
    (TriesAgainAtOnce, "test_a_message_to_a_full_channel_stays_scheduled"),
    (Drifts, "test_a_message_is_repeated_without_drift"),
    (MakesUpForMissedPeriods, "test_missed_periods_are_not_made_up_for"),
    (ReleasesTwice, "test_a_message_is_put_once_whoever_releases"),
    (WakesNobody, "test_who_waits_is_woken_by_what_is_due"),
    (RecoversAPart, "test_all_of_it_or_nothing_is_read"),
    (RecoversAPart, "test_a_message_of_a_log_lives_for_its_time"),
    (RecoversAcrossEpochs, "test_a_place_of_another_epoch_is_none"),
    (HasOneEpoch, "test_the_epoch_changes_when_the_log_was_lost"),
    (HasNoPlaceBeforeTheFirst, "test_an_empty_log_has_a_place"),
    (AppendsApartFromTheDelivery, "test_every_member_gets_them_in_the_order_of_the_log"),
    (TellsNoPlaces, "test_members_get_a_message_with_its_place"),
    (OutlivesAFlush, "test_flush_empties_the_storage"),
]


def layer_with(storage_class):
    """Return a layer class with another storage."""

    class Layer(MemoryLayer):
        def __init__(self, **options):
            super().__init__(**options)
            self._storage = storage_class(self)

    return Layer


@pytest.mark.parametrize(
    ("storage_class", "name"), BROKEN, ids=[f"{each.__name__}-{name}" for each, name in BROKEN]
)
def test_a_fault_is_found_by_the_test_that_is_there_for_it(storage_class, name):
    assert fails(layer_with(storage_class), name)


def test_a_storage_without_a_fault_passes_by_the_same_runner():
    names = {name for _, name in BROKEN}
    assert [name for name in names if fails(MemoryLayer, name, patience=5.0)] == []


def test_a_layer_without_the_extension_has_none_of_it_tested():
    class Plain(MemoryLayer):
        extensions = ("groups", "flush", "statistics", "asyncio")

    class Suite(LayerConformance):
        def make_layer(self, **options):
            return Plain(**options)

    suite = Suite()
    suite.setup_method()
    with pytest.raises(Exception, match="no extension 'storage'") as caught:
        suite.test_a_value_is_a_copy()
    assert type(caught.value).__name__ == "SkipTest"
    suite.teardown_method()
