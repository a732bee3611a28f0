"""What was under way in a worker process that was killed: whoever waits for it is told.

A server would wait for the layer's `expiry` until it gives a frame up, and for `http_timeout` for
the answer to a request. The parent of the process sees at once that it has died, and what it was
busy with (`board`); one of the siblings, or who comes in its place, has a layer to tell it through.
Should that one die as well, the server's own time-outs are still there. MESSAGES.md section 5.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.protocols.http import error_response

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["Orphan", "Teller"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Orphan:
    """A message whose consumer will not end: its channel, its number, and who waits for it."""

    channel: str
    order: int
    reply_channel: str

    @staticmethod
    def write(channel: str, message: Mapping[str, Any]) -> str:
        """Return in a text what a message is when its process dies; "" if nobody waits for it.

        Not by way of an object: this is done for every message.
        """
        reply = message.get("reply_channel")
        if reply is None or channel not in _ANSWERS:
            return ""
        return f"{channel} {message.get('order', 0)} {reply}"

    def __str__(self) -> str:
        return f"{self.channel} {self.order} {self.reply_channel}"

    @classmethod
    def parse(cls, text: str) -> Orphan:
        """Return what `write` or `str` has made a text of."""
        channel, order, reply = text.split(" ")
        return cls(channel, int(order), reply)

    def answer(self) -> dict[str, Any]:
        """Return what is said in the place of its consumer."""
        return _ANSWERS[self.channel](self)


def _lose_frame(orphan: Orphan) -> dict[str, Any]:
    return {"ack": orphan.order, "lost": True}


def _fail_handshake(_: Orphan) -> dict[str, Any]:
    # Without `close`: should it have been accepted a moment before, the socket stays open.
    return {"accept": False, **error_response(500)}


def _fail_request(_: Orphan) -> dict[str, Any]:
    # Breaks off what has been begun.
    return error_response(500)


_ANSWERS: dict[str, Callable[[Orphan], dict[str, Any]]] = {
    "websocket.receive": _lose_frame,
    "websocket.connect": _fail_handshake,
    "http.request": _fail_request,
}


class Teller:
    """Tells servers what was lost. ``make_wakeup``: as that of a Worker."""

    def __init__(
        self,
        layer: BaseLayer,
        make_wakeup: Callable[[Callable[[], None]], Callable[[], None]],
    ) -> None:
        self._layer = layer
        self._orphans: deque[Orphan] = deque()
        self._tell_soon = make_wakeup(self._tell)

    def tell(self, orphan: Orphan) -> None:
        """Tell whoever waits for it, soon. From any thread."""
        self._orphans.append(orphan)
        self._tell_soon()

    def _tell(self) -> None:
        while self._orphans:
            orphan = self._orphans.popleft()
            try:
                self._layer.send(orphan.reply_channel, orphan.answer())
            except ChannelLayerError as exc:
                logger.info("%s waits in vain: %r", orphan.reply_channel, exc)
