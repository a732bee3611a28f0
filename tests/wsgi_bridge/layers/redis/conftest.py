"""Servers shared by the tests that do not harm them, and layers on them."""

import contextlib
import itertools
import os

import pytest

from wsgi_bridge.layers import open_layer

from .servers import PROGRAMS, RedisServer, need_redis

_prefixes = itertools.count()


@pytest.fixture(scope="session")
def server_of():
    """Return a function that returns the one server of a kind."""
    servers = {}
    with contextlib.ExitStack() as stack:

        def find(kind):
            need_redis(kind)
            if kind not in servers:
                servers[kind] = stack.enter_context(RedisServer(kind=kind))
            return servers[kind]

        yield find


@pytest.fixture(scope="session")
def shared_server(server_of):
    return server_of("installed")


@pytest.fixture(scope="session", params=PROGRAMS)
def each_server(request, server_of):
    """A server of each kind in turn, for what must hold on all of them."""
    return server_of(request.param)


@pytest.fixture(scope="session")
def shared_shards(shared_server):
    with RedisServer() as second, RedisServer() as third:
        yield [shared_server, second, third]


@pytest.fixture
def server(request):
    """A server of the test's own, to be mistreated; of the kind that a parameter names."""
    kind = getattr(request, "param", "installed")
    need_redis(kind)
    with RedisServer(kind=kind) as server:
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
