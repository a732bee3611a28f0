"""Looking at a layer on Redis from outside: nothing is changed, whatever the looker lacks."""

import json

from wsgi_bridge.layers.conformance import ManualClock

KEYS = ["a secret"]


def test_who_looks_with_a_clock_ahead_drops_nothing(shared_server, open_redis):
    site = open_redis(shared_server.url, clock=ManualClock(1000.0))
    looker = open_redis(shared_server.url, clock=ManualClock(5000.0))
    site.send("a", {"n": 1})
    site.group_add("group", "a")
    assert looker.channel_statistics("a")["messages_pending"] == 0
    assert looker.global_statistics()["messages_expired_count"] == 1
    assert looker.statistics_by_channel()["a"]["messages_expired_count"] == 1
    assert looker.statistics_by_group()["group"]["members_count"] == 1
    assert site.receive(["a"]) == ("a", {"n": 1})
    assert site.global_statistics()["messages_expired_count"] == 0


def test_looking_writes_no_key(server, open_redis):
    site = open_redis(server.url)
    site.send("a", {})
    site.send("p!x", {})
    site.group_add("group", "a")
    looker = open_redis(server.url)
    before = {key: server.admin.dump(key) for key in server.admin.keys()}  # noqa: SIM118
    looker.global_statistics()
    looker.statistics_by_channel()
    looker.statistics_by_group()
    looker.describe()
    looker.close()
    assert {key: server.admin.dump(key) for key in server.admin.keys()} == before  # noqa: SIM118


def test_hashed_names_are_told_as_hashes(shared_server, open_redis):
    layer = open_redis(shared_server.url, symmetric_encryption_keys=KEYS, hash_names=True)
    layer.send("secret.name", {})
    layer.group_add("secret.group", "p!x")
    [channel], [group] = layer.statistics_by_channel(), layer.statistics_by_group()
    assert "secret" not in channel + group
    assert layer.describe()["hash_names"]
    assert layer.group_channels("secret.group") == ["p!x"]


def test_every_shard_is_asked(shared_shards, open_redis):
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in shared_shards)
    layer = open_redis(f"redis://{hosts}")
    names = {f"channel.{number}" for number in range(30)}
    for name in names:
        layer.send(name, {})
        layer.group_add(f"group.{name}", name)
    assert layer.statistics_by_channel().keys() == names
    assert len(layer.statistics_by_group()) == 30
    assert layer.describe()["servers"].keys() == {f"{host}/0" for host in hosts.split(",")}


def test_the_description_has_versions_and_processes_and_no_password(server, open_redis):
    version = server.admin.info("server")["redis_version"]
    server.admin.config_set("requirepass", "s3cret")
    url = f"redis://:s3cret@127.0.0.1:{server.port}"
    listening, looker = open_redis(url), open_redis(url)
    assert looker.describe()["processes"] == 0
    with listening.listen(["p!"], int):
        listening.receive(["p!"], True, 0.1)
        shard = listening._shards[0]
        shard.keeper._beat()
        facts = looker.describe()
    assert facts["processes"] == 1
    assert facts["servers"] == {f"127.0.0.1:{server.port}/0": f"Redis {version}"}
    assert "s3cret" not in json.dumps(facts)


def test_a_user_who_may_not_ask_for_the_version_does_without(server, open_redis):
    server.admin.execute_command(
        *("ACL", "SETUSER", "site", "on", "nopass", "~*", "+@all", "-info"),
    )
    layer = open_redis(f"redis://site:x@127.0.0.1:{server.port}")
    assert list(layer.describe()["servers"].values()) == ["unknown version"]


def test_a_prefix_stands_for_itself_when_keys_are_looked_for(shared_server, open_redis):
    layers = [open_redis(shared_server.url, prefix=name) for name in ("si[t]e*", "site", "site2")]
    for layer in layers:
        layer.send("a", {})
        layer.group_add("group", "a")
    first, *others = layers
    assert first.statistics_by_channel().keys() == {"a"}
    first.flush()
    assert first.statistics_by_channel() == first.statistics_by_group() == {}
    for layer in others:
        assert layer.statistics_by_channel()["a"]["messages_pending"] == 1
        assert layer.statistics_by_group().keys() == {"group"}
