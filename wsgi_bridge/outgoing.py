"""Outgoing: what consumers sent that have just ended, put together with the next take.

A layer with a backend charges for operations, not for messages. Where messages are short, one
thread runs several one after the other, and what their consumers send last can share an operation:
with each other, and with the take of the next messages. Rules kept here:

- only what a run sends last is put off, and what it sends after that goes out behind it
- only the thread that keeps the lead (`lead`) may put off: the watch closes this, and puts all that
  is here, as soon as a message turns out not to be short
- whoever sent learns what could not be sent: `failed` is called with an error, or None, for each
  message, by whichever thread puts it, and so must not wait
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from wsgi_bridge.events.consumers import CONSUMER_SEND_FAILED, WORKER_NOTE_FAILED
from wsgi_bridge.exceptions import ChannelLayerError

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer, Batch

__all__ = ["LONGEST", "Failed", "Outgoing", "Sends"]

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Seconds for which a message is put off by others that run meanwhile, as long as each is short.
LONGEST = 0.001

#: Channels and messages, which the sender gives away.
Sends = Sequence[tuple[str, dict[str, Any]]]
Failed = Callable[[Sequence[Exception | None]], object]


class Outgoing:
    """What waits to be put on one layer. Any thread may call it."""

    def __init__(self, layer: BaseLayer, clock: Callable[[], float]) -> None:
        self._layer = layer
        self._clock = clock
        # Held while messages are put, so that what is sent after them is. Re-entrant, since the
        # garbage collector may run anywhere, and what it finalizes may send.
        self._lock = threading.RLock()
        self._keeper = 0  # the thread that may put off
        self._waiting = _Waiting()
        #: When what waits has to be put, which `open` does.
        self.due = inf

    def open(self, now: float) -> None:
        """Let this thread put off what it sends last; what is too old by now is put."""
        if now > self.due:
            self.put()
        self._keeper = get_ident()

    def close(self) -> None:
        """Let nobody do so any more, until it is opened again."""
        with self._lock:
            self._keeper = 0

    def add(self, layer: BaseLayer, sends: Sends, failed: Failed) -> bool:
        """Put messages off, if that may be; False if the caller has to send them itself."""
        with self._lock:
            if self._keeper != get_ident() or layer is not self._layer:
                return False
            waiting = self._waiting
            if not waiting.sends:
                self.due = self._clock() + LONGEST
            waiting.senders.append((len(waiting.sends), failed))
            waiting.sends += sends
        return True

    def after(self, call: Callable[[_T], object], argument: _T) -> None:
        """Call when what this thread has put off is put: at once, if nothing is."""
        with self._lock:
            if self._waiting.sends and self._keeper == get_ident():
                self._waiting.afters.append((call, argument))
                return
        call(argument)

    def put(self) -> None:
        """Put what waits."""
        if not self._waiting.sends:
            with self._lock:  # another thread may be at it
                return
        errors: Sequence[Exception | None]
        with self._lock:
            waiting = self._take()
            try:
                errors = self._layer.hand_over_many(waiting.sends)
            except Exception as exc:  # a third party's layer; it is told to senders
                errors = _all_failed(exc, waiting.sends)
        waiting.settle(errors)

    def exchange(self, channels: Sequence[str], room: int) -> Batch:
        """Put what waits, and take up to ``room`` messages; none if nothing waited."""
        if not self._waiting.sends:
            return []
        errors: Sequence[Exception | None]
        batch: Batch
        with self._lock:
            waiting = self._take()
            try:
                errors, batch = self._layer.exchange(waiting.sends, channels, room)
            except Exception as exc:  # as above
                errors, batch = _all_failed(exc, waiting.sends), []
        waiting.settle(errors)
        return batch

    def _take(self) -> _Waiting:
        waiting, self._waiting = self._waiting, _Waiting()
        self.due = inf
        return waiting


class _Waiting:
    """What is put together."""

    __slots__ = ("afters", "senders", "sends")

    def __init__(self) -> None:
        self.sends: list[tuple[str, dict[str, Any]]] = []
        self.senders: list[tuple[int, Failed]] = []  # with the number of its first message
        self.afters: list[tuple[Callable[[Any], object], Any]] = []

    def settle(self, errors: Sequence[Exception | None]) -> None:
        """Tell each sender whose messages failed, and whoever waits for the end."""
        calls = self.afters
        if errors.count(None) < len(errors):
            calls = [*self._failures(errors), *calls]
        for call, argument in calls:
            try:
                call(argument)
            except Exception as exc:
                # Whoever puts is somebody else, and has to go on.
                WORKER_NOTE_FAILED.log(
                    logger, "what became of a message could not be noted", cause=exc, exc_info=True
                )

    def _failures(
        self, errors: Sequence[Exception | None]
    ) -> Iterator[tuple[Failed, Sequence[Exception | None]]]:
        ends = [*(first for first, _ in self.senders[1:]), len(errors)]
        for (first, failed), end in zip(self.senders, ends, strict=True):
            mine = errors[first:end]
            if mine.count(None) < len(mine):
                yield failed, mine


def _all_failed(exc: Exception, sends: Sends) -> list[Exception | None]:
    if not isinstance(exc, ChannelLayerError):
        CONSUMER_SEND_FAILED.log(
            logger,
            "%(messages)d messages could not be sent",
            cause=exc,
            exc_info=exc,
            messages=len(sends),
        )
    return [exc] * len(sends)
