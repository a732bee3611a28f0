import shutil
import tempfile

import pytest

from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from tests.wsgi_bridge.testing.sites import make_site
from wsgi_bridge.testing import Client


@pytest.fixture(scope="session")
def redis_url():
    need_redis()
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def ipc_url():
    folder = tempfile.mkdtemp()
    yield f"ipc://{folder}/layer"
    shutil.rmtree(folder)


@pytest.fixture(params=["memory", "ipc", "redis"])
def layer_url(request):
    """Every kind of layer."""
    if request.param == "memory":
        return "memory://"
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def site():
    return make_site()


@pytest.fixture
def client(site):
    with Client(site[0]) as client:
        yield client
