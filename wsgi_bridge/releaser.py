"""Releaser: puts scheduled messages on their channels when they are due.

Any process may do that, and each message is put once, whoever does: so every process that runs
consumers has one, and what a process has scheduled that died is put by the others. It also serves
the channel `asgi.delay` (MESSAGES.md section 4), unless the site's routing has that.

It is a thread, a greenlet where gevent has patched threading, and never in the way of consumers: it
takes none of their room, and is on time while all of them are busy. It sleeps until something is
due, or somebody rings (wsgi_bridge.delays.DUE) who has scheduled something for soon. Where other
processes share the layer it also looks every LOOK_EVERY seconds: who was rung may have been killed.

Where threads wait on the layer for messages to consume, they receive on its channels as well, and
feed it: another listener in their process would cost each of their waits a thread in between.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wsgi_bridge.delays import DELAY, DUE, LOOK_EVERY, read_delay
from wsgi_bridge.events.consumers import DELAY_FAILED, DELAY_MALFORMED, DELAY_NOT_REPEATED
from wsgi_bridge.exceptions import ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.history import History
from wsgi_bridge.layers.base import _Waiter

if TYPE_CHECKING:
    from wsgi_bridge.add_ons import Recurring
    from wsgi_bridge.layers.base import BaseLayer, Listener

__all__ = ["DelayFigures", "Releaser", "Turn"]

logger = logging.getLogger(__name__)

# Messages taken, and messages put, in one turn at most: a few milliseconds, and fewer than a
# channel holds, so that messages to groups are never held back by those before them.
BATCH = 64
# Seconds after which what is sent periodically is scheduled again: a Redis that was restarted empty
# has forgotten it.
SCHEDULE_EVERY = 60.0
# Seconds of a pause between two turns while there is more to do: others of a hub have theirs.
PAUSE = 0.001


@dataclass
class DelayFigures:
    """What a releaser has counted; docs/reference/statistics.md says what."""

    received: int = 0
    malformed: int = 0
    released: int = 0


class Turn(NamedTuple):
    """Whether there was anything to do, so that there may be more, and when the next is due."""

    has_worked: bool
    next_due: float | None


class Releaser:
    """Releases what is scheduled on ``layer``, from ``start`` to ``stop``.

    On a layer without storage it does nothing. ``serves_delays``: whether `asgi.delay` is its own;
    ``periodic``: what it keeps on the timetable.
    """

    def __init__(
        self,
        layer: BaseLayer,
        *,
        serves_delays: bool = True,
        periodic: Sequence[Recurring] = (),
    ) -> None:
        self.figures = DelayFigures()
        self._layer = layer
        #: What it receives on.
        self.channels = [DUE, DELAY] if serves_delays else [DUE]
        if not self._has_storage():
            self.channels = []
        self._waiter = _Waiter()
        self._periodic = periodic
        self._schedule_at = 0.0
        self._is_stopped = False
        self._is_fed = False
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        # Taken, and not done: the layer may go in between.
        self._taken: deque[tuple[str, dict[str, Any]]] = deque()

    def start(self, *, is_fed: bool = False) -> None:
        """Begin, in a thread of its own; idempotent.

        With `is_fed`, whoever calls `feed` receives on the channels: it does so only at its looks.
        """
        if self._thread is None and self._has_storage():
            self._is_fed = is_fed
            self._thread = threading.Thread(target=self._run, name="releaser", daemon=True)
            self._thread.start()

    def feed(self, channel: str, message: dict[str, Any]) -> None:
        """Do as a message says that was received on one of the channels. Does not wait."""
        self._note(channel, message)
        self._waiter.wake()

    def wake(self) -> None:
        """Look now: something was scheduled. From any thread; does not wait."""
        self._waiter.wake()

    def stop(self) -> None:
        """Release no more, ever; does not wait for that. From any thread; idempotent."""
        self._is_stopped = True
        self._waiter.wake()

    def turn(self) -> Turn:
        """Do what is to be done now, a batch of it. Raises ChannelLayerUnavailable.

        Called by the thread; by a test in its place.
        """
        if not self._has_storage():
            return Turn(has_worked=False, next_due=None)
        self._schedule_periodic()
        has_taken = self._take()
        released, next_due = self._layer.storage.release_due(BATCH)
        self.figures.released += released
        return Turn(has_taken or released > 0, next_due)

    def statistics(self) -> dict[str, int]:
        """Return what was counted in this process."""
        return asdict(self.figures)

    def _has_storage(self) -> bool:
        return "storage" in self._layer.extensions

    # In the thread

    def _run(self) -> None:
        while not self._is_stopped:
            self._waiter.wait(self._next())
        if self._listener is not None:
            self._listener.close()

    def _next(self) -> float | None:
        """Have a turn; return the seconds until the next one, None if only a ring can be a reason.

        Never raises: this is the top of a supervised loop.
        """
        layer = self._layer
        try:
            if self._listener is None and not self._is_fed:
                self._listener = layer.listen(self.channels, self._waiter.wake)
            turn = self.turn()
            is_shared = layer.storage.is_shared
        except ChannelLayerUnavailable:
            return LOOK_EVERY  # it says so in the log itself
        except Exception as exc:
            # What is due later must still be put.
            DELAY_FAILED.log(logger, "scheduled messages cannot be put", cause=exc, exc_info=True)
            return LOOK_EVERY
        if turn.has_worked:
            return PAUSE
        if turn.next_due is None:
            return LOOK_EVERY if is_shared or self._is_fed else None
        # Not longer, since the clock of a machine may be set meanwhile.
        return min(max(turn.next_due - layer.clock(), PAUSE), LOOK_EVERY)

    # What it sends every so many seconds

    def _schedule_periodic(self) -> None:
        if not self._periodic or self._layer.clock() < self._schedule_at:
            return
        for each in self._periodic:
            try:
                each.schedule(self._layer)
            except ChannelLayerUnavailable:
                raise  # it is tried again
            except ChannelLayerError as exc:
                DELAY_NOT_REPEATED.log(
                    logger,
                    "what recurs on %(channel)s is not scheduled: %(cause)s",
                    cause=exc,
                    channel=each.channel,
                )
        self._schedule_at = self._layer.clock() + SCHEDULE_EVERY

    # What it receives

    def _take(self) -> bool:
        """Do what was sent here; whether there was anything."""
        taken, figures = self._taken, self.figures
        for channel, message in self._layer.receive_many(self.channels, BATCH):
            self._note(str(channel), message)
        has_taken = bool(taken)
        refused: list[Exception] = []
        while taken:
            channel, message = taken.popleft()
            try:
                self._do(channel, message)
            except ChannelLayerUnavailable:
                taken.appendleft((channel, message))
                raise
            except (ChannelLayerError, KeyError, ValueError) as exc:
                refused.append(exc)
        if refused:
            figures.malformed += len(refused)
            DELAY_MALFORMED.log(
                logger,
                "messages on %(channel)s cannot be used, %(number)d of them; the first: %(cause)s",
                cause=refused[0],
                channel="/".join(self.channels),
                number=len(refused),
            )
        return has_taken

    def _note(self, channel: str, message: dict[str, Any]) -> None:
        self._taken.append((channel, message))
        self.figures.received += channel == DELAY

    def _do(self, channel: str, message: dict[str, Any]) -> None:
        if channel == DELAY:
            read_delay(self._layer, message)()
        elif "history" in message:
            history = History(message["history"], message["ttl"])
            history.send_group(self._layer, message["group"], message["content"])
        elif message:  # an empty one is a ring
            self._layer.send_group(message["group"], message["content"])
