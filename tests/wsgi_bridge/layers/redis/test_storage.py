"""The storage of the layer on Redis beyond the contract: killed processes, faults, secrets."""

import pytest

from tests.wsgi_bridge.layers.storage_processes import StorageProcesses, receive, until
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.redis.keeper import LIFE
from wsgi_bridge.layers.redis.scripts import SCRIPTS


class TestProcesses(StorageProcesses):
    @pytest.fixture
    def url(self, server):
        return server.url


class TestProcessesOnShards(StorageProcesses):
    @pytest.fixture
    def url(self, shared_shards):
        for server in shared_shards:
            server.admin.flushall()
        return "redis://" + ",".join(f"127.0.0.1:{each.port}" for each in shared_shards)


def test_nothing_of_the_storage_is_legible_in_redis(server, open_redis):
    import redis

    options = {"symmetric_encryption_keys": ["k"], "hash_names": True}
    layer = open_redis(server.url, **options)
    storage = layer.storage
    storage.save("secret key", {"secret": "secret"}, ttl=60, owner="secret!x")
    storage.schedule("secret", {"secret": 1}, 0.0, key="secret")
    storage.append("secret log", {"secret": 1}, keep=10, ttl=60)
    storage.send_group("secret", {"secret": 1}, keep=10, ttl=60)
    storage.group_add("secret", "secret!x", {"secret": 1})
    with layer.listen(["secret!"], int):
        storage.set_will("secret!x", [("secret", {"secret": 1})])
        raw = redis.Redis(port=server.port)
        dumped = b"".join(key + (raw.dump(key) or b"") for key in raw.scan_iter())
        raw.close()
    assert b"secret" not in dumped
    assert storage.load("secret key").value == {"secret": "secret"}


def test_wills_are_told_again_when_redis_has_lost_them(server, open_redis):
    layer = open_redis(server.url)
    other = open_redis(server.url)
    with layer.listen(["here!"], int), other.listen(["there!"], int):
        layer.storage.set_will("here!x", [("gone", {"n": 1})])
        processes = layer._shards[0].keys.processes
        until(lambda: server.admin.zcard(processes) == 2)
        server.restart()
        until(lambda: any("wills" in key for key in server.admin.scan_iter()))
        until(lambda: not any(each._shards[0].health.is_down for each in (layer, other)))
    layer.close()
    assert receive(other, "gone", 1, LIFE + 10) == [{"n": 1}]


def test_they_are_told_again_though_no_heartbeat_was_ever_answered(server, open_redis):
    layer = open_redis(server.url)
    [shard] = layer._shards
    call = shard.pipe.call
    lost = []

    def lose_the_first_heartbeat(commands):
        replies = call(commands)
        if not lost and any(each.script is SCRIPTS.beat for each in commands):
            lost.append(True)
            server.admin.flushall()
            raise ChannelLayerUnavailable("the reply is lost, and Redis empty")
        return replies

    shard.pipe.call = lose_the_first_heartbeat
    layer.storage.set_will("here!x", [("gone", {})])
    with layer.listen(["here!"], int):
        until(lambda: lost)
        until(lambda: any("wills" in key for key in server.admin.scan_iter()))


def test_undecodable_state_is_dropped_and_no_error(server, open_redis):
    old = open_redis(server.url, symmetric_encryption_keys=["old"])
    new = open_redis(server.url, symmetric_encryption_keys=["new"])
    old.storage.save("key", {}, ttl=60)
    old.storage.schedule("a", {}, 0.0)
    place = old.storage.append("log", {}, keep=10, ttl=60)
    old.storage.group_add("group", "a", {})
    assert new.storage.load("key").value is None
    assert new.storage.release_due() == (0, None)
    assert new.storage.read("log", place.epoch).messages is None
    assert new.storage.group_members("group") == {"a": None}


def test_state_of_another_shape_is_dropped_and_no_error(server, open_redis):
    layer = open_redis(server.url)
    sealed = layer._codec.seal
    layer._codec.seal = lambda *content: sealed(*content, "more")
    layer.storage.save("key", {}, ttl=60)
    layer.storage.schedule("a", {}, 0.0)
    place = layer.storage.append("log", {}, keep=10, ttl=60)
    assert layer.storage.load("key").value is None
    assert layer.storage.release_due() == (0, None)
    assert layer.storage.read("log", place.epoch).messages is None


def test_each_operation_is_a_round_trip_or_two(server, open_redis):
    layer = open_redis(server.url)
    storage = layer.storage
    trips = []
    [shard] = layer._shards
    call = shard.pipe.call

    def counted(commands):
        trips.append(len(commands))
        return call(commands)

    shard.pipe.call = counted
    layer.group_add("group", "a")
    for expected, operation in (
        (1, lambda: storage.load("key")),
        (1, lambda: storage.save("key", {}, ttl=60)),
        (1, lambda: storage.save("key", {}, ttl=60, owner="p!x")),
        (1, lambda: storage.schedule("a", {}, 0.0)),
        (2, lambda: storage.release_due()),
        (1, lambda: storage.release_due()),
        (1, lambda: storage.append("log", {}, keep=10, ttl=60)),
        (1, lambda: storage.read("log", "e")),
        (3, lambda: storage.send_group("group", {}, keep=10, ttl=60)),
        (1, lambda: storage.group_add("group", "b", {})),
        (1, lambda: storage.set_will("p!x", [("a", {})])),
        (1, lambda: storage.clear_will("p!x")),
        (1, lambda: layer.forget_channel("p!y")),
        (2, lambda: layer.forget_channel("p!x")),
    ):
        trips.clear()
        operation()
        assert len(trips) == expected, operation.__code__.co_names
