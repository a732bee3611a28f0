"""Several processes: one that dies takes its readers with it, and statistics are of all."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from wsgi_bridge.layers.conformance.support import Task
from wsgi_bridge.layers.redis import keeper
from wsgi_bridge.layers.redis.keeper import BEAT, LIFE

from .servers import until

OWNER = """
import sys, time
from wsgi_bridge.layers import open_layer
layer = open_layer(sys.argv[1], prefix=sys.argv[2])
listener = layer.listen(["dead!"], lambda: None)
layer.group_add("group", "dead!x")
layer.group_add("other", "dead!y")
print("ready", flush=True)
time.sleep(60)
"""


def start_owner(url, prefix):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, url, prefix], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_killed_process_leaves_its_groups(each_server, open_redis):
    prefix = f"killed{os.getpid()}"
    survivor = open_redis(each_server.url, prefix=prefix)
    process = start_owner(each_server.url, prefix)
    try:
        survivor.group_add("group", "alive!x")
        listener = survivor.listen(["alive!"], lambda: None)
        assert sorted(survivor.group_channels("group")) == ["alive!x", "dead!x"]
        time.sleep(BEAT)  # it has said that it lives
        process.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: survivor.group_channels("group") == ["alive!x"], what="the dead one is gone")
        assert time.monotonic() - killed < LIFE + 2 * BEAT
        until(lambda: survivor.group_channels("other") == [], what="from all groups")
        listener.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_process_that_was_stopped_for_long_is_a_member_again(each_server, open_redis):
    prefix = f"stopped{os.getpid()}"
    survivor = open_redis(each_server.url, prefix=prefix)
    process = start_owner(each_server.url, prefix)
    try:
        with survivor.listen(["alive!"], lambda: None):
            survivor.send_group("group", {})
            time.sleep(BEAT)
            process.send_signal(signal.SIGSTOP)
            until(lambda: survivor.group_channels("group") == [], what="it is taken for dead")
            process.send_signal(signal.SIGCONT)
            until(lambda: survivor.group_channels("group") == ["dead!x"], what="it is back")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_claimed(server, layer):
    """Whether the owner has said that it lives, so that it is missed when it does not."""
    return server.admin.hexists(layer._shards[0].keys.owners, "dead!")


@pytest.mark.parametrize("is_before", [True, False])
def test_who_was_discarded_while_its_process_was_stopped_stays_away(
    each_server, open_redis, is_before
):
    prefix = f"discarded{is_before}{os.getpid()}"
    survivor = open_redis(each_server.url, prefix=prefix)
    process = start_owner(each_server.url, prefix)
    try:
        with survivor.listen(["alive!"], lambda: None):
            until(lambda: is_claimed(each_server, survivor), what="it has said that it lives")
            process.send_signal(signal.SIGSTOP)
            if is_before:
                survivor.group_discard("group", "dead!x")
            until(lambda: survivor.group_channels("other") == [], what="it is taken for dead")
            if not is_before:
                survivor.group_discard("group", "dead!x")
            process.send_signal(signal.SIGCONT)
            until(lambda: survivor.group_channels("other") == ["dead!y"], what="it is back")
            assert survivor.group_channels("group") == []
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_changes_that_a_dead_process_left_are_no_one_elses(each_server, open_redis):
    prefix = f"left{os.getpid()}"
    survivor = open_redis(each_server.url, prefix=prefix)
    process = start_owner(each_server.url, prefix)
    until(lambda: is_claimed(each_server, survivor), what="it has said that it lives")
    process.kill()
    process.wait()
    process.stdout.close()
    with survivor.listen(["alive!"], lambda: None):
        until(lambda: survivor.group_channels("other") == [], what="it is taken for dead")
    heir = open_redis(each_server.url, prefix=prefix)
    with heir.listen(["dead!"], lambda: None):
        survivor.group_add("group", "dead!new")
        survivor.send_group("group", {"n": 1})
        assert heir.receive_many(["dead!"], 10, 5.0) == [("dead!new", {"n": 1})]


def test_who_leaves_gets_what_was_sent_before_and_is_still_on_its_way(
    each_server, open_redis, monkeypatch
):
    owner, other = open_redis(each_server.url), open_redis(each_server.url)
    shard = owner._shards[0]
    looked = threading.Event()
    arrived = owner.arrived

    def arrive_late(*arguments):
        looked.wait(10)
        arrived(*arguments)

    with owner.listen(["p!"], lambda: None):
        owner.group_add("group", "p!x")
        until(lambda: "p!" in (shard.reader.blocked or ()), what="the reader waits")
        monkeypatch.setattr(owner, "arrived", arrive_late)
        other.send_group("group", {"n": 1})
        other.group_discard("group", "p!x")
        owner.fetch_changes(shard)
        looked.set()
        assert owner.receive(["p!"], True, 5.0) == ("p!x", {"n": 1})


def has_heard(server, layer, reader):
    """Whether a process has fetched every change behind its reader, and waits again."""
    queue = layer.inbox.queue(reader)
    is_waiting = queue.shard.reader.blocked and not server.admin.exists(queue.keys.wake)
    version = float(server.admin.get(queue.keys.version) or 0)
    return is_waiting and layer._memberships.known(reader) == version


def test_changes_behind_a_reader_without_messages_do_not_pile_up(each_server, open_redis):
    owner, other = open_redis(each_server.url), open_redis(each_server.url)
    [shard] = owner._shards
    memberships = owner._memberships
    shard.keeper._sweep_at = float("inf")
    with owner.listen(["p!"], lambda: None):
        until(lambda: shard.claimed and not shard.begun, what="it is claimed")
        for number in range(10):
            other.group_add("group", f"p!{number}")
            other.group_discard("group", f"p!{number}")
        until(lambda: has_heard(each_server, owner, "p!"), what="the owner has heard of all")
        owner.fetch_changes(shard)
        assert len(memberships._pending["p!"]) == 20
        turns = shard.reader.turns
        shard.keeper.nudge()
        until(lambda: shard.reader.turns > turns, what="that turn is over")
        until(lambda: shard.reader.blocked, what="the reader waits again")
        owner.fetch_changes(shard)
        assert not memberships._pending["p!"]
        assert not each_server.admin.exists(owner.inbox.queue("p!").keys.changes)


READER = """
import sys, threading
from wsgi_bridge.layers import open_layer
layer = open_layer(sys.argv[1], prefix=sys.argv[2])
woken = threading.Event()
listener = layer.listen(["moves!"], woken.set)
print("ready", flush=True)
[shard] = layer._shards
while "moves!" not in shard.lost:
    for members, message in layer.receive_many(["moves!"], 10, compact=True):
        print(sorted(members), message["n"], flush=True)
    woken.wait(0.02)
    woken.clear()
