"""Failover by Sentinel, and slots of a cluster that move; with real servers."""

import contextlib
import os

import pytest
import redis as client

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.conformance.support import Task

from .servers import RedisServer, need_redis, until


def works(layer, channel="probe"):
    try:
        layer.send(channel, {"n": 1})
        return layer.receive([channel], True, 1.0)[1] == {"n": 1}
    except ChannelLayerUnavailable:
        return False


@pytest.fixture
def sentinel():
    """A master, a replica, and one sentinel that is enough to promote it."""
    need_redis()
    with RedisServer() as master, RedisServer(f"replicaof 127.0.0.1 {master.port}") as replica:
        until(lambda: replica.admin.info("replication")["master_link_status"] == "up")
        watch = (
            f"sentinel monitor main 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds main 300",
            "sentinel failover-timeout main 2000",
        )
        with RedisServer(*watch, mode=("--sentinel",)) as sentinel:
            until(lambda: sentinel.admin.info("sentinel")["master0"]["slaves"] == 1)
            sentinel.master, sentinel.replica = master, replica
            yield sentinel


class TestSentinel:
    def test_the_layer_follows_a_failover(self, sentinel, open_redis):
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        layer, peer = open_redis(url), open_redis(url)
        assert works(layer)
        peer.group_add("group", "p!x")
        received = []
        with layer.listen(["p!"], lambda: take(layer, received)):
            peer.send_group("group", {"n": 1})
            until(lambda: received, what="the group message")
            sentinel.master.kill()
            until(lambda: works(peer), 30.0, "the new master is used")
            until(lambda: members_of(peer) == ["p!x"], what="the membership is there")

    def test_an_unknown_service_is_unavailable(self, sentinel, open_redis):
        layer = open_redis(f"redis+sentinel://127.0.0.1:{sentinel.port}/nobody")
        with pytest.raises(ChannelLayerUnavailable, match="nobody"):
            layer.send("a", {})


def take(layer, received):
    with contextlib.suppress(ChannelLayerUnavailable):
        received.extend(layer.receive_many(["p!"], 10))


def members_of(layer):
    try:
        return layer.group_channels("group")
    except ChannelLayerUnavailable:
        return None


@pytest.fixture
def cluster():
    """Two nodes with half of the slots each."""
    need_redis()
    options = ("cluster-enabled yes", "cluster-node-timeout 2000")
    with RedisServer(*options) as first, RedisServer(*options) as second:
        first.admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
        second.admin.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
        first.admin.execute_command("CLUSTER MEET", "127.0.0.1", second.port)
        for node in (first, second):
            until(lambda node=node: node.admin.cluster("INFO")["cluster_state"] == "ok")
        yield first, second


class TestCluster:
    def test_all_operations_work_across_slots(self, cluster, open_redis):
        url = f"redis+cluster://127.0.0.1:{cluster[0].port}"
        layer, peer = open_redis(url), open_redis(url)
        names = [f"c{number}" for number in range(12)]
        assert len({layer.inbox.queue(name).shard.name for name in names}) > 1
        for name in names:
            peer.send(name, {"n": name})
            peer.group_add("group", name)
        received = [layer.receive(names, True, 5.0) for _ in names]
        assert sorted(name for name, _ in received) == sorted(names)
        peer.group_add("group", "p!x")
        peer.send_group("group", {"n": 1})
        assert layer.receive(["p!"], True, 5.0) == ("p!x", {"n": 1})
        assert layer.global_statistics()["messages_count"] == 25
        layer.flush()
        assert layer.group_channels("group") == []

    @pytest.mark.skipif(
        "CLUSTER_MOVES" not in os.environ,
        reason="by hand, with CLUSTER_MOVES=1: two busy nodes may not agree on a slot for long",
    )
    def test_a_slot_that_moves_is_followed(self, cluster, open_redis):
        first, second = cluster
        layer, peer = (open_redis(f"redis+cluster://127.0.0.1:{first.port}") for _ in range(2))
        for name in ("a", "b", "c", "d", "e"):
            peer.send(name, {"n": 1})
            task = Task(layer.receive, ["waits"], True, 30.0)
            until(lambda: layer.inbox.queue("waits").shard.reader.blocked, what="it waits")
            for queue in (layer.inbox.queue(name), layer.inbox.queue("waits")):
                move(queue.keys.queue, first, second)
            peer.send(name, {"n": 2})
            peer.send("waits", {"n": 3})
            assert [each["n"] for _, each in layer.receive_many([name], 5)] == [1, 2]
            assert task.result(15) == ("waits", {"n": 3})


def move(key, first, second):
    """Move the slot of a key to the other node, keys and all."""
    slot = first.admin.execute_command("CLUSTER KEYSLOT", key)
    until(lambda: holds(first, slot) != holds(second, slot), what="the nodes agree on the slot")
    source, target = (first, second) if holds(first, slot) else (second, first)
    source_id = source.admin.execute_command("CLUSTER MYID")
    target_id = target.admin.execute_command("CLUSTER MYID")
    target.admin.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
    source.admin.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
    while keys := source.admin.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
        for each in keys:
            source.admin.execute_command("MIGRATE", "127.0.0.1", target.port, each, 0, 5000)
    for node in (target, source):
        node.admin.execute_command("CLUSTER SETSLOT", slot, "NODE", target_id)
    until(lambda: holds(target, slot) and not holds(source, slot), what="the slot has moved")


def holds(node, slot):
    """Whether a node serves a slot itself."""
    try:
        node.admin.execute_command("GET", key_in(slot))
    except client.ResponseError:
        return False  # MOVED, by whatever class this version of redis-py has for it
    return True


_keys = {}


def key_in(slot):
    """Return some key of a slot."""
    from redis.crc import key_slot

    number = 0
    while slot not in _keys:
        _keys.setdefault(key_slot(str(number).encode()), str(number))
        number += 1
    return _keys[slot]
