"""Requests in the uwsgi protocol, as nginx writes them."""

from __future__ import annotations

import struct


def make_packet(variables: dict[str, str], *, modifier: int = 0) -> bytes:
    """Return the packet of a request's variables."""
    block = b"".join(
        struct.pack("<H", len(text)) + text
        for pair in variables.items()
        for text in (each.encode("latin-1") for each in pair)
    )
    return struct.pack("<BHB", modifier, len(block), 0) + block
