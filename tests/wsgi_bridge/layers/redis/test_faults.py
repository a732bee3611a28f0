"""What the layer does when Redis dies, restarts empty, refuses, or hangs up; on real servers."""

import contextlib
import time

import pytest
import redis as client

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.conformance.support import ManualClock, Task

from .servers import PROGRAMS, RedisServer, until

PATIENCE = 10.0

on_each_kind = pytest.mark.parametrize("server", PROGRAMS, indirect=True)


def works(layer, channel="probe"):
    """Whether a message goes through."""
    try:
        layer.send(channel, {"n": 1})
        return layer.receive([channel], True, 1.0)[1] == {"n": 1}
    except ChannelLayerUnavailable:
        return False


def kill_clients(server):
    for each in server.admin.client_list():
        if "cmd=client" not in " ".join(f"{key}={value}" for key, value in each.items()):
            try:
                server.admin.client_kill(each["addr"])
            except client.ResponseError:
                continue  # gone by itself


@on_each_kind
class TestBackendGone:
    def test_every_operation_fails_at_once(self, server, open_redis):
        layer = open_redis(server.url)
        assert works(layer)
        server.kill()
        for call in (
            lambda: layer.send("a", {}),
            lambda: layer.receive(["a"]),
            lambda: layer.receive(["a"], True, 30.0),
            lambda: layer.group_add("group", "a"),
            lambda: layer.send_group("group", {}),
            lambda: layer.global_statistics(),
        ):
            started = time.monotonic()
            with pytest.raises(ChannelLayerUnavailable):
                call()
            assert time.monotonic() - started < 1.0

    def test_who_waits_in_a_receive_is_told(self, server, open_redis):
        layer = open_redis(server.url)
        task = Task(layer.receive, ["a"], True, 60.0)
        until(lambda: layer.inbox.queue("a").shard.reader.blocked, what="the reader waits")
        server.kill()
        with pytest.raises(ChannelLayerUnavailable):
            task.result(PATIENCE)

    def test_a_server_that_hangs_costs_its_timeout_once(self, server, open_redis):
        layer = open_redis(server.url, timeout=0.3)
        assert works(layer)
        server.pause()
        try:
            with pytest.raises(ChannelLayerUnavailable):
                layer.send("a", {})
            started = time.monotonic()
            with pytest.raises(ChannelLayerUnavailable):
                layer.send("a", {})
            assert time.monotonic() - started < 1.0
        finally:
            server.resume()
        until(lambda: works(layer), what="the layer works again")

    def test_the_attempts_to_connect_grow_apart(self, server, open_redis, monkeypatch):
        layer = open_redis(server.url)
        assert works(layer)
        shard = layer._shards[0]
        attempts = []
        connect = shard.place.connect
        monkeypatch.setattr(
            shard.place,
            "connect",
            lambda timeout: attempts.append(time.monotonic()) or connect(timeout),
        )
        server.kill()
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            with pytest.raises(ChannelLayerUnavailable):
                layer.send("a", {})
            time.sleep(0.005)
        assert 3 <= len(attempts) <= 40, f"{len(attempts)} attempts"

    def test_the_layer_comes_back_with_the_server(self, server, open_redis):
        layer = open_redis(server.url)
        assert works(layer)
        server.kill()
        with pytest.raises(ChannelLayerUnavailable):
            layer.send("a", {})
        server.start()
        until(lambda: works(layer), what="the layer works again")

    def test_what_was_taken_before_is_received(self, server, open_redis, monkeypatch):
        layer = open_redis(server.url)
        for number in range(3):
            layer.send("a", {"n": number})
        fetch = layer._fetch

        def fetch_and_kill(*arguments):
            try:
                return fetch(*arguments)
            finally:
                server.kill()

        monkeypatch.setattr(layer, "_fetch", fetch_and_kill)
        assert [message["n"] for _, message in layer.receive_many(["a"], 10)] == [0, 1, 2]
        with pytest.raises(ChannelLayerUnavailable):
            layer.receive_many(["a"], 10)

    def test_what_expired_meanwhile_does_not_cost_the_rest(self, server, open_redis, monkeypatch):
        clock = ManualClock()
        layer = open_redis(server.url, clock=clock, expiry=10.0)
        layer.send("a", {"n": 0})
        clock.advance(5.0)
        layer.send("a", {"n": 1})
        clock.advance(5.0)

        def settle_too_late(expired):
            raise ChannelLayerUnavailable("Redis cannot be reached")

        monkeypatch.setattr(layer, "_settle", settle_too_late)
        assert [message["n"] for _, message in layer.receive_many(["a"], 10)] == [1]


