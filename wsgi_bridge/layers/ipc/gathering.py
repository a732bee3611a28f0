"""What the greenlets of one turn of the hub send, put in one transaction.

A transaction costs more than a message in it, and while one process writes the others wait. So a
greenlet that sends lets those run that are ready, and whoever comes back first puts what all of
them have sent meanwhile. The hub resumes them in the order in which they left: the first one finds
nothing put, all others find it done. None of them waits for a lock, or for a clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerUnavailable
from wsgi_bridge.layers.ipc.records import Entries

__all__ = ["Gathering"]

#: Bytes that are put in one transaction, about: others wait for it, a millisecond at most. Each
#: message counts for some more than it is long.
LARGEST_BATCH = 256 * 1024
ENTRY_COST = 2048

#: Messages that are put at once, however many greenlets are ready: so that whoever receives them
#: has something to do while the next ones are gathered.
MOST = 16


class Gathering:
    """The messages of this turn. `put` puts messages; returns None or ChannelFull for each."""

    def __init__(self, put: Callable[[Entries], list[ChannelFull | None]]) -> None:
        self._put = put
        self._batch = _Batch()

    def send(self, channel: str, packed: bytes) -> None:
        """Put a message, with those of others; for a greenlet that may wait for a turn of the hub.

        Raises ChannelFull, ChannelLayerUnavailable.
        """
        batch = self._batch
        at = batch.add(channel, packed)
        try:
            if at + 1 < MOST and batch.size < LARGEST_BATCH:
                time.sleep(0)  # gevent's
        finally:
            # Also when this greenlet was killed meanwhile: others may rely on it by now.
            if not batch.is_put:
                self._put_batch(batch)
        error = batch.error or batch.refused[at]
        if error is not None:
            raise error

    def _put_batch(self, batch: _Batch) -> None:
        batch.is_put = True
        if batch is self._batch:
            self._batch = _Batch()
        try:
            batch.refused = self._put(batch.entries)
        except ChannelLayerUnavailable as exc:
            batch.error = exc


class _Batch:
    """Messages that are put together, and what became of them."""

    __slots__ = ("entries", "error", "is_put", "refused", "size")

    def __init__(self) -> None:
        self.entries: Entries = []
        self.size = 0
        self.is_put = False
        self.refused: list[ChannelFull | None] = []
        self.error: ChannelLayerUnavailable | None = None

    def add(self, channel: str, packed: bytes) -> int:
        """Add a message; return its place."""
        self.entries.append((channel, packed))
        self.size += len(packed) + ENTRY_COST
        return len(self.entries) - 1
