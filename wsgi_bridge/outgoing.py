"""Outgoing: what consumers sent that have just ended, put together with the next take.

A layer with a backend charges for operations, not for messages. Where messages are short, one
thread runs several one after the other, and what their consumers send last can share an operation:
with each other, and with the take of the next messages. Rules kept here:

- only what a run sends last is put off, and what it sends after that goes out behind it
- only the thread that keeps the lead (`lead`) may put off: the watch closes this, and puts all that
  is here, as soon as a message turns out not to be short
- whoever sent learns what became of it: `done` is called with an error, or None, for each message;
  by whichever thread puts it, and so must not wait
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelLayerError

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer, Batch

__all__ = ["LONGEST", "Done", "Outgoing", "Sends"]

logger = logging.getLogger(__name__)

# Seconds for which a message is put off by others that run meanwhile, as long as each is short.
LONGEST = 0.001

#: Channels and messages, which the sender gives away.
Sends = Sequence[tuple[str, dict[str, Any]]]
Done = Callable[[Sequence[Exception | None]], object]


class Outgoing:
    """What waits to be put on one layer. Any thread may call it."""

    def __init__(self, layer: BaseLayer, clock: Callable[[], float]) -> None:
        self._layer = layer
        self._clock = clock
        # Held while messages are put, so that what is sent after them is. Re-entrant, since the
        # garbage collector may run anywhere, and what it finalizes may send.
        self._lock = threading.RLock()
        self._keeper = 0  # the thread that may put off
        self._waiting: list[tuple[Sends, Done]] = []
        self._since = 0.0

    def open(self, now: float) -> None:
        """Let this thread put off what it sends last; what is too old by now is put."""
        if self._waiting and now - self._since > LONGEST:
            self.put()
        self._keeper = get_ident()

    def close(self) -> None:
        """Let nobody do so any more, until it is opened again."""
        with self._lock:
            self._keeper = 0

    @property
    def is_open(self) -> bool:
        """Whether this thread may put off."""
        return self._keeper == get_ident()

    def add(self, layer: BaseLayer, sends: Sends, done: Done) -> bool:
        """Put messages off, if that may be; False if the caller has to send them itself."""
        with self._lock:
            if self._keeper != get_ident() or layer is not self._layer:
                return False
            if not self._waiting:
                self._since = self._clock()
            self._waiting.append((sends, done))
        return True

    def after(self, call: Callable[[], object]) -> None:
        """Call ``call`` when what this thread has put off is put: at once, if nothing is."""
        with self._lock:
            if self._waiting and self.is_open:
                self._waiting.append(((), lambda _: call()))
                return
        call()

    def put(self) -> None:
        """Put what waits."""
        if not self._waiting:
            with self._lock:  # another thread may be at it
                return
        errors: Sequence[Exception | None]
        with self._lock:
            waiting, self._waiting = self._waiting, []
            sends = _together(waiting)
            try:
                errors = self._layer.hand_over_many(sends)
            except Exception as exc:  # noqa: BLE001 - a third party's layer; it is told to senders
                errors = _all_failed(exc, sends)
        _settle(waiting, errors)

    def exchange(self, channels: Sequence[str], room: int) -> Batch:
        """Put what waits, and take up to ``room`` messages; none if nothing waited."""
        if not self._waiting:
            return []
        errors: Sequence[Exception | None]
        batch: Batch
        with self._lock:
            waiting, self._waiting = self._waiting, []
            sends = _together(waiting)
            try:
                errors, batch = self._layer.exchange(sends, channels, room)
            except Exception as exc:  # noqa: BLE001 - as above
                errors, batch = _all_failed(exc, sends), []
        _settle(waiting, errors)
        return batch


def _together(waiting: list[tuple[Sends, Done]]) -> Sends:
    if len(waiting) == 1:
        return waiting[0][0]
    return [send for sends, _ in waiting for send in sends]


def _all_failed(exc: Exception, sends: Sends) -> list[Exception | None]:
    if not isinstance(exc, ChannelLayerError):
        logger.error("%d messages could not be sent", len(sends), exc_info=exc)
    return [exc] * len(sends)


def _settle(waiting: list[tuple[Sends, Done]], errors: Sequence[Exception | None]) -> None:
    """Tell each sender what became of its messages."""
    at = 0
    for sends, done in waiting:
        end = at + len(sends)
        try:
            done(errors[at:end])
        except Exception:
            # Whoever puts is somebody else, and has to go on.
            logger.exception("what became of a message could not be noted")
        at = end
