"""What a process hears of a shared layer: which channels may have something there.

An ear is a listener on one channel of the shared layer. It wakes whoever listens on the channel in
the local layer. Whoever has an ear open knows, without asking, that nothing came since a take came
back empty: such a channel is *quiet*. The rules that make this miss nothing:

- a channel is marked quiet after a take that came back empty, and only if nothing woke its ear
  since before that take; a wake unmarks it before anybody is woken
- only a channel with an open ear is ever quiet; all others are asked for each time
- who listens does so locally first and looks at the ears then; who closes an ear unmarks it first
  and looks for local listeners then

An ear that the shared layer could not open is tried again by `look`, so at the next take.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.layers.base import BaseLayer, Listener
from wsgi_bridge.layers.concurrency import native_lock
from wsgi_bridge.layers.memory import MemoryLayer

__all__ = ["Ears"]

logger = logging.getLogger(__name__)

#: Ears that stay open when nobody listens any more. A body or a stream is waited for again and
#: again, and each time would cost an operation on the shared layer; more of them than are under way
#: at once would only have the shared layer call in vain.
LINGERING = 256


class Ears:
    """The ears of one process, and the channels that are quiet.

    `lingers(name)` says whether an ear stays open for a while after its last use: that of a channel
    which only this process reads.
    """

    def __init__(
        self, local: MemoryLayer, shared: BaseLayer, lingers: Callable[[str], bool]
    ) -> None:
        #: Read without a lock, by the hot path of a take.
        self.quiet: set[str] = set()
        #: Channels with an ear that stays open; read without a lock by the hot path of `listen`.
        self.lingering: dict[str, None] = {}  # oldest first
        #: Whether this belongs to the parent of a fork.
        self.is_abandoned = False
        self._local = local
        self._shared = shared
        self._lingers = lingers
        self._lock = native_lock()
        self._ears: dict[str, _Ear] = {}

    def open(self, names: Sequence[str]) -> None:
        """Hear of these channels from now on, for who listens locally; blocks as `listen` does."""
        for name in names:
            with self._lock:
                ear = self._ears.get(name)
                if ear is None:
                    ear = self._ears[name] = _Ear(name)
            if ear.listener is None:
                self._listen(ear)
            if self._lingers(name):
                self._linger(name)

    def release(self, names: Iterable[str]) -> None:
        """Close the ears of those channels that nobody listens on any more."""
        for name in names:
            if not self._lingers(name):
                self._close(name)

    def look(self, names: Iterable[str]) -> list[tuple[_Ear, object]]:
        """Return what `settle` is to be given after a take of these channels that is empty."""
        looks = []
        for name in names:
            ear = self._ears.get(name)
            if ear is None:
                continue
            if ear.listener is None:
                self._listen(ear)
            looks.append((ear, ear.woken))
        return looks

    def settle(self, looks: list[tuple[_Ear, object]]) -> None:
        """Mark as quiet what has an open ear that nothing woke since the look."""
        with self._lock:
            for ear, woken in looks:
                is_open = ear.listener is not None and self._ears.get(ear.name) is ear
                if is_open and ear.woken is woken:
                    self.quiet.add(ear.name)

    def wake(self, ear: _Ear) -> None:
        """Something may have come: unmark the channel first, so that who is woken looks."""
        with self._lock:
            ear.woken = object()
            self.quiet.discard(ear.name)
        for wake in self._local.wakes_of(ear.name):
            wake()

    def _linger(self, name: str) -> None:
        self.lingering[name] = None
        for oldest in list(self.lingering)[: max(0, len(self.lingering) - LINGERING)]:
            self.lingering.pop(oldest, None)
            if not self._close(oldest):
                self.lingering[oldest] = None

    def _close(self, name: str) -> bool:
        """Close an ear unless somebody listens; False if somebody does."""
        with self._lock:
            if self._local.wakes_of(name):
                return False
            ear = self._ears.pop(name, None)
            self.quiet.discard(name)
            listener = ear.listener if ear is not None else None
        if listener is not None and not self.is_abandoned:
            listener.close()
        return True

    def _listen(self, ear: _Ear) -> None:
        with self._lock:
            if ear.is_opening or ear.listener is not None:
                return
            ear.is_opening = True
        listener = None
        try:
            # Without the lock: this may wait for the backend.
            listener = self._shared.listen([ear.name], partial(self.wake, ear))
        except ChannelLayerUnavailable as exc:
            logger.info("cannot listen on %s yet: %r", ear.name, exc)
        finally:
            with self._lock:
                ear.is_opening = False
                if self._ears.get(ear.name) is ear:
                    ear.listener, listener = listener, None
        if listener is not None:
            listener.close()
        elif len(self._local.wakes_of(ear.name)) > 1:
            self.wake(ear)  # who came while it was opened may have looked too early


class _Ear:
    """The listener on one channel of the shared layer."""

    __slots__ = ("is_opening", "listener", "name", "woken")

    def __init__(self, name: str) -> None:
        self.name = name
        self.listener: Listener | None = None
        self.is_opening = False
        self.woken = object()  # another one at each wake
