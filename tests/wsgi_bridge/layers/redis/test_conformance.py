"""The contract, on one server of each kind and on several, plain and encrypted."""

import itertools
import os
from typing import ClassVar

import pytest

from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.conformance import LayerConformance

from .servers import until

_prefixes = itertools.count()


class RedisConformance(LayerConformance):
    """Layers with a prefix of their own; the peer is another connection, as another process."""

    options: ClassVar = {}

    def make_layer(self, **options):
        self.arguments = {**options, **self.options, "prefix": f"c{os.getpid()}.{next(_prefixes)}"}
        return self.open_one()

    def make_peer(self, layer):
        return self.open_one()

    def open_one(self):
        return open_layer(self.url, **self.arguments)


class OneServer(RedisConformance):
    kind = "installed"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_is_up(cls, server_of):
        cls.url = server_of(cls.kind).url


class TestOneServer(OneServer):
    pass


class TestRedis62(OneServer):
    kind = "redis-6.2"

    def test_batches_are_taken_without_blmpop(self, server_of):
        before = server_of(self.kind).commands()
        with self.make_peer(self.layer).listen(["a"], lambda: None):
            self.layer.send("a", {"n": 1})
            until(lambda: self.layer.global_statistics()["messages_pending"] == 0)
        after = server_of(self.kind).commands()
        assert after["blpop"] > before.get("blpop", 0)
        assert "blmpop" not in after


class TestValkey(OneServer):
    kind = "valkey"


class TestShards(RedisConformance):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def servers_are_up(cls, shared_shards):
        cls.url = "redis://" + ",".join(f"127.0.0.1:{each.port}" for each in shared_shards)


class TestEncrypted(RedisConformance):
    options: ClassVar = {"symmetric_encryption_keys": ["a secret"], "hash_names": True}
    names_are_told = False

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def servers_are_up(cls, shared_shards):
        cls.url = "redis://" + ",".join(f"127.0.0.1:{each.port}" for each in shared_shards[:2])
