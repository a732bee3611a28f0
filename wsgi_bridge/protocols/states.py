"""What a WebSocket connection can be at, and what it can wait for."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where the connection is (RFC 6455 sections 4 and 7)."""

    CONNECTING = enum.auto()  # the handshake is held until a consumer answers
    OPEN = enum.auto()
    CLOSING = enum.auto()  # a close frame was sent or received
    CLOSED = enum.auto()  # nothing more to send or to receive but what waits in the inbox


class Hold(enum.Enum):
    """Why bytes that have come are not looked at yet, and no more are read."""

    ANSWERS = enum.auto()  # what came before is not acknowledged
    TURN = enum.auto()  # others have their turn
    RATE = enum.auto()  # too many frames came


# Names of the module: reading them off an Enum class costs as much as a function call.
CONNECTING, OPEN, CLOSING, CLOSED = State
ANSWERS, TURN, RATE = Hold
