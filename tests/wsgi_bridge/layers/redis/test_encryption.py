"""Encrypted messages, rotation of keys, hashed names: what stands in Redis, and who can read it."""

import pytest

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.redis.codec import GROUP, MESSAGE, Codec, Undecodable


def content_of(server, prefix):
    """Return every key and value under a prefix, as one text."""
    found = []
    for key in server.raw.scan_iter(f"{{{prefix}}}*"):
        found.append(key)
        if server.raw.type(key) == b"list":
            found += server.raw.lrange(key, 0, -1)
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
    assert layer.undecodable_count == 2
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
