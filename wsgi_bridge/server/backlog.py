"""What waits for a WebSocket client that does not read, and what becomes of more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from wsgi_bridge.events.server import WEBSOCKET_SLOW_CLIENT
from wsgi_bridge.protocols.frames import TRY_AGAIN_LATER

if TYPE_CHECKING:
    from wsgi_bridge.server.websocket import WebSocketOwner

logger = logging.getLogger(__name__)

# The policy `block` holds messages back up to this many write buffers, then closes.
BLOCK_FACTOR = 4
# Bytes that wait for a client from which on only its latest ping is answered.
PONG_ROOM = 65536


def has_room(owner: WebSocketOwner, policy: str) -> bool:
    """Apply the policy for a client whose buffer is full; whether a message may be kept."""
    limit = owner.sockets.server.settings.write_buffer
    if policy == "drop":
        return False
    if policy == "block" and owner.out.size <= BLOCK_FACTOR * limit:
        return True
    WEBSOCKET_SLOW_CLIENT.log(
        logger,
        "closing %(path)s: the client does not read, %(waiting)d bytes wait",
        cause="write_buffer",
        path=owner.path,
        waiting=owner.out.size,
    )
    # Nothing is added behind the close frame: what waits is bounded, by `close_timeout` too.
    owner.close(TRY_AGAIN_LATER, "client too slow")
    return False
