"""A server shared by the tests that do not harm it, and layers on it."""

import itertools
import os

import pytest

from wsgi_bridge.layers import open_layer

from .servers import RedisServer, need_redis

_prefixes = itertools.count()


@pytest.fixture(scope="session")
def shared_server():
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared_shards(shared_server):
    with RedisServer() as second, RedisServer() as third:
        yield [shared_server, second, third]


@pytest.fixture
def server():
    """A server of the test's own, to be mistreated."""
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def open_redis():
    """Return a function that opens a layer at a URL, under a prefix of the test's own."""
    opened = []
    prefix = f"t{os.getpid()}.{next(_prefixes)}"

    def open_one(url, **options):
        layer = open_layer(url, **{"prefix": prefix, "timeout": 2.0, **options})
        opened.append(layer)
        return layer

    yield open_one
    for layer in opened:
        layer.close()
