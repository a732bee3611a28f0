"""How a streaming consumer hears what became of its content (`flow_channel`, see messages.py)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelLayerError, InvalidName
from wsgi_bridge.messages import MESSAGE_COST, RESPONSE_WINDOW
from wsgi_bridge.names import check_reader
from wsgi_bridge.protocols.http import ResponseError

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

logger = logging.getLogger(__name__)

_HALF = RESPONSE_WINDOW // 2
# Reports taken at once of a channel that nobody reads any more; more than one can hold by default.
_DISCARD_LIMIT = 1024


class ResponseFlow:
    """The account of one streamed response. Owned by the connection that writes it."""

    __slots__ = ("_cost", "_server", "_taken", "channel")

    def __init__(self, server: ProtocolServer, channel: str) -> None:
        """Report on ``channel``. Raises ResponseError for what nobody can receive on."""
        try:
            check_reader(channel)
        except InvalidName as exc:
            raise ResponseError(f"flow_channel: {exc}") from exc
        self._server = server
        self.channel = channel
        self._taken = 0  # content bytes of all messages so far
        self._cost = 0  # of the messages that were not reported

    def take(self, size: int, waiting: int) -> None:
        """Count a message of ``size`` content bytes; ``waiting`` bytes are not written yet."""
        self._taken += size
        self._cost += size + MESSAGE_COST
        self.report(waiting)

    def report(self, waiting: int) -> None:
        """Say what has gone out, when that is another half window."""
        if self._cost < _HALF or waiting >= _HALF:
            return
        if self._post({"sent": max(0, self._taken - waiting)}):
            # What still waits is reported when it has gone, however little it is.
            self._cost = _HALF if waiting else 0

    def close(self) -> None:
        """Say that the client went away."""
        self._post({"closed": True})

    def clear(self) -> None:
        """Leave nothing in the layer that nobody will take: it would lie there until it expires."""
        self._server.layer.receive_many([self.channel], _DISCARD_LIMIT)

    def _post(self, report: dict[str, Any]) -> bool:
        try:
            self._server.layer.hand_over(self.channel, report)
        except ChannelLayerError as exc:
            logger.info("%s was not told: %r", self.channel, exc)
            return False
        return True
