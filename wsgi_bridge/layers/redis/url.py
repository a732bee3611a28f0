"""Reads the URL of a layer on Redis.

    redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB]         several hosts are shards
    rediss://...                                                      the same over TLS
    redis+unix://[USER:PASSWORD@]/PATH[,/PATH...][?db=DB]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../SERVICE[,SERVICE...][/DB]
    redis+cluster://[USER:PASSWORD@]HOST[:PORT],...

`tls=1` in the query string has sentinels and clusters spoken to by TLS as well. No I/O here; errors
never show the password.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote

from wsgi_bridge.exceptions import InvalidLayerURL
from wsgi_bridge.layers.redis.topology import (
    Cluster,
    ClusterShard,
    Place,
    Sentinel,
    Server,
    Unix,
)

__all__ = ["CONNECTION_OPTIONS", "places_of"]

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
MAX_PORT = 65535

CERT_REQS = ("none", "optional", "required")


def _cert_reqs(text: str) -> str:
    if text not in CERT_REQS:
        raise ValueError(f"expected one of {', '.join(CERT_REQS)}")
    return text


#: Options that are about connections, as they stand in the query string, and how each is read.
CONNECTION_OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": int,
    "tls": lambda text: bool(int(text)),
    "ca_certs": str,
    "certfile": str,
    "keyfile": str,
    "cert_reqs": _cert_reqs,
    "sentinel_password": str,
}

_TLS_OPTIONS = {
    "ca_certs": "ssl_ca_certs",
    "certfile": "ssl_certfile",
    "keyfile": "ssl_keyfile",
    "cert_reqs": "ssl_cert_reqs",
}


class _Parts(NamedTuple):
    """What a URL holds."""

    hosts: list[str]
    path: str
    options: dict[str, Any]  # of a redis-py connection


def places_of(
    url: SplitResult, *, prefix: str, buckets: int, settings: dict[str, Any]
) -> list[Place]:
    """Return where the shards are; `settings` are CONNECTION_OPTIONS. Raises InvalidLayerURL."""
    userinfo, _, hosts = url.netloc.rpartition("@")
    options = _credentials(userinfo)
    parts = _Parts([host for host in hosts.split(",") if host], url.path, options)
    options["db"] = settings.get("db", 0)
    if url.scheme == "rediss" or settings.get("tls"):
        options["ssl"] = True
        for name, argument in _TLS_OPTIONS.items():
            if name in settings:
                options[argument] = settings[name]
    if url.scheme == "redis+unix":
        return _unix_places(parts)
    if url.scheme == "redis+sentinel":
        return _sentinel_places(parts, settings)
    if url.scheme == "redis+cluster":
        return _cluster_places(parts, prefix, buckets)
    options["db"] = _database(url.path.strip("/"), options["db"])
    addresses = [_address(host, DEFAULT_PORT) for host in parts.hosts or ["localhost"]]
    return [Server(address, options) for address in addresses]


def _unix_places(parts: _Parts) -> list[Place]:
    paths = [unquote(path) for path in parts.path.split(",")]
    if parts.hosts or not all(path.startswith("/") for path in paths):
        raise InvalidLayerURL("redis+unix:// expects absolute paths: redis+unix:///PATH[,/PATH]")
    return [Unix(path, parts.options) for path in paths]


def _sentinel_places(parts: _Parts, settings: dict[str, Any]) -> list[Place]:
    services, _, database = parts.path.strip("/").partition("/")
    if not parts.hosts or not services:
        raise InvalidLayerURL("redis+sentinel:// expects HOST[:PORT],.../SERVICE[/DB]")
    parts.options["db"] = _database(database, parts.options["db"])
    sentinels = [_address(host, DEFAULT_SENTINEL_PORT) for host in parts.hosts]
    password = settings.get("sentinel_password")
    return [
        Sentinel(sentinels, service, parts.options, password) for service in services.split(",")
    ]


def _cluster_places(parts: _Parts, prefix: str, buckets: int) -> list[Place]:
    if not parts.hosts or parts.path.strip("/") or parts.options["db"]:
        raise InvalidLayerURL("redis+cluster:// expects HOST[:PORT],... and has database 0 only")
    nodes = [_address(host, DEFAULT_PORT) for host in parts.hosts]
    cluster = Cluster(nodes, parts.options)
    return [ClusterShard(cluster, f"{prefix}.{number}") for number in range(buckets)]


def _credentials(userinfo: str) -> dict[str, Any]:
    user, _, password = userinfo.partition(":")
    given = {"username": unquote(user), "password": unquote(password)}
    return {name: text for name, text in given.items() if text}


def _address(text: str, default_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):  # no port, or the colons of an IPv6 address
        host, port = text, str(default_port)
    if not port.isdecimal() or int(port) > MAX_PORT or not _is_host(host):
        raise InvalidLayerURL(f"{text!r} in the URL: expected HOST or HOST:PORT")
    return host.strip("[]"), int(port)


def _is_host(text: str) -> bool:
    try:
        return bool(text.encode("idna"))  # as a resolver will
    except UnicodeError:
        return False


def _database(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isdecimal():
        raise InvalidLayerURL(f"database {text!r} in the URL: expected a number")
    return int(text)
