"""A worker loop that notes what it has taken where its parent sees it: see `board`, `orphans`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsgi_bridge.processes.board import Board
from wsgi_bridge.processes.orphans import Orphan, Teller
from wsgi_bridge.worker import Worker

if TYPE_CHECKING:
    from wsgi_bridge.bridge import Bridge
    from wsgi_bridge.layers.base import BaseLayer, Batch
    from wsgi_bridge.routing import Match

__all__ = ["NotedWorker"]


class NotedWorker(Worker):
    """Puts what it is busy with on the board. ``options`` are a Worker's."""

    def __init__(
        self, bridge: Bridge, layer: BaseLayer, make_wakeup: Any, board: Board, **options: Any
    ) -> None:
        super().__init__(bridge, layer, make_wakeup, **options)
        #: Tells servers what was lost with other processes.
        self.teller = Teller(layer, make_wakeup)
        self._board = board
        # Where on the board, and the consumer, by the identity of a message that was taken.
        self._noted: dict[int, tuple[int, Match | None]] = {}

    def note_taken(self, batch: Batch) -> None:
        """Put messages on the board; see Worker."""
        begin, noted, channels = self._board.begin, self._noted, self.channels
        find = self.router.match
        for channel, message in batch:
            if channel in channels:  # not a bell of the worker's own
                name = str(channel)
                match = find(name, message)
                line = f"{name if match is None else match.route.name} {message.get('path', '')}"
                noted[id(message)] = begin(line, Orphan.write(name, message)), match

    def run(self, channel: str, message: dict[str, Any]) -> None:
        """Handle one message; see Worker."""
        at, match = self._noted.pop(id(message))
        try:
            self.run_match(match, channel, message)
        finally:
            if self._outlet is None:
                self._board.end(at)
            else:  # till its answer is put a kill would cost it
                self._outlet[0].after(self._board.end, at)
