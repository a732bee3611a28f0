"""PresenceRegister: finds out who has come to a group and who has gone, and says so, once.

One of each worker loop. What may have changed something, an arrival, a departure, the end of a
socket, the end of a grace, has one of them `check` the group: it compares the group's table with
its members, and saves the table if nobody else has meanwhile. Whoever saved it sends the events
that follow; so each is sent once, at most.

Nothing depends on being told. While anybody is there the group is also looked at every SWEEP
seconds, by a scheduled message: what a process that was killed had no time to say is found then.

Where the site has no route for the events there is nobody to tell, and nothing is kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.consumers import PRESENCE_EVENT_LOST, PRESENCE_LATE
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError
from wsgi_bridge.presence.roll import CHECK, groups_of, table_key
from wsgi_bridge.presence.table import JOIN, LEAVE, Event, Table, by_identity

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["PresenceRegister"]

logger = logging.getLogger(__name__)

#: Seconds between two looks at a group of which nothing is heard. The wills of servers tell within
#: two seconds of sockets whose process was killed, so this is for what has no will: the channels of
#: event streams, and processes that are killed in the middle of a look.
SWEEP = 60.0
#: Sweeps that may fail to come before they are taken for lost.
SWEEPS_MISSED = 3


class PresenceRegister:
    """Looks after the groups with presence, for one worker loop.

    ``routed``: the channels that the site has routes for; ``wake``: called when a message was
    scheduled. The layer may be one without a storage: then there is no presence.
    """

    def __init__(
        self, layer: BaseLayer, routed: Collection[str], wake: Callable[[], object]
    ) -> None:
        self._layer = layer
        self._wake = wake
        self._events = {JOIN, LEAVE}.intersection(routed)
        self._lock = threading.Lock()
        # Groups that are being looked at, and what has been asked meanwhile.
        self._asked: dict[str, list[dict[str, Any]]] = {}

    @property
    def is_in_use(self) -> bool:
        """Whether the site wants to hear who has come and gone."""
        return bool(self._events) and "storage" in self._layer.extensions

    def check(self, message: dict[str, Any]) -> None:
        """Look who has come to a group and who has gone. Does not raise what the layer does."""
        if not self.is_in_use:
            return
        group = message["group"]
        with self._lock:
            if group in self._asked:
                # Who looks now looks again: it would only have to be done twice here.
                self._asked[group].append(message)
                return
            self._asked[group] = []
        asked = [message]
        try:
            while asked:
                self._look(group, asked)
                asked = self._take_asked(group)
        except ChannelLayerError as exc:
            PRESENCE_LATE.log(
                logger, "who is in %(group)s will be seen later: %(cause)r", cause=exc, group=group
            )
        finally:
            if asked:  # it was cut short
                with self._lock:
                    del self._asked[group]

    def _take_asked(self, group: str) -> list[dict[str, Any]]:
        """Return what was asked meanwhile; if that is nothing, the look is over."""
        with self._lock:
            asked = self._asked.pop(group)
            if asked:
                self._asked[group] = []
            return asked

    def on_disconnect(self, message: dict[str, Any]) -> None:
        """Note the end of a socket. The server that held it may have been killed."""
        channel = message.get("reply_channel")
        if channel is None:
            return
        try:
            for group in groups_of(self._layer.storage, channel):
                # Whether or not it has been forgotten yet.
                self._layer.group_discard(group, channel)
                self.check({"group": group})
        except ChannelLayerError as exc:
            PRESENCE_LATE.log(
                logger,
                "that %(channel)s has gone will be seen later: %(cause)r",
                cause=exc,
                channel=channel,
            )

    # One look

    def _look(self, group: str, asked: list[dict[str, Any]]) -> None:
        is_sweep = any("sweep" in message for message in asked)
        is_new = False
        while True:
            table, begins, events = self._compare(group, asked, is_sweep)
            if events is None:
                continue  # somebody else was faster: from the beginning
            is_new |= begins
            for event in events:
                self._send(event)
            due = table.next_due
            if due is None or due > self._layer.clock():
                break
        if table:
            self._plan(group, table, is_new)
        elif is_sweep:
            self._end_sweeps(group)

    def _compare(
        self, group: str, asked: list[dict[str, Any]], is_sweep: bool
    ) -> tuple[Table, bool, list[Event] | None]:
        """Return the table as it is now, whether its sweeps begin with this, and the events.

        None in place of the events if the table was another's to change.
        """
        storage, key = self._layer.storage, table_key(group)
        # Loaded before the members: what is decided holds only on top of what was loaded.
        stored = storage.load(key)
        here = by_identity(storage.group_members(group))
        table = Table(stored.value)
        now = self._layer.clock()
        is_late = bool(table) and now - table.swept > SWEEPS_MISSED * SWEEP
        is_new = is_late or (not table and bool(here))
        for message in asked:
            table.grace = message.get("grace", table.grace)
        events = table.look(group, here, now)
        if is_new or (is_sweep and table):
            table.swept = now
        if table.is_changed and (table or stored.version):
            # Twice the time that a membership lasts: no look comes later than that. An empty one
            # goes when no clock can be that far behind ours.
            ttl = 2 * self._layer.group_expiry + table.grace if table else SWEEP
            if not storage.save(key, table.value, ttl=ttl, expected_version=stored.version):
                return table, is_new, None
        return table, is_new, events

    def _send(self, event: Event) -> None:
        channel, message = event[0], dict(event[1])
        if channel not in self._events:
            return
        try:
            self._put(channel, message)
        except ChannelLayerError as exc:
            # Nobody else sends it: the table is saved.
            PRESENCE_EVENT_LOST.log(
                logger,
                "a %(channel)s of %(group)s is lost: %(cause)r",
                cause=exc,
                channel=channel,
                group=message["group"],
            )

    def _put(self, channel: str, message: dict[str, Any]) -> None:
        try:
            self._layer.send(channel, message)
        except ChannelFull:
            # Put as soon as there is room.
            self._layer.storage.schedule(channel, message, self._layer.clock())
            self._wake()

    def _plan(self, group: str, table: Table, is_new: bool) -> None:
        """See to it that the group is looked at again when it has to be."""
        storage, now = self._layer.storage, self._layer.clock()
        due = table.next_due
        if due is not None:
            # Whoever comes late with this has seen an older table, whose next leave is no later.
            storage.schedule(CHECK, {"group": group}, due, key=f"leave {group}")
        if is_new:
            message = {"group": group, "sweep": True}
            storage.schedule(CHECK, message, now + SWEEP, key=f"sweep {group}", every=SWEEP)
        if is_new or due is not None:
            self._wake()

    def _end_sweeps(self, group: str) -> None:
        storage = self._layer.storage
        storage.cancel(CHECK, f"sweep {group}")
        # Who has come meanwhile may have planned them before they were cancelled.
        table = Table(storage.load(table_key(group)).value)
        if table:
            self._plan(group, table, is_new=True)
