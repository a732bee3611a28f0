"""What gunicorn's settings say about requests, read once a process: a setting costs 1.4 µs to read.

The rules are those of gunicorn's own parser (GUNICORN's ``http/message.py``): the limits, with its
clamps, which peers may say for whom they forward, and what it may be lenient about.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# gunicorn's own ceilings: MAX_REQUEST_LINE, MAX_HEADERS, DEFAULT_MAX_HEADERFIELD_SIZE.
MAX_LINE = 8190
MAX_FIELDS = 32768
MAX_FIELD_SIZE = 8190

_SPECIAL = frozenset(
    (b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade")
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Peers:
    """The peers that may say something: addresses and networks, or everyone."""

    networks: tuple[Network, ...] = ()
    is_everyone: bool = False

    def includes(self, peer: str | None) -> bool:
        """Whether a peer is one of them; None is the peer of a Unix socket, and always is."""
        if self.is_everyone or peer is None:
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass(frozen=True)
class RequestPolicy:
    """Limits in bytes and numbers, the proxies to believe, leniency, the site's mount point.

    ``header_map`` is what becomes of a field with an underscore in its name: ``drop``, ``refuse``
    or ``dangerous``; those named in ``forwarder_fields`` are taken from trusted peers (``*``: all).
    ``proxy_protocol`` is ``off``, ``v1``, ``v2`` or ``auto``.
    """

    line: int = 4094
    fields: int = 100
    field_size: int = 8190
    secure_headers: dict[bytes, bytes] = field(default_factory=dict)
    forwarders: Peers = Peers()
    forwarder_fields: frozenset[bytes] = frozenset()
    header_map: str = "drop"
    proxy_protocol: str = "off"
    proxies: Peers = Peers()
    permits_folding: bool = False
    strips_spaces: bool = False
    permits_any_method: bool = False
    folds_method_case: bool = False
    root_path: str = ""

    @cached_property
    def special_fields(self) -> frozenset[bytes]:
        """Names of the fields that say how to read a request."""
        return _SPECIAL.union(self.secure_headers)

    @cached_property
    def is_lenient(self) -> bool:
        """Whether the lines of a head have to be put in order before they are read."""
        return self.permits_folding or self.strips_spaces

    @cached_property
    def shortest_limit(self) -> int:
        """Bytes of a whole head in which no line can be past its limit."""
        return min(self.line, self.field_size - len(b"\r\n"))

    @cached_property
    def head_size(self) -> int:
        """Bytes that a whole head may have."""
        return self.line + self.fields * (self.field_size + len(b"\r\n"))

    def is_proxy(self, peer: str | None) -> bool:
        """Whether a peer may speak for others; None is the peer of a Unix socket."""
        speaks_proxy = self.proxy_protocol != "off" and self.proxies.includes(peer)
        return speaks_proxy or self.forwarders.includes(peer)


def read_policy(cfg: Any) -> RequestPolicy:
    """Return the policy that a gunicorn configuration asks for."""
    return RequestPolicy(
        line=min(cfg.limit_request_line, MAX_LINE) or MAX_LINE,
        fields=min(cfg.limit_request_fields, MAX_FIELDS) or MAX_FIELDS,
        field_size=cfg.limit_request_field_size or MAX_FIELD_SIZE,
        secure_headers={
            name.lower().encode(): value.encode()
            for name, value in cfg.secure_scheme_headers.items()
        },
        forwarders=read_peers(cfg.forwarded_allow_ips),
        proxies=read_peers(cfg.proxy_allow_ips),
        root_path=os.environ.get("SCRIPT_NAME", ""),
        **_read_later_settings(cfg),
    )


def _read_later_settings(cfg: Any) -> dict[str, Any]:
    """Return what only some gunicorns have: 22.0 brought these, all later ones keep them."""
    found: dict[str, Any] = {"proxy_protocol": read_proxy_protocol(cfg)}
    for name, setting in (
        ("header_map", "header_map"),
        ("permits_folding", "permit_obsolete_folding"),
        ("strips_spaces", "strip_header_spaces"),
        ("permits_any_method", "permit_unconventional_http_method"),
        ("folds_method_case", "casefold_http_method"),
    ):
        if setting in cfg.settings:
            found[name] = cfg.settings[setting].get()
    if "forwarder_headers" in cfg.settings:
        names = cfg.settings["forwarder_headers"].get()
        found["forwarder_fields"] = frozenset(name.lower().encode() for name in names)
    return found


def read_proxy_protocol(cfg: Any) -> str:
    """Return ``off``, ``v1``, ``v2`` or ``auto``; it was a switch before gunicorn 24.1."""
    mode: bool | str = cfg.proxy_protocol
    return ("auto" if mode else "off") if isinstance(mode, bool) else str(mode)


def read_peers(allowed: Iterable[str]) -> Peers:
    """Return the peers that a list of addresses and networks names, or `*`. Raises ValueError."""
    names = list(allowed)
    networks = tuple(ipaddress.ip_network(name, strict=False) for name in names if name != "*")
    return Peers(networks, is_everyone="*" in names)
