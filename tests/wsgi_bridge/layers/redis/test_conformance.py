"""The contract, on one server and on several, plain and encrypted, by BLMPOP and by BLPOP."""

import itertools
import os
from typing import ClassVar

import pytest

from wsgi_bridge.layers import open_layer
from wsgi_bridge.layers.conformance import LayerConformance

_prefixes = itertools.count()


class RedisConformance(LayerConformance):
    """Layers with a prefix of their own; the peer is another connection, as another process."""

    options: ClassVar = {}
    switches = 6  # the receive asks, listens, asks again

    def make_layer(self, **options):
        self.arguments = {**options, **self.options, "prefix": f"c{os.getpid()}.{next(_prefixes)}"}
        return self.open_one()

    def make_peer(self, layer):
        return self.open_one()

    def open_one(self):
        return open_layer(self.url, **self.arguments)


class TestOneServer(RedisConformance):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_is_up(cls, shared_server):
        cls.url = shared_server.url


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


class TestServerWithoutBlmpop(RedisConformance):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_is_up(cls, shared_server):
        cls.url = shared_server.url

    def open_one(self):
        layer = super().open_one()
        for shard in layer._shards:
            shard.reader._has_blmpop = False
        return layer
