"""A layer, as the server and the consumers of a test client use it: in turns, in one thread.

Everything is the layer's own, but that who would have to wait for somebody else in the same thread
lets them have their turn, and that nobody needs to be woken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError
from wsgi_bridge.layers.base import BaseLayer, Batch, Listener
from wsgi_bridge.testing.clock import FakeClock
from wsgi_bridge.testing.strands import Strands, is_in_strand

Message = dict[str, Any]


class Polled:
    """In place of a wakeup, for who is asked in every turn."""

    def __init__(self, function: Callable[[], None]) -> None:
        """Forget the function."""

    def __call__(self) -> None:
        """Do nothing."""


class _NoListener(Listener):
    def close(self) -> None:
        """Do nothing."""


class InterleavedLayer:
    """Passes everything on to ``layer``. ``reply_prefix`` begins the server's reply channels.

    ``taken`` counts the messages that were received through it.
    """

    def __init__(self, layer: BaseLayer, strands: Strands, clock: FakeClock) -> None:
        self.layer = layer
        self.taken = 0
        self.reply_prefix = "!"
        self._strands = strands
        self._clock = clock

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return getattr(self.layer, name)

    def listen(self, channels: Sequence[str], wake: Callable[[], object]) -> Listener:
        """Listen; see BaseLayer."""
        return _NoListener() if isinstance(wake, Polled) else self.layer.listen(channels, wake)

    def send(self, channel: str, message: Message) -> None:
        """Send, and let the server take it; see BaseLayer."""
        self._give(self.layer.send, channel, message)

    def hand_over(self, channel: str, message: Message) -> None:
        """Hand over, and let the server take it; see BaseLayer."""
        self._give(self.layer.hand_over, channel, message)

    def _give(self, give: Callable[[str, Message], None], channel: str, message: Message) -> None:
        try:
            give(channel, message)
        except ChannelFull:
            self._pause(channel)  # the sender will try again
            raise
        self._pause(channel)

    def send_many(self, messages: Sequence[tuple[str, Message]]) -> list[ChannelLayerError | None]:
        """Send several, and let the server take them; see BaseLayer."""
        return self._give_many(self.layer.send_many, messages)

    def hand_over_many(
        self, messages: Sequence[tuple[str, Message]]
    ) -> list[ChannelLayerError | None]:
        """Hand several over, and let the server take them; see BaseLayer."""
        return self._give_many(self.layer.hand_over_many, messages)

    def _give_many(
        self, give: Callable[..., list[ChannelLayerError | None]], messages: Any
    ) -> list[ChannelLayerError | None]:
        refusals = give(messages)
        for channel in dict.fromkeys(channel for channel, _ in messages):
            self._pause(channel)
        return refusals

    def _pause(self, channel: str) -> None:
        if channel.startswith(self.reply_prefix):
            self._strands.pause(channel)

    def receive_many(
        self,
        channels: Sequence[str],
        limit: int = 1,
        timeout: float | None = 0.0,
        *,
        compact: bool = False,
    ) -> Batch:
        """Receive; a consumer that waits waits by the test's clock. See BaseLayer."""
        batch = self.layer.receive_many(channels, limit, 0.0, compact=compact)
        if not batch and timeout != 0.0:
            if is_in_strand():
                batch = self._wait(channels, limit, timeout, compact)
            else:
                batch = self.layer.receive_many(channels, limit, timeout, compact=compact)
        self.taken += len(batch)
        return batch

    def _wait(
        self, channels: Sequence[str], limit: int, timeout: float | None, compact: bool
    ) -> Batch:
        end = None if timeout is None else self._clock() + timeout
        batch: Batch = []
        while not batch and (end is None or self._clock() < end):
            self._strands.wait(channels)
            batch = self.layer.receive_many(channels, limit, 0.0, compact=compact)
        return batch

    def receive(
        self, channels: Sequence[str], block: bool = False, timeout: float | None = None
    ) -> tuple[str, Message] | tuple[None, None]:
        """Receive one message; see BaseLayer."""
        for channel, message in self.receive_many(channels, 1, timeout if block else 0.0):
            return str(channel), message
        return None, None
