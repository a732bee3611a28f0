"""Where a shard is, and how to connect to it: three kinds with one interface.

    Server    one address: TCP, TLS or a Unix socket
    Sentinel  the master of a service, asked for at each connection
    Cluster   the node that holds the slot of the shard's keys

redis-py speaks to the sentinels and reads the map of the cluster.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from redis import cluster as redis_cluster
from redis import connection as redis_connection
from redis import sentinel as redis_sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

from wsgi_bridge.layers.redis.connection import Link, LinkLost

__all__ = ["Cluster", "ClusterShard", "Place", "Sentinel", "Server", "Unix"]

# Whether redis-py has types for these depends on its version.
_cluster: Any = redis_cluster
_connection: Any = redis_connection
_sentinel: Any = redis_sentinel

#: Seconds to wait for a connection. A machine that is gone does not refuse.
CONNECT_TIMEOUT = 2.0

Address = tuple[str, int]


class Place(Protocol):
    """Where a shard is. `name` tells it from other shards, wherever it stands in a URL."""

    name: str

    def connect(self, timeout: float) -> Link:
        """Return a new connection that waits `timeout` seconds for a reply. Raises LinkLost."""

    def locate(self) -> None:
        """Look for it again: Redis said that it is elsewhere. Raises LinkLost."""


class Server:
    """One Redis at an address. `options` are those of a redis-py connection."""

    def __init__(self, address: Address, options: dict[str, Any]) -> None:
        host, port = self._address = address
        self._options = options
        self.name = f"{host}:{port}/{options.get('db', 0)}"

    def connect(self, timeout: float) -> Link:
        """Connect; see Place."""
        host, port = self._address
        return _dial(self._options, timeout, host=host, port=port)

    def locate(self) -> None:
        """It has one address."""


class Unix:
    """One Redis at a Unix socket."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._path = path
        self._options = options
        self.name = f"{path}/{options.get('db', 0)}"

    def connect(self, timeout: float) -> Link:
        """Connect; see Place."""
        basics = _basics(self._options, timeout)
        return Link(_connection.UnixDomainSocketConnection(path=self._path, **basics))

    def locate(self) -> None:
        """It has one address."""


class Sentinel:
    """The master of a service, as its sentinels see it."""

    def __init__(
        self, sentinels: list[Address], service: str, options: dict[str, Any], password: str | None
    ) -> None:
        self._service = service
        self._options = options
        tls = {"ssl": True} if options.get("ssl") else {}
        self._client = _sentinel.Sentinel(
            sentinels,
            sentinel_kwargs={
                **tls,
                "password": password,
                "socket_timeout": CONNECT_TIMEOUT,
                "socket_connect_timeout": CONNECT_TIMEOUT,
                "retry": Retry(NoBackoff(), 0),
            },
        )
        self.name = f"{service}/{options.get('db', 0)}"

    def connect(self, timeout: float) -> Link:
        """Connect to the present master; see Place."""
        try:
            host, port = self._client.discover_master(self._service)
        except (RedisError, OSError) as exc:
            raise LinkLost(f"no sentinel names a master of {self._service!r}: {exc}") from exc
        return _dial(self._options, timeout, host=host, port=port)

    def locate(self) -> None:
        """It is asked for at each connection."""


class Cluster:
    """A cluster: the map of its slots, shared by the shards that are in it."""

    def __init__(self, nodes: list[Address], options: dict[str, Any]) -> None:
        self._nodes = nodes
        self._options = options
        self._client: Any = None
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Read the map again when it is next asked for."""
        self._client = None

    def node_of(self, key: str) -> Address:
        """Return the address of the node that holds `key`. Raises LinkLost."""
        try:
            with self._lock:
                if self._client is None:
                    self._client = self._open()
                node = self._client.get_node_from_key(key)
        except (RedisError, RedisClusterException, OSError) as exc:
            raise LinkLost(f"the map of the cluster cannot be read: {exc}") from exc
        if node is None:
            raise LinkLost(f"no node of the cluster holds {key!r}")
        return str(node.host), int(node.port)

    def connect(self, key: str, timeout: float) -> Link:
        """Connect to the node that holds `key`. Raises LinkLost."""
        host, port = self.node_of(key)
        return _dial(self._options, timeout, host=host, port=port)

    def _open(self) -> Any:
        options = {key: value for key, value in self._options.items() if key != "db"}
        return _cluster.RedisCluster(
            startup_nodes=[_cluster.ClusterNode(host, port) for host, port in self._nodes],
            socket_timeout=CONNECT_TIMEOUT,
            socket_connect_timeout=CONNECT_TIMEOUT,
            **options,
        )


class ClusterShard:
    """A part of the channels whose keys share a slot of a cluster, by their hash tag."""

    def __init__(self, cluster: Cluster, tag: str) -> None:
        self._cluster = cluster
        self._tag = f"{{{tag}}}"
        self.name = tag

    def connect(self, timeout: float) -> Link:
        """Connect to the node that holds it now; see Place."""
        try:
            return self._cluster.connect(self._tag, timeout)
        except LinkLost:
            self._cluster.forget()  # another node may have taken over
            raise

    def locate(self) -> None:
        """Read the map of the cluster again; see Place."""
        self._cluster.forget()


def _basics(options: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return what every connection is made with, but the address."""
    kept = {key: value for key, value in options.items() if key != "ssl"}
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        # A command that was repeated in silence could deliver a message twice.
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **kept,
    }


def _dial(options: dict[str, Any], timeout: float, *, host: str, port: int) -> Link:
    kind = _connection.SSLConnection if options.get("ssl") else _connection.Connection
    basics = _basics(options, timeout)
    return Link(kind(host=host, port=port, socket_keepalive=True, **basics))
