"""The one exception tree of the project.

    BridgeError
     ├─ ChannelLayerError
     │   ├─ ChannelFull              the channel holds as many messages as its capacity
     │   ├─ MessageTooLarge          (ValueError) past the layer's max_message_size
     │   ├─ ChannelLayerUnavailable  the backend is gone, or the layer is closed
     │   ├─ InvalidName              (TypeError) not a channel name, group name or pattern
     │   ├─ InvalidMessage           (TypeError) a value that the contract does not carry
     │   └─ InvalidLayerURL          (ValueError) unknown scheme or option of a layer's URL
     ├─ RoutingError                 (ValueError) bad pattern, import path or consumer
     ├─ RequestAborted               (ConnectionError) the client went away
     ├─ ConsumerTimeout              (TimeoutError) a consumer took longer than its route allows
     ├─ ConsumeLater                 raised by a consumer, to have its message again later
     └─ DenyConnection               raised by a websocket.connect consumer, to refuse

A layer translates its client library's exceptions into these at its edge, with `raise … from`.
The built-in classes in parentheses are bases too, so that code that knows nothing of this tree
still catches what it expects.
"""

from __future__ import annotations

__all__ = [
    "BridgeError",
    "ChannelFull",
    "ChannelLayerError",
    "ChannelLayerUnavailable",
    "ConsumeLater",
    "ConsumerTimeout",
    "DenyConnection",
    "InvalidLayerURL",
    "InvalidMessage",
    "InvalidName",
    "MessageTooLarge",
    "RequestAborted",
    "RoutingError",
]


class BridgeError(Exception):
    """Base of every exception that this project raises on purpose."""


class ChannelLayerError(BridgeError):
    """Base of what a channel layer raises."""


class ChannelFull(ChannelLayerError):
    """The channel is at capacity, and the message was not sent.

    `channel` is the full name that was sent to; for a process-specific one the capacity is that
    of the part up to `!`.
    """

    def __init__(self, channel: str) -> None:
        super().__init__(channel)
        self.channel = channel

    def __str__(self) -> str:
        return f"channel {self.channel!r} is at capacity"


class MessageTooLarge(ChannelLayerError, ValueError):
    """The message is larger than the layer's `max_message_size`."""


class ChannelLayerUnavailable(ChannelLayerError):
    """The backend cannot be reached, or the layer was closed."""


class InvalidName(ChannelLayerError, TypeError):
    """A channel name, group name or pattern outside MESSAGES.md section 1."""


class InvalidMessage(ChannelLayerError, TypeError):
    """A message holds a key or value that the contract does not carry."""


class InvalidLayerURL(ChannelLayerError, ValueError):
    """The URL of a layer has an unknown scheme or option."""


class RoutingError(BridgeError, ValueError):
    """A route cannot be used: bad pattern, unknown import path, consumer not callable."""


class RequestAborted(BridgeError, ConnectionError):
    """The client went away while its body was read or its response was written."""


class ConsumerTimeout(BridgeError, TimeoutError):
    """A consumer did not end within the `timeout` of its route, and was interrupted."""


class ConsumeLater(BridgeError):
    """Raised by a consumer: give me this message again later, and forget what I have sent.

    `delay` is in seconds; None leaves it to the `backoff` of the route, whose `retries` say how
    often. `reason` is a text for the log.
    """

    def __init__(self, reason: str = "", *, delay: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay = delay


class DenyConnection(BridgeError):
    """Raised by a `websocket.connect` consumer: refuse the opening handshake.

    `status` is the HTTP status of the answer, 403 unless given; `reason` is a text for it.
    """

    def __init__(self, reason: str = "", *, status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
