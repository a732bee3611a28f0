"""How many connections each address has: one client must not have them all.

Peers that are proxies are not counted, since everybody comes from there.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable

from gunicorn_asgi.events import CONNECTION_ADDRESS_FULL

logger = logging.getLogger(__name__)

# The network that one IPv6 customer is given: whoever has one address has all of these.
IPV6_PREFIX = 64
# What a client past the limit reads, before it has asked for anything.
_REASON = b"503 Service Unavailable\ntoo many connections from this address\n"
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%b"
) % (len(_REASON), _REASON)


class AddressLimit:
    """Counts connections by address. ``is_exempt`` says whom not to count."""

    def __init__(self, limit: int, is_exempt: Callable[[str | None], bool]) -> None:
        self._limit = limit
        self._is_exempt = is_exempt
        self._counts: dict[str, int] = {}
        self._warned: set[str] = set()

    def admit(self, address: str) -> str | None:
        """Count a connection; return what ``leave`` is given later, None if there are too many.

        An empty string is for one that is not counted.
        """
        if self._is_exempt(address):
            return ""
        key = group_address(address)
        count = self._counts.get(key, 0)
        if count >= self._limit:
            self._warn(key)
            return None
        self._counts[key] = count + 1
        return key

    def leave(self, key: str) -> None:
        """One of its connections is closed."""
        if not key:
            return
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]
            self._warned.discard(key)

    def _warn(self, key: str) -> None:
        """Say it once, until there is none left of that address."""
        if key not in self._warned:
            self._warned.add(key)
            CONNECTION_ADDRESS_FULL.log(
                logger,
                "%(ip)s has %(limit)d connections, and gets no more",
                cause="max_connections_per_address",
                ip=key,
                limit=self._limit,
            )


def group_address(address: str) -> str:
    """Return what stands for whoever has an address: itself, or the network of an IPv6 one."""
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, IPV6_PREFIX), strict=False))
