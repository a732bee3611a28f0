"""Sending on the ipc layer: one transaction for a message, or for all that are sent together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any

from wsgi_bridge.copying import copy_message
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.concurrency import can_wait, is_cooperative
from wsgi_bridge.layers.ipc.attachment import Attachment
from wsgi_bridge.layers.ipc.gathering import ENTRY_COST, LARGEST_BATCH, Entries, Gathering
from wsgi_bridge.layers.ipc.queues import Queues
from wsgi_bridge.layers.ipc.records import PLAIN, encode_entry, encode_message
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
        for channel, message in messages:
            packed = encode_message(message)
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
            refused = [self._put_one(attachment.queues, session, *entry) for entry in entries]
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

    def _put_one(
        self, queues: Queues, session: Session, channel: str, packed: bytes
    ) -> ChannelFull | None:
        reader = reader_of(channel)
        record = session.record(reader)
        if not queues.has_room(session, record, self.capacity_of(reader)):
            queues.count_full(session, record)
            return ChannelFull(channel)
        rest = channel[len(reader) :]
        queues.put(session, record, encode_entry(session.now + self.expiry, PLAIN, rest, packed))
        return None

    def _put_what_fits(self, entries: Entries, exc: StoreFull) -> list[ChannelFull | None]:
        """Put one after the other what the map had no room for together."""
        if len(entries) > 1:
            return [self._put([entry])[0] for entry in entries]
        [(channel, _)] = entries
        refused = ChannelFull(channel)
        refused.__cause__ = exc
        return [refused]
