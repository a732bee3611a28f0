"""What outlives a process: lists of the last so many, kept in the channel layer.

The processes that run this code are replaced at each deployment, and there are several. So nothing
that matters is in their memory: `storage` is the layer's (docs/topics/storage.md).
"""

from __future__ import annotations

from typing import Any

from wsgi_bridge.consumers import get_default_layer
from wsgi_bridge.layers.storage_base import Storage

KEPT_FOR = 86400.0  # seconds: a day's talk


def storage() -> Storage:
    """Return where the layer keeps things."""
    return get_default_layer().storage


def append(log: str, item: dict[str, Any], keep: int) -> None:
    """Add an item to a list that holds the last `keep`."""
    storage().append(log, item, keep=keep, ttl=KEPT_FOR)


def last(log: str, keep: int) -> list[dict[str, Any]]:
    """Return the last `keep` items at most, oldest first."""
    end = storage().read(log)
    start = max(0, end.offset - keep)
    while start < end.offset:
        items = storage().read(log, end.epoch, start).messages
        if items is not None:
            return items
        start += (end.offset - start + 1) // 2  # the oldest are past their time
    return []
