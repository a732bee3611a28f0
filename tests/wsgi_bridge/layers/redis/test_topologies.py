"""Failover by Sentinel, and slots of a cluster that move; with real servers."""

import contextlib

import pytest

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


@pytest.fixture(scope="module")
def cluster():
    """Two nodes with half of the slots each."""
    need_redis()
    options = ("cluster-enabled yes", "cluster-node-timeout 2000")
    with RedisServer(*options) as first, RedisServer(*options) as second:
        for epoch, node in enumerate((first, second), 1):
            # Else both have 0, and settle at some later moment which of them is ahead.
            node.admin.execute_command("CLUSTER SET-CONFIG-EPOCH", epoch)
            node.id = node.admin.execute_command("CLUSTER MYID")
        first.admin.execute_command("CLUSTER ADDSLOTSRANGE", 0, 8191)
        second.admin.execute_command("CLUSTER ADDSLOTSRANGE", 8192, 16383)
        first.admin.execute_command("CLUSTER MEET", "127.0.0.1", second.port)
        for node in (first, second):
            until(lambda node=node: node.admin.cluster("INFO")["cluster_state"] == "ok")
        until(lambda: agree(first, second), what="the nodes know one another")
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

    def test_a_slot_that_moves_is_followed(self, cluster, open_redis):
        layer, peer = (open_redis(f"redis+cluster://127.0.0.1:{cluster[0].port}") for _ in range(2))
        for name in ("a", "b", "c", "d", "e"):
            peer.send(name, {"n": 1})
            task = Task(layer.receive, ["waits"], True, 30.0)
            until(lambda: layer.inbox.queue("waits").shard.reader.blocked, what="it waits")
            for queue in (layer.inbox.queue(name), layer.inbox.queue("waits")):
                with Move(queue.keys.queue, *cluster) as move:
                    move.keys()
            peer.send(name, {"n": 2})
            peer.send("waits", {"n": 3})
            assert [each["n"] for _, each in layer.receive_many([name], 5)] == [1, 2]
            assert task.result(15) == ("waits", {"n": 3})

    @pytest.mark.parametrize("number", range(3))
    def test_what_is_done_while_a_slot_moves_is_done_once(self, number, cluster, open_redis):
        """ASK and TRYAGAIN: keys are half here and half there, and scripts need all of them."""
        url = f"redis+cluster://127.0.0.1:{cluster[0].port}"
        layer, peer = open_redis(url), open_redis(url)
        name, member = f"a{number}", f"p{number}!x"
        queue = layer.inbox.queue(name)
        peer.send(name, {"n": 1})
        with Move(queue.keys.queue, *cluster) as move:
            move.keys([queue.keys.queue])
            refused = refusals(move.source)
            tasks = [Task(peer.send, name, {"n": n}) for n in (2, 3)]
            tasks.append(Task(layer.group_add, f"group{number}", member))
            taking = Task(layer.receive_many, [name], 9)
            until(lambda: refusals(move.source) > refused, what="a node has refused")
            move.keys()
        for task in tasks:
            task.result(15)
        received = taking.result(15) + layer.receive_many([name], 9)
        assert sorted(message["n"] for _, message in received) == [1, 2, 3]
        peer.send_group(f"group{number}", {"n": 4})
        assert layer.receive([f"p{number}!"], True, 5.0) == (member, {"n": 4})


class Move:
    """Moves the slot of a key to the other node as `redis-cli --cluster reshard` does.

    The target has to know the latest configuration epoch of the source, so that its own will be
    later: else a claim of the source that was under way when the target took the slot takes it
    back, and each node thinks for good that the other one has it.
    """

    def __init__(self, key, first, second):
        self.slot = first.admin.execute_command("CLUSTER KEYSLOT", key)
        until(lambda: agree(first, second), what="the nodes agree on their epochs and slots")
        is_first = owner_of(self.slot, first) == first.id
        self.source, self.target = (first, second) if is_first else (second, first)

    def __enter__(self):
        self.tell(self.target, "IMPORTING", self.source.id)
        self.tell(self.source, "MIGRATING", self.target.id)
        return self

    def tell(self, node, *words):
        node.admin.execute_command("CLUSTER SETSLOT", self.slot, *words)

    def keys(self, keys=()):
        """Move some keys, or all of them."""
        while found := keys or self.source.admin.execute_command(
            "CLUSTER GETKEYSINSLOT", self.slot, 100
        ):
            for key in found:
                self.source.admin.execute_command(
                    "MIGRATE", "127.0.0.1", self.target.port, key, 0, 5000
                )
            if keys:
                return

    def __exit__(self, *exc_info):
        for node in (self.target, self.source):
            self.tell(node, "NODE", self.target.id)
        until(lambda: agree(self.source, self.target), what="the slot has moved")
        assert owner_of(self.slot, self.source) == self.target.id


def refusals(node):
    """How many commands a node has refused since their keys are elsewhere, or not all there."""
    stats = node.admin.info("errorstats")
    return sum(
        stats.get(f"errorstat_{code}", {"count": 0})["count"] for code in ("ASK", "TRYAGAIN")
    )


def agree(first, second):
    """Whether two nodes see the same epochs, no two alike, and the same slots."""
    views = [view_of(node) for node in (first, second)]
    return views[0] == views[1] and len(views[0]) == 2 == len(
        {each[0] for each in views[0].values()}
    )


def view_of(node):
    """Return the epoch and slots of each node, as one of them sees them."""
    nodes = node.admin.cluster("NODES").values()
    return {each["node_id"]: (each["epoch"], each["slots"]) for each in nodes}


def owner_of(slot, node):
    """Return which node has a slot, as one of them sees it."""
    for name, (_, ranges) in view_of(node).items():
        if any(int(each[0]) <= slot <= int(each[-1]) for each in ranges):
            return name
    return None
