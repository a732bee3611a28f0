"""HeldHandshake: what a WebSocket knows while a consumer has not answered its opening handshake.

An open socket has none of it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsgi_bridge.protocols.broadcast import Broadcast
from wsgi_bridge.protocols.states import CONNECTING, OPEN

if TYPE_CHECKING:
    from wsgi_bridge.server.websocket import WebSocketOwner

# Group messages kept for a socket whose handshake is not answered yet.
MAX_HELD = 100


class HeldHandshake:
    """One handshake that was sent to a consumer. Owned by the WebSocket's owner.

    ``is_due`` says whether its answer is awaited. ``was_accepted`` whether it came when the client
    had gone, and was to accept.
    """

    __slots__ = ("_broadcasts", "_owner", "is_due", "was_accepted")

    def __init__(self, owner: WebSocketOwner) -> None:
        self._owner = owner
        self._broadcasts: list[Broadcast] | None = None
        self.is_due = True
        self.was_accepted = False

    def take_answer(self, message: Mapping[str, Any]) -> bool:
        """Note that a consumer answered the handshake; whether nobody is left to be told.

        Who accepted a client that has gone meanwhile must hear that it has gone.
        """
        has_data = message.get("text") is not None or message.get("bytes") is not None
        is_accepted = bool(message.get("accept")) or has_data
        if not is_accepted and message.get("accept") is None and not message.get("close"):
            return False
        self.is_due = False
        if self._owner.machine.state is CONNECTING:
            if is_accepted:
                self._owner.leave_will()
            return False
        self.was_accepted = is_accepted
        self._owner.depart()
        return True

    def hold(self, broadcast: Broadcast) -> None:
        """Keep a group message until the handshake is answered: it must not be the answer."""
        if self._broadcasts is None:
            self._broadcasts = []
        if len(self._broadcasts) >= MAX_HELD:
            self._owner.sockets.server.counters.slow_client_lost_count += 1
            return
        self._broadcasts.append(broadcast)

    def deliver_held(self) -> None:
        """The handshake was answered: send what was held, if the socket is open."""
        broadcasts, self._broadcasts = self._broadcasts, None
        if broadcasts is not None and self._owner.machine.state is OPEN:
            for broadcast in broadcasts:
                self._owner.deliver_broadcast(broadcast)
