"""A request's body on its way to its reader: chunks on a channel, no faster than the reader asks.

The account is ``protocols.http.BodyFlow``; this is its adapter to the layer. What finds the
channel full waits here, a window and one read of the socket at most, and is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, ChannelLayerUnavailable
from wsgi_bridge.protocols.http import BodyFlow
from wsgi_bridge.server.body_clock import BodyClock

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

logger = logging.getLogger(__name__)

BODY_CHANNEL = "http.request.body?"
# Messages taken at once of a channel that nobody reads any more; more than one can hold by default.
_DISCARD_LIMIT = 1024
# The last chunk of a body whose client has gone.
CLOSED_BODY = {"content": b"", "more_content": False, "closed": True}


class RequestBody:
    """The body of one request. Owned by the connection that reads it; all in the hub.

    ``channel`` is where its chunks go. ``is_complete`` says that the last one has been sent, or
    that no more will be. ``on_late`` is called when it comes too slowly, if its client is timed.
    """

    __slots__ = ("_clock", "_flow", "_pending", "_server", "channel", "is_complete")

    def __init__(
        self,
        server: ProtocolServer,
        expects_continue: bool,
        on_late: Callable[[], None] | None = None,
    ) -> None:
        self._server = server
        self._clock = None if on_late is None else BodyClock(server, on_late)
        self._flow = BodyFlow(expects_continue)
        self._pending: list[bytes] | None = None  # what found the channel full
        self.channel = server.layer.new_channel(BODY_CHANNEL)
        self.is_complete = False
        self._time_client()

    @property
    def is_open(self) -> bool:
        """Whether the socket may be read on."""
        return self.is_complete or self._flow.is_open

    def open_window(self, window: int) -> bytes:
        """Let the reader have ``window`` bytes in all; return what must be written first."""
        if self.is_complete:
            return b""
        was_open = self._flow.is_open
        interim = self._flow.open(window)
        if not was_open:
            self._time_client()
        return interim

    def send(self, data: bytes) -> None:
        """Send bytes on."""
        self._flow.taken += len(data)
        if self._clock is not None:
            self._clock.take(len(data))
            if not self._flow.is_open:
                self._clock.stop()
        self._send_chunk(data)

    def finish(self) -> None:
        """Say that this was all."""
        self._complete()
        self._send_chunk(b"")

    def abandon(self) -> None:
        """Tell the reader that the rest does not come."""
        if not self.is_complete:
            self._complete()
            self._pending = None
            self._send_closed()

    def clear(self) -> None:
        """Leave nothing in the layer that nobody will take: it would lie there until it expires."""
        if not self.is_complete:
            self._server.layer.receive_many([self.channel], _DISCARD_LIMIT)
            self.abandon()
        self._pending = None

    def _time_client(self) -> None:
        if self._clock is not None and self._flow.is_open:
            self._clock.start()

    def _complete(self) -> None:
        self.is_complete = True
        if self._clock is not None:
            self._clock.stop()

    def _send_chunk(self, data: bytes) -> None:
        if self._pending is not None:
            self._pending.append(data)
            data = b"".join(self._pending)
        chunk: dict[str, Any] = {"content": data, "more_content": not self.is_complete}
        try:
            self._server.layer.hand_over(self.channel, chunk)
            self._pending = None
        except (ChannelFull, ChannelLayerUnavailable):
            if self._pending is None:
                self._pending = [data]
            self._server.retry(self._send_pending)

    def _send_pending(self) -> None:
        if self._pending is not None:
            self._send_chunk(b"")

    def _send_closed(self) -> None:
        # It must come through: its reader would wait for long. A full channel empties, or expires.
        try:
            self._server.layer.hand_over(self.channel, dict(CLOSED_BODY))
        except ChannelFull:
            self._server.retry(self._send_closed)
        except ChannelLayerError as exc:
            logger.info("%s was not told: %r", self.channel, exc)
