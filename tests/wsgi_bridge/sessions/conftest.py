"""Layers of every kind for sessions."""

from __future__ import annotations

import contextlib

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from tests.wsgi_bridge.worker_loop import Clock
from wsgi_bridge import open_layer

from .rig import READER


@pytest.fixture(scope="module")
def redis_url():
    need_redis()
    with RedisServer() as server:
        yield server.url


@pytest.fixture(params=["memory", "ipc", "redis"])
def layer(request, tmp_path):
    """Each kind of layer, by a clock of the test's own."""
    url = "memory://"
    if request.param == "ipc":
        url = f"ipc://{tmp_path}/layer"
    elif request.param == "redis":
        url = request.getfixturevalue("redis_url")
    with contextlib.closing(open_layer(url, clock=Clock())) as layer:
        layer.flush()
        layer.receive_many([READER])
        yield layer


@pytest.fixture
def memory():
    layer = open_layer("memory://", clock=Clock())
    layer.receive_many([READER])
    return layer
