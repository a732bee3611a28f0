"""Encrypted messages, rotation of keys, hashed names: what stands in Redis, and who can read it."""

import pytest

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.redis.codec import GROUP, MESSAGE, Codec, Undecodable
from wsgi_bridge.names import reader_of

from .servers import until

READ = {
    b"string": lambda raw, key: [raw.get(key)],
    b"list": lambda raw, key: raw.lrange(key, 0, -1),
    b"hash": lambda raw, key: [each for pair in raw.hgetall(key).items() for each in pair],
    b"set": lambda raw, key: raw.smembers(key),
    b"zset": lambda raw, key: [name for name, _ in raw.zrange(key, 0, -1, withscores=True)],
}


def content_of(server, prefix):
    """Return every key and value under a prefix, as one text."""
    found = []
    for key in server.raw.scan_iter(f"{{{prefix}}}*"):
        kind = server.raw.type(key)
        if kind != b"none":
            found += [key, *READ[kind](server.raw, key)]
    return b" ".join(found)


@pytest.fixture
def raw_server(shared_server):
    import redis

    shared_server.raw = redis.Redis(port=shared_server.port)
    yield shared_server
    shared_server.raw.close()


def test_messages_are_not_legible_in_redis(raw_server, open_redis):
    plain = open_redis(raw_server.url, prefix="plain")
    plain.send("payroll", {"text": "confidential"})
    assert b"confidential" in content_of(raw_server, "plain")
    layer = open_redis(raw_server.url, prefix="sealed", symmetric_encryption_keys=["k"])
    layer.send("payroll", {"text": "confidential"})
    content = content_of(raw_server, "sealed")
    assert b"confidential" not in content
    assert b"payroll" in content
    assert layer.receive(["payroll"]) == ("payroll", {"text": "confidential"})


def test_names_can_be_hidden_in_keys(raw_server, open_redis):
    options = {"symmetric_encryption_keys": ["k"], "hash_names": True}
    layer = open_redis(raw_server.url, prefix="hashed", **options)
    layer.send("payroll", {"text": "confidential"})
    layer.send("payroll!x", {})
    assert b"payroll" not in content_of(raw_server, "hashed")
    assert layer.receive(["payroll"])[0] == "payroll"


#: Of all that the sentences below name, no part may be found.
SECRET = b"payroll", b"server", b"socket", b"body", b"staff", b"tenant", b"confidential"


def use_everything(worker, server):
    """Leave something of each kind in Redis: requests, sockets, groups, claims, counts."""
    body = worker.new_channel("body?")
    for channel in ("payroll", "server!socket1", "server!socket2", body):
        worker.send(channel, {"text": "confidential"})
    for channel in ("payroll", "server!socket1", "server!socket2", "other.server!socket3", body):
        for group in ("staff", "tenant.7"):
            worker.group_add(group, channel)
    worker.group_discard("tenant.7", "server!socket2")
    worker.forget_channel("other.server!socket3")
    worker.send_group("staff", {"text": "confidential"})
    for number in range(20):
        worker.group_add("presence.staff", f"server!socket{number}")
    server.group_add("staff", "server!socket2")


@pytest.mark.parametrize("hide", [True, False])
def test_nothing_that_can_be_read_is_in_redis(hide, raw_server, open_redis):
    prefix = f"hidden{hide}"
    options = {"prefix": prefix, "symmetric_encryption_keys": ["new", "k"], "hash_names": hide}
    worker, server = (open_redis(raw_server.url, **options) for _ in range(2))
    with server.listen(["server!"], lambda: None):
        owners = server._shards[0].keys.owners
        until(lambda: raw_server.raw.hlen(owners), what="the reader is claimed")
        before = content_of(raw_server, prefix)
        use_everything(worker, server)
        content = before + content_of(raw_server, prefix)
        for kind in (
            b"members:",
            b"readers:",
            b"memberships:",
            b"belongs:",
            b"changes:",
            b"queue:",
        ):
            assert kind in content
        assert worker.global_statistics()["messages_count"] >= 4
    readable = [each for each in SECRET if each in content]
    assert readable == ([] if hide else [each for each in SECRET if each != b"confidential"])
    assert "server!socket1" in worker.group_channels("staff")


def test_hidden_names_are_read_back():
    codec = Codec(["k"], hash_names=True)
    for name in ("a", "p!", "p!x", "body?Kx3", "n" * 99):
        token = codec.token(name)
        assert codec.token(name) == token
        assert codec.name_of(token.encode()) == name
        assert codec.token(reader_of(name)) == reader_of(token)
        assert name not in codec.hashed(name)
    assert len(codec.token("a")) == len(codec.token("b" * 16))


@pytest.mark.parametrize("token", [b"a", b"!!", b"\xff", b"=", b"YWJj", b"p!x"])
def test_any_other_token_is_no_name(token):
    with pytest.raises(Undecodable):
        Codec(["k"], hash_names=True).name_of(token)


def test_hidden_names_need_a_secret():
    with pytest.raises(InvalidLayerURL, match="symmetric_encryption_keys"):
        open_layer("redis://localhost?hash_names=1")


def test_a_key_is_rotated_without_losing_messages(raw_server, open_redis):
    def layer(*keys):
        return open_redis(raw_server.url, symmetric_encryption_keys=keys)

    layer("old").send("a", {"n": 1})
    both = layer("new", "old")
    both.send("a", {"n": 2})
    assert both.receive(["a"]) == ("a", {"n": 1})
    assert layer("new").receive(["a"]) == ("a", {"n": 2})


def test_what_cannot_be_decrypted_is_dropped_and_counted(raw_server, open_redis, caplog):
    open_redis(raw_server.url, symmetric_encryption_keys=["other"]).send("a", {"n": 1})
    open_redis(raw_server.url).send("a", {"n": 2})
    layer = open_redis(raw_server.url, symmetric_encryption_keys=["mine"])
    layer.send("a", {"n": 3})
    assert layer.receive_many(["a"], 10) == [("a", {"n": 3})]
    for process in (layer, open_redis(raw_server.url)):
        assert process.channel_statistics("a")["messages_undecodable_count"] == 2
        assert process.global_statistics()["messages_undecodable_count"] == 2
    assert len([each for each in caplog.records if "decoded" in each.getMessage()]) == 1


@pytest.mark.parametrize("keys", [(), ("k",)])
def test_an_entry_arrives_as_it_was(keys):
    codec = Codec(keys)
    data = codec.encode(12.5, "p!x", {"text": "é", "bytes": b"\xff"})
    assert data[:1] == MESSAGE
    entry = codec.decode(data)
    assert (entry.deadline, entry.name) == (12.5, "p!x")
    assert entry.message == {"text": "é", "bytes": b"\xff"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"m",
        b"m" + bytes(8),
        b"m" + bytes(8) + b"\xc1",
        Codec().head(MESSAGE, 1.0) + Codec().seal("name"),
        Codec().head(MESSAGE, 1.0) + Codec().seal(1, {}),
        Codec().head(MESSAGE, 1.0) + Codec().seal("name", []),
        Codec().head(b"x", 1.0) + Codec().seal("name", {}),
        Codec().head(GROUP, 1.0) + b"short",
    ],
)
def test_anything_else_is_no_entry(data):
    with pytest.raises(Undecodable):
        Codec().decode(data)
