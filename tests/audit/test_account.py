"""The account of queues, on histories made by hand: which evidence explains which loss."""

import pytest

from tests.audit.account import settle
from tests.audit.history import (
    FULL,
    PUT,
    UNAVAILABLE,
    UNKNOWN,
    Counted,
    Delivery,
    History,
    Kill,
    Outage,
    Sent,
    read_history,
)
from tests.audit.queue_roles import LOCAL, LONELY, SHARED

EXPIRY = 4.0


class Story:
    """A history that is told: a message is sent each second, and received a tenth later."""

    def __init__(self, **options):
        self.history = History(expiry=EXPIRY, limit=2, **options)
        self.number = 0

    def send(self, channel="normal", outcome=PUT, path=SHARED):
        self.number += 1
        began, done = float(self.number), self.number + 0.01
        sent = Sent("s0.0", self.number, channel, began, outcome, done, path)
        self.history.sent[sent.sender, sent.number] = sent
        self.history.counted.put += outcome == PUT and path == SHARED
        self.history.counted.full += outcome == FULL
        return self

    def receive(self, channel="normal", number=None, receiver="r0.0", **options):
        number = number or self.number
        began = options.get("began", number + 0.05)
        self.history.deliveries.append(
            Delivery("s0.0", number, channel, receiver, began, began + 0.05)
        )
        return self

    def deliver(self, channel="normal", times=1):
        for _ in range(times):
            self.send(channel).receive(channel)
        return self

    def kill(self, name="r0.0", held=0.5):
        """Kill a process, which had asked for its last batch `held` seconds ago."""
        died = self.number + 0.2
        self.history.kills.append(Kill(name, died - held, died))
        return self

    def restart(self):
        self.history.outages.append(Outage(self.number + 0.2, self.number + 0.5))
        return self

    def expired(self, number=1):
        self.history.counted.expired += number
        return self

    def settle(self):
        return settle(self.history)


def test_what_was_delivered_is_accounted_for():
    account = Story().deliver(times=5).settle()
    assert account.is_balanced
    assert account.sent == account.delivered == 5


def test_what_is_missing_without_a_cause_is_unaccounted():
    account = Story().deliver().send().deliver().settle()
    assert account.unaccounted == 1
    assert not account.is_balanced


class TestReceivers:
    def test_what_a_killed_receiver_may_have_held_went_with_it(self):
        account = Story().deliver().send().kill().deliver().settle()
        assert account.is_balanced
        assert account.lost_with_receiver == 1

    def test_not_more_than_its_limit(self):
        account = Story().send().send().send().kill(held=9.0).deliver().settle()
        assert account.lost_with_receiver == 2
        assert account.unaccounted == 1

    def test_each_message_finds_a_receiver_if_there_is_a_way(self):
        """The first two may have been held by either; the last two by the first one only."""
        story = Story().send().send().kill("r0.0", held=9.0)
        story.history.kills.append(Kill("r1.0", 0.5, 9.0))
        account = story.send().send().deliver().settle()
        assert account.is_balanced
        assert account.lost_with_receiver == 4

    def test_not_what_was_sent_after_its_death(self):
        assert Story().deliver().kill().send().deliver().settle().unaccounted == 1

    def test_not_what_others_had_passed_before_its_last_batch(self):
        assert Story().send().deliver(times=2).kill(held=0.1).settle().unaccounted == 1

    def test_not_because_a_sender_was_killed(self):
        story = Story().deliver().send().kill().deliver()
        story.history.kills[0].is_receiver = False
        assert story.settle().unaccounted == 1


class TestOwners:
    def test_what_waited_in_the_channel_of_a_killed_process_went_with_it(self):
        account = Story().deliver("r0.0!a").send("r0.0!a").kill().expired().settle()
        assert account.is_balanced
        assert (account.lost_with_owner, account.lost_with_receiver) == (1, 0)

    def test_what_the_layer_has_not_counted_the_owner_held(self):
        account = Story().deliver("r0.0!a").send("r0.0!a").kill().settle()
        assert account.is_balanced
        assert (account.lost_with_owner, account.lost_with_receiver) == (0, 1)

    def test_no_more_than_its_limit(self):
        story = Story()
        for _ in range(3):
            story.send("r0.0!a")
        account = story.kill().settle()
        assert account.disagreements == ["expired: the layer has counted 0, not 1 to 3"]

    def test_not_what_was_passed_by_a_later_one(self):
        account = Story().send("r0.0!a").deliver("r0.0!b").kill().settle()
        assert account.unaccounted == 1

    def test_not_if_the_owner_lives(self):
        story = Story().deliver("r0.0!a").send("r0.0!a").deliver("r0.0!a").kill("r1.0")
        assert story.settle().unaccounted == 1

    def test_what_was_in_its_memory_is_not_the_layers_to_count(self):
        story = Story(local_first=True).send("http.request", path=LOCAL).kill("s0.0")
        account = story.settle()
        assert account.is_balanced
        assert account.lost_with_owner == 1

    def test_no_more_than_fits_there(self):
        story = Story(local_first=True, capacity=3)
        for _ in range(6):
            story.send("http.request", path=LOCAL)
        assert story.kill("s0.0").settle().unaccounted == 1


