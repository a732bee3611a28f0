"""Taking: from the two layers, in fair shares and in order, and waiting for both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import Batch, Listener, Watch
from wsgi_bridge.layers.local_first.core import LocalFirstCore
from wsgi_bridge.layers.local_first.ears import Ears
from wsgi_bridge.layers.local_first.own_reader import OwnReader
from wsgi_bridge.layers.queue import Wake
from wsgi_bridge.names import check_reader, reader_of

__all__ = ["TakeOperations"]

#: Seconds for which nothing is sent to others after one of those messages came back: they have no
#: time either, and each would cost more than it saves.
SPILL_PAUSE = 1.0

#: Seconds for which a shared layer that was unavailable is not asked again, unless it wakes us.
RETRY_INTERVAL = 0.1

#: Names of which the turn is remembered, for receives of several kinds of channels at once.
MAX_SERVED = 1000


class TakeOperations(LocalFirstCore):
    """What `receive` and its kin are made of."""

    def _take(self, channels: Sequence[str], limit: int, compact: bool) -> Batch:
        if self._expired:
            self._forget_expired()
        if self._quiet.issuperset(channels):
            return self.local._take(channels, limit, compact)
        for name in channels:
            if name not in self._quiet:
                check_reader(name)
                self._own_if_specific(name)
        sources = self._split(channels)
        if len(sources) == 1:
            return self._take_from(sources[0], limit, compact)
        return self._take_in_turn(sources, limit, compact)

    def _own_if_specific(self, name: str) -> None:
        if name.endswith("!") and name not in self._own:
            self._own.setdefault(name, OwnReader(name, self.local.set_room)).open()

    def _split(self, channels: Sequence[str]) -> list[list[str]]:
        """Return the process-specific readers one by one, and the other channels together."""
        specific = [[name] for name in channels if name in self._own]
        plain = [name for name in channels if name not in self._own]
        return [plain, *specific] if plain else specific

    def _take_in_turn(self, sources: list[list[str]], limit: int, compact: bool) -> Batch:
        """Take from each its share, then what is left; the one served longest ago goes first."""
        served = self._served
        if len(served) > MAX_SERVED:
            served.clear()
        sources.sort(key=lambda names: served.get(names[0], 0))
        batch: Batch = []
        for share in (max(1, limit // max(1, len(sources))), limit):
            for names in sources:
                room = min(share, limit - len(batch))
                if room > 0 and (part := self._take_from(names, room, compact)):
                    served[names[0]] = next(self._turns)
                    batch += part
        return batch

    def _take_from(self, names: list[str], limit: int, compact: bool) -> Batch:
        own = self._own.get(names[0])
        if own is not None:
            return self._take_own(own, limit, compact)
        return self._take_plain(names, limit, compact)

    def _take_own(self, own: OwnReader, limit: int, compact: bool) -> Batch:
        """Take for a process-specific reader, in order; see own_reader."""
        names = [own.name]
        if not own.held and own.name not in self._quiet:
            self._fetch(own, limit, compact)
        batch: Batch = []
        if own.held and own.ahead > 0:
            size = min(limit, own.ahead)
            batch = self.local._take(names, size, compact)
            own.ahead = own.ahead - size if len(batch) == size else 0
        if own.ahead <= 0:
            batch += own.give(limit - len(batch), compact)
        if own.held:
            self._quiet.discard(own.name)
        elif len(batch) < limit:
            batch += self.local._take(names, limit - len(batch), compact)
        return batch

    def _fetch(self, own: OwnReader, limit: int, compact: bool) -> None:
        arrived = own.arrived()
        taken = self._ask([own.name], limit, compact)
        if taken is None:
            return
        if taken:
            own.hold(taken, self.local.pending(own.name))
        if len(taken) < limit:
            own.release(arrived)

    def _take_plain(self, names: list[str], limit: int, compact: bool) -> Batch:
        """Take up to half from the local layer, the rest from the shared one, or the reverse."""
        due = [name for name in names if name not in self._quiet]
        if not due:
            return self.local._take(names, limit, compact)
        half = limit - limit // 2
        if not self._owed.isdisjoint(due):
            self._owed.difference_update(due)
            batch = self._ask(due, half, compact) or []
            may_have_more = len(batch) == half
            batch += self.local._take(names, limit - len(batch), compact)
            if may_have_more and len(batch) < limit:
                batch += self._ask(due, limit - len(batch), compact) or []
            return batch
        batch = self.local._take(names, half, compact)
        if len(batch) == limit:
            self._owed.update(due)
            return batch
        batch += self._ask(due, limit - len(batch), compact) or []
        if len(batch) < limit:
            batch += self.local._take(names, limit - len(batch), compact)
        return batch

    def _ask(self, names: list[str], limit: int, compact: bool) -> Batch | None:
        """Take from the shared layer; None if it cannot be asked. Marks what is quiet."""
        if time.monotonic() < self._retry_at:
            return None
        looks = self._ears.look(names)
        try:
            batch = self.shared.receive_many(names, limit, 0.0, compact=compact)
        except ChannelLayerUnavailable as exc:
            self._retry_at = time.monotonic() + RETRY_INTERVAL
            self._report(exc)
            return None
        if not batch:
            self._ears.settle(looks)
        elif not self._bounds.keys().isdisjoint(names) and any(map(self._came_back, batch)):
            self._spill_at = time.monotonic() + SPILL_PAUSE
        self._is_cut_off = False
        return batch

    def _came_back(self, item: tuple[Any, dict[str, Any]]) -> bool:
        """Whether a message had overflowed from here, and nobody else took it."""
        reply = item[1].get("reply_channel")
        return isinstance(reply, str) and reader_of(reply) in self._own

    def listen(self, channels: Sequence[str], wake: Wake) -> Listener:
        """Have `wake()` called at every message put on `channels`; see BaseLayer."""
        listener = self.local.listen(channels, wake)  # checks the names
        if self._lingering >= set(channels):
            return listener
        for name in channels:
            self._own_if_specific(name)
        self._ears.open(channels)
        return _Listener(listener, self._ears, channels)

    def hear_with(self, watch: Watch) -> None:
        """Have the hub of this process hear for the shared layer; see BaseLayer."""
        try:
            self.shared.hear_with(watch)
        except ChannelLayerUnavailable as exc:
            self._report(exc)  # a thread hears, then


class _Listener(Listener):
    """What `LocalFirstLayer.listen` returns: a local listener, and what it has open of the ears."""

    def __init__(self, local: Listener, ears: Ears, names: Sequence[str]) -> None:
        self._local = local
        self._ears = ears
        self._names = tuple(names)

    def close(self) -> None:
        self._local.close()
        names, self._names = self._names, ()
        self._ears.release(names)
