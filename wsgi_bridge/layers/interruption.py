"""What a blocked ``receive`` hears beside its channels: that nobody waits for what it would return.

A view that streams waits in ``receive`` for its next event, maybe for hours. Its client goes away,
or its server stops, and that is said on a channel of the response's own, which the view knows
nothing of. So whoever writes the response makes it known here, in the view's context.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

__all__ = ["Interruption", "interruption"]


class Interruption(Protocol):
    """What may end the waits of one context, on ``channel`` of ``layer``."""

    @property
    def layer(self) -> object:
        """The layer whose waits are ended: of another nothing would be heard."""

    @property
    def channel(self) -> str:
        """Where it is said that there is something to ``check``."""

    def check(self) -> None:
        """Raise what is to end the wait, if that was said. Does not block."""


#: Of the current context: each message has a context of its own.
interruption: ContextVar[Interruption | None] = ContextVar("interruption", default=None)