@on_each_kind
class TestRestartedEmpty:
    def test_memberships_are_announced_again(self, server, open_redis):
        owner, sender = open_redis(server.url), open_redis(server.url)
        received = []
        with owner.listen(["p!"], lambda: take(owner, received)):
            for name in ("p!x", "p!y"):
                sender.group_add("group", name)
            sender.group_add("group", "jobs")
            sender.send_group("group", {"n": 1})
            until(lambda: len(received) == 2, what="both members have it")
            sender.send("p!x", {"n": 2})
            server.restart()
            members = ["jobs", "p!x", "p!y"]
            until(lambda: members_of(sender) == members, what="the memberships are back")
            received.clear()
            until(lambda: goes_through(sender), what="a group message is sent")
            until(lambda: len(received) >= 2, what="both members have it")
        assert sorted(name for name, _ in received[:2]) == ["p!x", "p!y"]

    def test_adds_after_the_restart_are_seen(self, server, open_redis):
        owner, sender = open_redis(server.url), open_redis(server.url)
        received = []
        with owner.listen(["p!"], lambda: take(owner, received)):
            sender.group_add("group", "p!x")
            sender.send_group("group", {"n": 1})
            until(lambda: len(received) == 1)
            server.restart()
            until(lambda: members_of(owner) == ["p!x"], what="the membership is back")
            until(lambda: members_of(sender) == ["p!x"])
            sender.group_add("group", "p!new")
            received.clear()
            sender.send_group("group", {"n": 2})
            until(lambda: len(received) == 2, what="old and new have it")

    def test_an_add_is_known_at_once_to_the_process_that_reads(self, server, open_redis):
        """Though neither a message comes by, nor the process that added it lives on."""
        owner, adder = open_redis(server.url), open_redis(server.url)
        owner._shards[0].keeper._sweep_at = float("inf")
        with owner.listen(["p!"], lambda: None):
            adder.group_add("group", "p!x")
            version = float(server.admin.get(owner.inbox.queue("p!").keys.version))
            until(lambda: owner._memberships.known("p!") == version, what="it has heard of it")
            adder.is_closed = True  # and does not resign, as one that is killed
            server.restart()
            until(lambda: members_of(owner) == ["p!x"], what="the membership is back")

    def test_the_scripts_are_loaded_again(self, server, open_redis):
        layer = open_redis(server.url)
        assert works(layer)
        server.admin.script_flush()
        layer.send("a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})


def take(layer, received):
    # A wake does not raise, and is called when the backend goes and comes.
    with contextlib.suppress(ChannelLayerUnavailable):
        received.extend(layer.receive_many(["p!"], 100))


def members_of(layer):
    try:
        return sorted(layer.group_channels("group"))
    except ChannelLayerUnavailable:
        return None


def goes_through(layer):
    try:
        layer.send_group("group", {"n": 3})
    except ChannelLayerUnavailable:
        return False
    return True


@on_each_kind
class TestHungUp:
    def test_a_send_over_a_connection_that_was_killed_is_made_on_a_new_one(
        self, server, open_redis
    ):
        layer = open_redis(server.url)
        assert works(layer)
        for number in range(5):
            kill_clients(server)
            layer.send("a", {"n": number})
        assert len(layer.receive_many(["a"], 10)) == 5

    def test_members_are_known_though_the_connection_was_killed(self, server, open_redis):
        owner, sender = open_redis(server.url), open_redis(server.url)
        for number in range(5):
            sender.group_add("group", f"p!{number}")
            sender.send_group("group", {"n": number})
            kill_clients(server)
            received = owner.receive_many(["p!"], 100)
            assert len(received) == number + 1

    def test_a_receive_goes_on_after_its_connection_was_killed(self, server, open_redis):
        layer, peer = open_redis(server.url), open_redis(server.url)
        task = Task(layer.receive, ["a"], True, 60.0)
        until(lambda: layer.inbox.queue("a").shard.reader.blocked, what="the reader waits")
        kill_clients(server)
        peer.send("a", {"n": 1})
        assert task.result(PATIENCE) == ("a", {"n": 1})


@on_each_kind
class TestRefused:
    def test_an_out_of_memory_redis_is_full_and_can_be_emptied(self, server, open_redis):
        layer = open_redis(server.url, capacity=100_000)
        for number in range(10):
            layer.send("a", {"n": number})
        used = server.admin.info("memory")["used_memory"]
        server.admin.config_set("maxmemory", used // 2)
        with pytest.raises(ChannelFull):
            layer.send("a", {"n": 10})
        with pytest.raises(ChannelLayerUnavailable, match="OutOfMemory"):
            layer.group_add("group", "a")
        assert len(layer.receive_many(["a"], 100)) == 10
        server.admin.config_set("maxmemory", 0)
        assert works(layer)

    def test_a_replica_is_no_backend_until_it_is_promoted(self, server, open_redis):
        layer = open_redis(server.url)
        assert works(layer)
        with RedisServer(kind=server.kind) as master:
            server.admin.replicaof("127.0.0.1", master.port)
            with pytest.raises(ChannelLayerUnavailable):
                layer.send("a", {})
            server.admin.replicaof("NO", "ONE")
            until(lambda: works(layer), what="the layer works again")

    def test_what_cannot_be_decoded_is_dropped_and_counted(self, server, open_redis, caplog):
        layer = open_redis(server.url)
        layer.send("a", {"n": 1})
        key = layer.inbox.queue("a").keys.queue
        raw = client.Redis(port=server.port)
        for junk in (b"", b"junk", b"m" + b"\x41\xff" + bytes(6) + b"\xc1", b"z" + b"\x7e" * 30):
            raw.rpush(key, junk)
        raw.close()
        layer.send("a", {"n": 2})
        received = layer.receive_many(["a"], 10)
        assert [message["n"] for _, message in received] == [1, 2]
        assert layer.channel_statistics("a")["messages_undecodable_count"] == 4
        assert len([each for each in caplog.records if "decoded" in each.getMessage()]) == 1
        assert works(layer)

    def test_junk_does_not_stop_the_reader(self, server, open_redis):
        layer, peer = open_redis(server.url), open_redis(server.url)
        task = Task(layer.receive, ["a"], True, 60.0)
        until(lambda: layer.inbox.queue("a").shard.reader.blocked, what="the reader waits")
        server.admin.rpush(layer.inbox.queue("a").keys.queue, "junk")
        peer.send("a", {"n": 1})
        assert task.result(PATIENCE) == ("a", {"n": 1})


class TestPassword:
    def test_the_password_of_the_url_is_used_and_not_shown(self, open_redis):
        with RedisServer("requirepass s3cret") as server:
            assert works(open_redis(f"redis://:s3cret@127.0.0.1:{server.port}/2"))
            wrong = open_redis(f"redis://:wr0ng@127.0.0.1:{server.port}")
            with pytest.raises(ChannelLayerUnavailable) as caught:
                wrong.send("a", {})
            assert "wr0ng" not in str(caught.value)

    def test_a_user_needs_no_more_than_the_documentation_says(self, server, open_redis):
        kinds = ["@connection", "@list", "@hash", "@set", "@sortedset", "@string"]
        names = ["evalsha", "script|load", "time", "exists", "del", "pexpire", "scan", "unlink"]
        rules = [
            "on",
            ">pw",
            "resetkeys",
            "~{site}:*",
            "-@all",
            *(f"+{each}" for each in kinds + names),
        ]
        server.admin.execute_command("ACL SETUSER", "site", *rules)
        layer = open_redis(f"redis://site:pw@127.0.0.1:{server.port}", prefix="site")
        with layer.listen(["p!"], lambda: None):
            assert works(layer)
            layer.group_add("group", "p!x")
            layer.send_group("group", {"n": 1})
            assert layer.receive(["p!"], True, 5.0) == ("p!x", {"n": 1})
            layer.forget_channel("p!x")
        assert layer.global_statistics()["messages_count"] == 2
        layer._shards[0].keeper._sweep_at = 0.0
        layer._shards[0].keeper._beat()
        layer.flush()
        layer.close()
        assert server.admin.acl_log() == []

    def test_a_unix_socket(self, open_redis, tmp_path):
        path = tmp_path / "redis.sock"
        with RedisServer(f"unixsocket {path}"):
            assert works(open_redis(f"redis+unix://{path}"))
