"""History: what was sent to a group, for who comes back to it.

`Group(name, history=100, ttl=300)` sends by the layer's storage, which keeps the last messages in a
log and gives each its place there. `recover` reads all that came after a place, or None: never a
part of it. What a client sees of this is in `protocols.history`; what is kept, and what the epoch
is, in `layers.storage_base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import InvalidMessage
from wsgi_bridge.layers.storage_base import Position, Recovered

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer

__all__ = ["TTL", "History"]

#: Seconds that a message is kept, unless told: a client that has been away for longer has most
#: likely been closed, and loads its page anew.
TTL = 300.0


@dataclass(frozen=True)
class History:
    """How many messages of a group are kept, and for how many seconds."""

    keep: int
    ttl: float = TTL

    def __post_init__(self) -> None:
        if type(self.keep) is not int or self.keep < 1:
            raise ValueError(f"history is a number of messages, 1 or more, not {self.keep!r}")
        if not self.ttl > 0:
            raise ValueError(f"ttl is in seconds, more than 0, not {self.ttl!r}")

    def check(self, content: Mapping[str, Any]) -> None:
        """Refuse a message that could not be recovered as it was sent; raises InvalidMessage."""
        if content.get("bytes") is not None:
            raise InvalidMessage(
                "a group with history is sent text: its frames say their place beside it; "
                "encode the bytes, or use a group without history"
            )

    def send_group(self, layer: BaseLayer, group: str, message: dict[str, Any]) -> None:
        """Send a message to a group, and keep it. Raises what the layer does."""
        layer.storage.send_group(group, message, keep=self.keep, ttl=self.ttl)

    def end(self, layer: BaseLayer, group: str) -> Position:
        """Return the place after the last message of a group."""
        epoch, offset, _ = layer.storage.read(group)
        return Position(epoch, offset)

    def recover(self, layer: BaseLayer, group: str, since: Position | str) -> Recovered:
        """Return what was sent after a place, each with its own; see `Group.recover`."""
        place = Position.parse(since) if isinstance(since, str) else since
        found = layer.storage.read(group, *place, limit=self.keep)
        if found.messages is None:
            return found
        placed = [
            {**message, "epoch": found.epoch, "offset": place.offset + number}
            for number, message in enumerate(found.messages, 1)
        ]
        return found._replace(messages=placed)
