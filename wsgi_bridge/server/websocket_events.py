"""WebSocketEvents: what a WebSocket's client sent, on its way to the layer.

Events go out in order, no more at once than the window allows. What the layer does not take waits
and is tried again; what nobody acknowledges within the layer's expiry is given up, and counted.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.server import WEBSOCKET_EVENT_LOST, WEBSOCKET_UNACKNOWLEDGED
from wsgi_bridge.exceptions import (
    ChannelFull,
    ChannelLayerError,
    ChannelLayerUnavailable,
    MessageTooLarge,
)
from wsgi_bridge.protocols.frames import MESSAGE_TOO_BIG

if TYPE_CHECKING:
    from wsgi_bridge.server.websocket import WebSocketOwner

logger = logging.getLogger(__name__)


class WebSocketEvents:
    """The events of one WebSocket. Owned by its owner, whose deadline it moves."""

    __slots__ = ("_is_posted", "_owner", "_server", "awaited")

    def __init__(self, owner: WebSocketOwner) -> None:
        self._owner = owner
        self._server = owner.sockets.server
        self._is_posted = False  # whether an event is about to be put on the layer
        self.awaited = 0  # the event, and those before it, that the deadline is about

    def send_all(self) -> None:
        """Send on what the machine has received, as far as that may go out now."""
        owner, server = self._owner, self._server
        machine = owner.machine
        while not self._is_posted and (content := machine.next_message()) is not None:
            key = "text" if type(content) is str else "bytes"
            message = {"reply_channel": owner.reply_channel, "path": owner.path, key: content,
                       "order": machine.order}  # fmt: skip
            if server.gathers:
                self._is_posted = True
                server.post("websocket.receive", message, partial(self._settle, content))
                return
            try:
                server.layer.hand_over("websocket.receive", message)
            except (ChannelFull, ChannelLayerUnavailable):
                # Never a dropped frame (section 5): the socket is not read until this succeeds.
                machine.unsend(content)
                server.retry(owner.process)
                return
            except MessageTooLarge:
                owner.close(MESSAGE_TOO_BIG)
                return
            self._count()

    def send(self, channel: str, message: dict[str, Any]) -> bool:
        """Send the first or the last event; whether the layer took it."""
        try:
            self._server.layer.hand_over(channel, message)
        except (ChannelFull, ChannelLayerUnavailable, MessageTooLarge):
            return False
        return True

    def _settle(self, content: str | bytes, refusal: ChannelLayerError | None) -> None:
        """Learn what became of a posted event; the next one goes out after it."""
        owner = self._owner
        self._is_posted = False
        if isinstance(refusal, MessageTooLarge):
            owner.machine.close(MESSAGE_TOO_BIG)
        elif refusal is not None:
            # Never a dropped frame (section 5).
            owner.machine.unsend(content)
            self._server.retry(owner.process)
            return
        else:
            self._count()
        if refusal is not None or owner.machine.inbox:
            owner.process()

    def _count(self) -> None:
        self._server.counters.websocket_messages_count += 1
        if self._owner.machine.acked >= self.awaited:
            self.await_acknowledgements()

    # Acknowledgements

    def await_acknowledgements(self) -> None:
        """Wait for all that is unacknowledged now; later events are waited for after these.

        So that each gets the layer's expiry at least and twice that at most, whatever the window.
        """
        self.awaited = self._owner.machine.order
        self._owner.deadline = self._server.clock() + self._server.layer.expiry

    def give_up(self) -> None:
        """No worker acknowledged an event within the layer's expiry: it is lost, go on."""
        owner = self._owner
        machine = owner.machine
        lost = machine.give_up(self.awaited)
        self._server.counters.unacknowledged_count += lost
        if lost:
            WEBSOCKET_UNACKNOWLEDGED.log(
                logger,
                "not acknowledged, and counted as lost: %(number)d of %(path)s",
                cause="expiry",
                number=lost,
                path=self._owner.path,
            )
        if machine.acked != machine.order:
            self.await_acknowledgements()

    def take_lost(self, order: int) -> None:
        """The process that had taken an event was killed, and others say so."""
        machine = self._owner.machine
        waiting = machine.unacknowledged
        machine.acknowledge(order)
        if machine.unacknowledged < waiting:
            self._server.counters.unacknowledged_count += 1
            WEBSOCKET_EVENT_LOST.log(
                logger,
                "an event of %(path)s was lost with its worker process: counted",
                cause="worker died",
                path=self._owner.path,
            )