print("lost", flush=True)
sys.stdin.read()
for members, message in layer.receive_many(["moves!"], 10, compact=True):
    print(sorted(members), message["n"], flush=True)
layer.close()
"""

MEMBERS = ["moves!x", "moves!y"]


@contextlib.contextmanager
def reading(url, prefix):
    """Run a process that reads `moves!` until another one does, and goes when it is told to."""
    process = subprocess.Popen(
        [sys.executable, "-c", READER, url, prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_reader_that_moves_to_another_process_takes_its_members_along(each_server, open_redis):
    sender = open_redis(each_server.url)
    with reading(each_server.url, sender_prefix(sender)) as process:
        for name in MEMBERS:
            sender.group_add("group", name)
        sender.send_group("group", {"n": 1})
        assert process.stdout.readline() == f"{MEMBERS} 1\n"
        heir = open_redis(each_server.url)
        with heir.listen(["moves!"], lambda: None):
            assert process.stdout.readline() == "lost\n"
            sender.send_group("group", {"n": 2})
            [(members, message)] = heir.receive_many(["moves!"], 10, 10.0, compact=True)
            assert (sorted(members), message) == (MEMBERS, {"n": 2})
            # It gets nothing any more, and what it leaves behind is not the heir's.
            assert process.communicate()[0] == ""
            sender.send_group("group", {"n": 3})
            assert len(heir.receive_many(["moves!"], 10, 10.0)) == 2
            assert sorted(sender.group_channels("group")) == MEMBERS


def test_a_reader_comes_back_when_the_one_that_took_it_over_has_gone(each_server, open_redis):
    first, heir, sender = (open_redis(each_server.url) for _ in range(3))
    [shard] = first._shards
    with first.listen(["comes.back!"], lambda: None):
        until(lambda: shard.claimed and not shard.begun, what="it is claimed")
        with heir.listen(["comes.back!"], lambda: None):
            until(lambda: shard.lost, what="it is the heir's")
            assert not shard.claimed
        heir.close()
        until(lambda: shard.claimed, what="it is the first one's again")
        sender.group_add("group", "comes.back!x")
        sender.send_group("group", {"n": 1})
        assert first.receive(["comes.back!"], True, 10.0) == ("comes.back!x", {"n": 1})


def test_a_process_that_is_started_anew_has_the_members_of_the_one_before(each_server, open_redis):
    sender = open_redis(each_server.url)
    with reading(each_server.url, sender_prefix(sender)) as process:
        for name in MEMBERS:
            sender.group_add("group", name)
        keys, admin = sender._shards[0].keys, each_server.admin
        dead = until(lambda: admin.hget(keys.owners, "moves!"), what="it has said that it lives")
        process.kill()
        process.wait()
        heir = open_redis(each_server.url)
        with heir.listen(["moves!"], lambda: None):
            until(lambda: admin.hget(keys.owners, "moves!") == heir.process, what="it is claimed")
            until(lambda: admin.zscore(keys.processes, dead) is None, what="the death is noticed")
            sender.send_group("group", {"n": 1})
            received = heir.receive_many(["moves!"], 10, 10.0)
            assert sorted(name for name, _ in received) == MEMBERS
            heir.forget_channel("moves!x")
            assert sender.group_channels("group") == ["moves!y"]


def test_who_takes_over_gives_a_message_to_the_members_of_its_time(each_server, open_redis):
    sender = open_redis(each_server.url)
    for name in MEMBERS:
        sender.group_add("group", name)
    sender.send_group("group", {"n": 1})
    sender.group_add("group", "moves!late")
    sender.group_add("group", "moves!x")
    sender.group_discard("group", "moves!y")
    sender.send_group("group", {"n": 2})
    received = open_redis(each_server.url).receive_many(["moves!"], 10, compact=True)
    assert [(sorted(names), message["n"]) for names, message in received] == [
        (MEMBERS, 1),
        (["moves!late", "moves!x"], 2),
    ]


def sender_prefix(layer):
    return layer._shards[0].keys.pattern().decode()[1:].partition("}")[0]


def test_a_flush_by_another_process_empties_the_groups_of_all(each_server, open_redis):
    owner, other = open_redis(each_server.url), open_redis(each_server.url)
    [shard] = owner._shards
    with owner.listen(["p!"], lambda: None):
        other.group_add("group", "p!x")
        other.send_group("group", {"n": 1})
        assert owner.receive(["p!"], True, 10.0) == ("p!x", {"n": 1})
        until(lambda: shard.keeper.flushed == b"", what="it has said that it lives")
        other.flush()
        until(lambda: shard.keeper.flushed, what="it has heard of the flush")
        other.group_add("group", "p!y")
        other.send_group("group", {"n": 2})
        assert owner.receive_many(["p!"], 10, 10.0) == [("p!y", {"n": 2})]


def test_a_closed_layer_leaves_at_once(each_server, open_redis):
    owner, other = open_redis(each_server.url), open_redis(each_server.url)
    listener = owner.listen(["p!"], lambda: None)
    other.group_add("group", "p!x")
    until(lambda: each_server.admin.hlen(owner._shards[0].keys.owners), what="it is claimed")
    listener.close()
    owner.close()
    assert other.group_channels("group") == []


def test_a_forked_child_is_a_process_of_its_own(each_server, open_redis):
    layer = open_redis(each_server.url)
    layer.send("a", {"n": 1})
    before = layer.process
    child = os.fork()
    if child == 0:
        try:
            assert layer.process != before
            layer.send("a", {"n": 2})
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    layer.send("a", {"n": 3})
    assert [message["n"] for _, message in layer.receive_many(["a"], 10)] == [1, 2, 3]


def test_channels_that_are_gone_are_swept_as_fast_as_they_come(
    shared_server, open_redis, monkeypatch
):
    monkeypatch.setattr(keeper, "SWEEP_SIZE", 10)
    monkeypatch.setattr(keeper, "BEAT", 0.05)
    layer = open_redis(shared_server.url, expiry=0.05)
    for number in range(35):
        layer.send(f"gone?{number}", {})
    keys = layer._shards[0].keys
    assert shared_server.admin.zcard(keys.index) == 35
    time.sleep(0.1)  # they have expired
    layer._shards[0].keeper._sweep_at = 0.0
    with layer.listen(["p!"], lambda: None):
        until(lambda: shared_server.admin.zcard(keys.index) == 0, what="all have gone")
    assert layer.global_statistics()["messages_expired_count"] == 35


STEADY = [f"p!s{number}" for number in range(20)]
SENT = 100


def take_all(layer, received, woken):
    """Receive as a protocol server does, until the last steady member has everything."""
    end = time.monotonic() + 20
    while time.monotonic() < end and len(received.get(STEADY[-1], ())) < SENT:
        for members, message in layer.receive_many(["p!"], 100, compact=True):
            for name in members:
                received.setdefault(name, []).append(message["n"])
        woken.wait(0.2)
        woken.clear()


def join_and_leave(layer):
    for number in range(200):
        layer.group_add("group", f"p!t{number}")
        if number % 2:
            layer.group_discard("group", f"p!t{number}")


def test_nobody_misses_a_message_while_others_join_and_leave(each_server, open_redis):
    owner, sender, joiner = (open_redis(each_server.url, capacity=10_000) for _ in range(3))
    received = {}
    woken = threading.Event()
    for name in STEADY:
        sender.group_add("group", name)
    with owner.listen(["p!"], woken.set):
        tasks = [Task(take_all, owner, received, woken), Task(join_and_leave, joiner)]
        for number in range(SENT):
            sender.send_group("group", {"n": number})
        for task in tasks:
            task.result(30)
    for name in STEADY:
        assert received[name] == list(range(SENT)), name


def test_one_message_on_each_of_many_channels_is_taken_at_once(shared_shards, open_redis):
    """No message waits on one shard while the reader blocks on another."""
    url = "redis://" + ",".join(f"127.0.0.1:{each.port}" for each in shared_shards)
    layer, peer = open_redis(url), open_redis(url)
    # The names of shards have their ports in them: which channel is where differs from run to run.
    names = []
    for shard in layer._shards:
        channels = (f"channel{number}" for number in itertools.count())
        there = (name for name in channels if layer.inbox.queue(name).shard is shard)
        names += itertools.islice(there, 4)
    for name in names:
        task = Task(layer.receive, names, True, 10.0)
        until(lambda: all(shard.reader.blocked for shard in layer._shards), what="all wait")
        started = time.monotonic()
        peer.send(name, {"n": name})
        assert task.result(5) == (name, {"n": name})
        assert time.monotonic() - started < 0.5


def test_a_layer_that_closes_leaves_to_others_what_nobody_received(shared_server, open_redis):
    layer, other = open_redis(shared_server.url), open_redis(shared_server.url)
    came = threading.Event()
    with layer.listen(["a"], came.set):
        layer.receive(["a"])  # so that one is fetched
        for number in range(2):
            other.send("a", {"n": number})
        assert came.wait(5.0)
    layer.close()
    assert [other.receive(["a"], True, 5.0)[1]["n"] for _ in range(2)] == [0, 1]
    assert other.receive(["a"]) == (None, None)