class TestExpiry:
    def test_what_nobody_reads_expires(self):
        account = Story().send(LONELY).expired().settle()
        assert account.is_balanced
        assert account.expired == 1

    def test_what_was_passed_too_early_has_not_expired(self):
        assert Story().send().deliver().expired().settle().unaccounted == 1

    @pytest.mark.parametrize("counted", [0, 2])
    def test_the_layer_has_to_have_counted_it(self, counted):
        account = Story().send(LONELY).expired(counted).settle()
        assert account.disagreements == [f"expired: the layer has counted {counted}, not 1"]

    def test_what_has_expired_is_not_delivered(self):
        account = Story().send().receive(began=1.0 + EXPIRY + 0.02).settle()
        assert account.late == 1
        assert not account.is_balanced


class TestBackend:
    def test_what_was_there_when_it_was_killed_went_with_it(self):
        story = Story().deliver().send().restart().deliver()
        assert story.settle().is_balanced
        assert story.settle().lost_with_backend == 1

    def test_not_what_was_passed_before(self):
        assert Story().send().deliver().restart().deliver().settle().unaccounted == 1

    def test_not_what_was_sent_afterwards(self):
        assert Story().deliver().restart().send().deliver().settle().unaccounted == 1


class TestFigures:
    def test_all_that_was_put_is_counted(self):
        story = Story().deliver(times=3)
        story.history.counted.put = 2
        assert story.settle().disagreements == ["put: the layer has counted 2, not 3"]

    def test_but_what_was_put_while_the_backend_died(self):
        story = Story().deliver(times=2).restart()
        story.history.outages[0].since = 1.5
        story.history.counted.put = 1
        assert story.settle().is_balanced

    def test_all_that_was_refused_is_counted(self):
        story = Story().send(outcome=FULL)
        story.history.counted = Counted()
        assert story.settle().disagreements == ["refused as full: the layer has counted 0, not 1"]


class TestSends:
    @pytest.mark.parametrize("outcome", [UNAVAILABLE, UNKNOWN])
    @pytest.mark.parametrize("is_put", [True, False])
    def test_what_the_sender_does_not_know_may_be_either(self, outcome, is_put):
        story = Story().send(outcome=outcome)
        story.history.counted.put = int(is_put)
        if is_put:
            story.receive()
        assert story.settle().is_balanced
        assert story.settle().delivered_after_refusal == is_put

    def test_what_was_refused_as_full_is_not_delivered(self):
        assert Story().send(outcome=FULL).receive().settle().refused_yet_delivered == 1


class TestDeliveries:
    def test_nothing_is_delivered_twice(self):
        assert Story().deliver().receive(receiver="r1.0").settle().twice == 1

    def test_nothing_is_delivered_that_was_not_sent(self):
        assert Story().receive(number=7).settle().never_sent == 1

    def test_nothing_is_delivered_elsewhere(self):
        assert Story().send("normal").receive("other").settle().never_sent == 1

    @pytest.mark.parametrize("channel", ["r0.0!a", "r0.0?x"])
    def test_the_order_of_a_sender_holds_on_the_channels_of_one_process(self, channel):
        story = Story().send(channel).send(channel).receive(channel, 2).receive(channel, 1)
        assert story.settle().out_of_order == 1

    def test_no_order_is_promised_on_normal_channels(self):
        assert Story().send().send().receive(number=2).receive(number=1).settle().is_balanced


def test_logs_are_read_as_far_as_they_were_written(tmp_path):
    (tmp_path / "s0.0.sent").write_text(
        "> 1.0 1 a\n+ 1.1 1 shared\n> 2.0 2 b\nF 2.1 2\n> 3.0 3 r0.0!x\n+ 3.1"
    )
    (tmp_path / "r0.0.received").write_text("B 0.5 1.2\na s0.0 1\nB 1.5 2.0\nB 2.5 3.0\na s0")
    history = History(expiry=4.0, limit=16, kills=[Kill("r0.0", 0.0, 4.0)])
    read_history(str(tmp_path), history)
    assert [each.outcome for each in history.sent.values()] == [PUT, FULL, UNKNOWN]
    assert [each.owner for each in history.sent.values()] == ["", "", "r0.0"]
    assert history.deliveries == [Delivery("s0.0", 1, "a", "r0.0", 0.5, 1.2)]
    assert history.kills[0].since == 2.5
