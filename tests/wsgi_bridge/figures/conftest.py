"""Layers that several processes would open."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import open_layer


@pytest.fixture(scope="module")
def redis_server():
    need_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["ipc", "redis"])
def new_layer(request, tmp_path):
    """Return a function that opens one layer as another process would."""
    if request.param == "ipc":
        url = f"ipc://{tmp_path}/layer"
    else:
        server = request.getfixturevalue("redis_server")
        url = f"redis://127.0.0.1:{server.port}?prefix={tmp_path.name}"
    opened = []

    def new_layer(**options):
        opened.append(open_layer(url, **options))
        return opened[-1]

    yield new_layer
    for layer in opened:
        layer.close()
