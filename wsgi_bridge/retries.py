"""Messages that a consumer puts off: `ConsumeLater`, on the layer's scheduled messages.

``put_off`` schedules a message again; ``Releaser`` is what puts scheduled messages on their
channels when they are due. Any process may do that, and each message is put once, whoever does: so
every process whose routing has consumers runs one, and what a process has put off that died is put
by the others.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelLayerUnavailable, ConsumeLater

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.routing import Route

__all__ = ["ATTEMPT", "Releaser", "put_off"]

logger = logging.getLogger(__name__)

#: The key of a message that says how often it was put off (MESSAGES.md section 4).
ATTEMPT = "attempt"
#: Seconds that a message is put off at most when its consumer names no delay. Five minutes find a
#: service again soon after it is back, and do not keep it down.
MAX_BACKOFF = 300.0
#: Seconds between two looks for what is due, when nothing is known to be: another process may have
#: scheduled it.
LOOK_EVERY = 1.0


def put_off(
    layer: BaseLayer, route: Route, channel: str, content: dict[str, Any], exc: BaseException
) -> float | None:
    """Schedule a message for later; return when it is due, None if it had its retries.

    Raises what the layer does; NotImplementedError if it has no storage.
    """
    attempt = content.get(ATTEMPT, 0)
    if type(attempt) is not int or attempt >= route.retries:
        return None
    delay = exc.delay if isinstance(exc, ConsumeLater) else None
    if delay is None:
        delay = min(route.backoff * 2.0**attempt, MAX_BACKOFF)
    due = layer.clock() + delay
    layer.storage.schedule(channel, {**content, ATTEMPT: attempt + 1}, due)
    return due


class Releaser:
    """A thread that puts scheduled messages on their channels. Started by its first ``wake``."""

    def __init__(self, layer: BaseLayer) -> None:
        self._layer = layer
        self._woken = threading.Event()
        self._is_stopped = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Look for what is due, and when the next is. Does not wait for that."""
        self._woken.set()
        with self._lock:
            if self._thread is None and not self._is_stopped:
                self._thread = threading.Thread(target=self._run, name="releaser", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for it."""
        self._is_stopped = True
        self._woken.set()

    def _run(self) -> None:
        while not self._is_stopped:
            self._woken.wait(self._release())
            self._woken.clear()

    def _release(self) -> float:
        """Put what is due; return the seconds until there is more to do."""
        try:
            next_due = self._layer.storage.release_due().next_due
        except ChannelLayerUnavailable:
            return LOOK_EVERY  # it says so in the log itself
        except Exception:
            # The top of a supervised loop: what is due later must still be put.
            logger.exception("scheduled messages cannot be put")
            return LOOK_EVERY
        if next_due is None:
            return LOOK_EVERY
        return min(max(0.0, next_due - self._layer.clock()), LOOK_EVERY)
