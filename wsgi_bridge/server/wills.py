"""What others are to say in the place of this process, should it be killed.

A server that is killed cannot say that its clients have gone. So it leaves word with the layer that
it shares with others, and they say it: for every open WebSocket, and for every request that takes
long enough to be worth an operation of its own. What ends in the ordinary way is revoked with the
reply channel (`forget_channel`), or here.
"""

from __future__ import annotations

import logging
from typing import Any

from wsgi_bridge.exceptions import ChannelLayerError
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.storage_base import Storage
from wsgi_bridge.protocols.frames import ABNORMAL_CLOSURE
from wsgi_bridge.server.request_body import CLOSED_BODY

__all__ = ["LAST_ORDER", "WILL_AFTER", "Wills"]

logger = logging.getLogger(__name__)

#: Seconds that a request has been waiting for its answer, or a stream been under way, when word is
#: left for it: the consumer of any shorter one has soon finished, whoever hears it.
WILL_AFTER = 1.0

#: The order of a disconnection after frames whose number is not known: behind all of them.
LAST_ORDER = 2**31 - 1


class Wills:
    """The wills of the connections of one process; none, if no other process shares the layer."""

    def __init__(self, layer: BaseLayer) -> None:
        self._storage: Storage | None = None
        if "storage" in layer.extensions and layer.storage.is_shared:
            self._storage = layer.storage

    def __bool__(self) -> bool:
        """Whether there is anybody to leave word with."""
        return self._storage is not None

    def leave_for_websocket(self, reply_channel: str, path: str) -> None:
        """Have `websocket.disconnect` said; MESSAGES.md section 3."""
        message = {
            "reply_channel": reply_channel,
            "path": path,
            "order": LAST_ORDER,
            "code": ABNORMAL_CLOSURE,
            "reason": "",
        }
        self.leave(reply_channel, [("websocket.disconnect", message)])

    def leave_for_request(
        self, gone: dict[str, Any], flow_channel: str | None, body_channel: str | None
    ) -> None:
        """Have `http.disconnect` said, which is `gone`, and whoever waits for the client told."""
        messages: list[tuple[str, dict[str, Any]]] = [("http.disconnect", gone)]
        if flow_channel is not None:
            messages.append((flow_channel, {"closed": True}))
        if body_channel is not None:
            messages.append((body_channel, dict(CLOSED_BODY)))
        self.leave(gone["reply_channel"], messages)

    def leave(self, reply_channel: str, messages: list[tuple[str, dict[str, Any]]]) -> None:
        """Have these said, in the place of what was to be said before."""
        if self._storage is None:
            return
        try:
            self._storage.set_will(reply_channel, messages)
        except ChannelLayerError as exc:
            logger.info("nobody would say that %s is gone: %r", reply_channel, exc)

    def revoke(self, reply_channel: str) -> None:
        """Say nothing more of it."""
        if self._storage is None:
            return
        try:
            self._storage.clear_will(reply_channel)
        except ChannelLayerError as exc:
            logger.info("a will of %s may be left: %r", reply_channel, exc)
