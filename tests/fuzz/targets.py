"""All targets, by name."""

from __future__ import annotations

from tests.fuzz import (
    connections,
    frames,
    proxy_headers,
    replies,
    request_streams,
    responses,
    socket_replies,
    stored,
)

_MODULES = (
    request_streams,
    connections,
    proxy_headers,
    responses,
    replies,
    frames,
    socket_replies,
    stored,
)
TARGETS = {module.TARGET.name: module.TARGET for module in _MODULES}
