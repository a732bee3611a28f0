"""A process-specific reader of this process, which has messages in two layers: their order.

What this process sends to a reader of its own stays in its local layer; group messages, and what
other processes send, come through the shared one. A sender's messages must arrive in the order in
which they were sent, so:

- Who has sent a group message is *crossing*: what it sends to the reader next goes through the
  shared layer too, behind that message, until a take has shown that nothing is left there. Others
  go on sending locally: no order is promised between senders.
- What a take found in the shared layer is held until what was in the local one at that moment has
  been delivered: it may be older. That is also what keeps either from starving the other.

`set_room` is told of it: whoever sends to a reader that nobody is crossing for need not ask.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from typing import Any

from wsgi_bridge.copying import copy_trusted
from wsgi_bridge.layers.base import Batch
from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.queue import NO_ROOM, ROOM, Room

__all__ = ["OwnReader"]

#: In place of an arrival's number: a message is being sent at this moment.
_UNDER_WAY = 0


class OwnReader:
    """The state of one reader. A sender is known by the ident of its thread or greenlet."""

    __slots__ = ("_arrivals", "_lock", "_set_room", "ahead", "crossing", "held", "name")

    def __init__(self, name: str, set_room: Callable[[str, Room], None]) -> None:
        self.name = name
        self.crossing: dict[int, int] = {}  # sender → number of its last arrival
        self.held: deque[tuple[str | tuple[str, ...], dict[str, Any]]] = deque()
        self.ahead = 0  # local messages that go before what is held
        self._arrivals = itertools.count(1)
        self._set_room = set_room
        self._lock = native_lock()

    @property
    def room(self) -> Room:
        """What the local layer may take without asking."""
        return NO_ROOM if self.crossing else ROOM

    def open(self) -> None:
        """Let the local layer take messages: it may have a queue for them already."""
        with self._lock:
            self._set_room(self.name, self.room)

    def depart(self, sender: int) -> int | None:
        """A group message is about to be sent: its sender is crossing from now on.

        Returned is what `stay` is given if it could not be sent.
        """
        with self._lock:
            before = self.crossing.get(sender)
            self.crossing[sender] = _UNDER_WAY
            self._set_room(self.name, NO_ROOM)
        return before

    def stay(self, sender: int, before: int | None = None) -> None:
        """Nothing was sent after all: the sender is as it was, at home unless told."""
        with self._lock:
            if before is None:
                self.crossing.pop(sender, None)
            else:
                self.crossing[sender] = before
            self._set_room(self.name, self.room)

    def follow(self, sender: int) -> bool:
        """Whether this sender is crossing; if so, its message is about to be sent as well."""
        with self._lock:
            if sender not in self.crossing:
                return False
            self.crossing[sender] = _UNDER_WAY
            return True

    def arrive(self, sender: int) -> None:
        """The message has been sent: it is found by a take that begins from now on."""
        with self._lock:
            self.crossing[sender] = next(self._arrivals)

    def arrived(self) -> list[tuple[int, int]]:
        """Return the senders of which a take that begins now finds everything."""
        if not self.crossing:
            return []
        with self._lock:
            return [(sender, number) for sender, number in self.crossing.items() if number]

    def release(self, arrived: list[tuple[int, int]]) -> None:
        """That take has left nothing: let those go who sent nothing since."""
        with self._lock:
            for sender, number in arrived:
                if self.crossing.get(sender) == number:
                    del self.crossing[sender]
            if arrived:
                self._set_room(self.name, self.room)

    def hold(self, batch: Batch, ahead: int) -> None:
        """Keep what was taken from the shared layer, behind `ahead` local messages."""
        self.ahead = ahead
        self.held.extend(batch)

    def give(self, size: int, compact: bool) -> Batch:
        """Return up to `size` of what is held."""
        batch: Batch = []
        while self.held and len(batch) < size:
            names, message = self.held.popleft()
            if compact or isinstance(names, str):
                batch.append((names, message))
                continue
            # Taken for who wants each message once, and now asked for by who wants one a member.
            batch.append((names[0], message))
            if names[1:]:
                self.held.appendleft((names[1:], copy_trusted(message)))
        return batch
