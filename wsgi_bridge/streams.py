"""The streamed responses that this process makes: who makes one hears when it is for nothing.

A view that streams waits for its next event somewhere. When its client has gone, or the process
stops, its response's flow channel says so (MESSAGES.md section 2). Who waits in ``receive`` of the
layer is woken by that, and RequestAborted raised there; who waits elsewhere learns it when it has
something to send.

A stream that is *endless* by its type is the only kind that a stop does not wait for: its client
comes back by itself. Anything else may be a download, of which the rest would be missing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.layers.interruption import interruption

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["NOTICE", "OpenStream", "Unaware", "is_endless", "open_streams", "tell_endless"]

logger = logging.getLogger(__name__)

# Content types of which a client expects that the connection ends, and asks again: server-sent
# events (HTML Living Standard section 9.2.3) and what was there before them.
ENDLESS_TYPES = (b"text/event-stream", b"multipart/x-mixed-replace")
# Seconds that the maker of a stream has to notice that it is for nothing.
NOTICE = 1.0

_open: set[OpenStream] = set()


def is_endless(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a response with these fields ends only because somebody ends it."""
    return any(
        value.lower().startswith(ENDLESS_TYPES)
        for name, value in headers
        if name.lower() == b"content-type"
    )


class OpenStream:
    """A response that is being streamed, from its first piece to its last or its end.

    Made and closed in the context of who makes the response. ``look`` takes what the flow channel
    says, and raises RequestAborted when that is the end.
    """

    __slots__ = ("_look", "channel", "is_endless", "is_over", "is_told", "layer", "reply_channel",
                 "thread")  # fmt: skip

    def __init__(
        self,
        layer: BaseLayer,
        channel: str,
        reply_channel: str,
        *,
        is_endless: bool,
        look: Callable[[float], object],
    ) -> None:
        self.layer = layer
        self.channel = channel
        self.reply_channel = reply_channel
        self.is_endless = is_endless
        self.is_told = False  # by this process, that it stops
        self.is_over = False
        self.thread = threading.get_ident()  # or the greenlet's
        self._look = look
        interruption.set(self)
        _open.add(self)

    def check(self) -> None:
        """Raise RequestAborted if the stream is for nothing. Does not block."""
        self._look(0.0)

    def close(self) -> None:
        """The response has ended, or its end is known. Idempotent."""
        if not self.is_over:
            self.is_over = True
            _open.discard(self)
            interruption.set(None)


def open_streams() -> list[OpenStream]:
    """Return the streams of this process. From any thread."""
    return list(_open)


def tell_endless() -> None:
    """Tell all who make endless streams that it is for nothing: this process stops.

    From any thread; again for those that began since.
    """
    for stream in open_streams():
        if stream.is_endless and not stream.is_told:
            stream.is_told = True
            try:
                stream.layer.hand_over(stream.channel, {"closed": True})
            except ChannelLayerError as exc:
                logger.info("%s was not told: %r", stream.channel, exc)


class Unaware:
    """Finds who makes an endless stream that is for nothing, and does not notice.

    Waiting somewhere else than in the layer, for a queue or a database say. ``is_over`` says of a
    stream whether nobody waits for it any more.
    """

    def __init__(
        self, is_over: Callable[[OpenStream], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_over = is_over
        self._clock = clock
        self._since: dict[OpenStream, float] = {}

    def threads(self) -> set[int]:
        """Return the threads, or greenlets, that had NOTICE seconds to notice."""
        now, since = self._clock(), self._since
        self._since = {
            stream: since.get(stream, now)
            for stream in open_streams()
            if stream.is_endless and self._is_over(stream)
        }
        return {stream.thread for stream, at in self._since.items() if now - at >= NOTICE}
