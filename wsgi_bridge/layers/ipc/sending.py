"""Sending on the ipc layer: one transaction for a message, or for all that are sent together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.concurrency import can_wait, is_cooperative
from wsgi_bridge.layers.ipc.attachment import Attachment
from wsgi_bridge.layers.ipc.gathering import ENTRY_COST, LARGEST_BATCH, Gathering
from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.records import Entries, encode_message, encode_messages
from wsgi_bridge.layers.ipc.session import Rings, Session
from wsgi_bridge.layers.ipc.store import Reentered, StoreFull, Txn
from wsgi_bridge.names import check_channel, reader_of

__all__ = ["SendOperations"]


class SendOperations(BaseLayer):
    """`send`, `hand_over` and `hand_over_many`."""

    _gathering: Gathering

    @abstractmethod
    def _attach(self) -> Attachment: ...

    def send(self, channel: str, message: dict[str, Any]) -> None:
        """Put a copy of `message` on `channel`; see BaseLayer."""
        check_channel(channel)
        self._post(channel, encode_message(copy_message(message, self.max_message_size)))

    def hand_over(self, channel: str, message: dict[str, Any]) -> None:
        """Put `message` on `channel` without a check; see BaseLayer."""
        self._post(channel, encode_message(message))

    def hand_over_many(
        self, messages: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[ChannelLayerError | None]:
        """Put several messages on their channels, many in a transaction; see BaseLayer."""
        refused: list[ChannelLayerError | None] = []
        batch: Entries = []
        size = 0
        for channel, packed in encode_messages(messages):
            if batch and size + len(packed) > LARGEST_BATCH:
                refused += self._put_or_refuse(batch)
                batch, size = [], 0
            batch.append((channel, packed))
            size += len(packed) + ENTRY_COST
        refused += self._put_or_refuse(batch)
        return refused

    def _put_or_refuse(self, entries: Entries) -> Sequence[ChannelLayerError | None]:
        """Put messages in one transaction; those of an earlier one are put, whatever becomes."""
        try:
            return self._put(entries)
        except ChannelLayerUnavailable as exc:
            return [exc] * len(entries)

    def _post(self, channel: str, packed: bytes) -> None:
        if is_cooperative() and can_wait() and not self._attach().store.is_in_use():
            self._gathering.send(channel, packed)
        else:
            self._post_alone(channel, packed)

    def _post_alone(self, channel: str, packed: bytes) -> None:
        [refused] = self._put([(channel, packed)])
        if refused is not None:
            raise refused

    def _put(self, entries: Entries) -> list[ChannelFull | None]:
        """Put messages in one transaction; return None or ChannelFull for each."""
        attachment = self._attach()
        now = self.clock()

        def work(txn: Txn) -> tuple[list[ChannelFull | None], Rings]:
            session = Session(txn, now)
            refused = self._put_in(session, attachment.queues, entries)
            session.save()
            return refused, session.rings

        try:
            refused, rings = attachment.write(work)
        except Reentered:
            for entry in entries:
                attachment.store.put_off(partial(self._post_alone, *entry))
            return [None] * len(entries)
        except StoreFull as exc:
            return self._put_what_fits(entries, exc)
        if rings:
            attachment.ring(rings)
        return refused

    def _put_in(
        self, session: Session, queues: Queues, entries: Entries
    ) -> list[ChannelFull | None]:
        """Put messages in a transaction, in their order; return None or ChannelFull for each."""
        refused: list[ChannelFull | None] = []
        deadline = session.now + self.expiry
        for reader, run in _runs(entries):
            record = session.record(reader)
            room = queues.room(session, record, self.capacity_of(reader), len(run))
            if room:
                queues.put_plain(session, record, deadline, run[:room])
            refused += [None] * room
            for channel, _ in run[room:]:
                queues.count_full(session, record)
                refused.append(ChannelFull(channel))
        return refused

    def _put_what_fits(self, entries: Entries, exc: StoreFull) -> list[ChannelFull | None]:
        """Put one after the other what the map had no room for together."""
        if len(entries) > 1:
            return [self._put([entry])[0] for entry in entries]
        [(channel, _)] = entries
        refused = ChannelFull(channel)
        refused.__cause__ = exc
        return [refused]


def _runs(entries: Entries) -> Iterator[tuple[str, Entries]]:
    """Yield each reader with its messages that are in a row: what is sent together often is."""
    at = 0
    while at < len(entries):
        reader = reader_of(entries[at][0])
        end = at + 1
        if reader.endswith("!"):
            while end < len(entries) and entries[end][0].startswith(reader):
                end += 1
        else:
            while end < len(entries) and entries[end][0] == reader:
                end += 1
        yield reader, entries[at:end]
        at = end
