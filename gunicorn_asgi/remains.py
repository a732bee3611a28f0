"""What consumers were busy with when their process was killed, as the master of a split sees it.

gunicorn says which process has died, not of what. It makes the next worker when it has reaped the
one before; the next one that runs consumers is told what was left, and tells those who wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gunicorn_asgi.events import WORKER_KILLED_BUSY
from gunicorn_asgi.roles import is_unreaped

if TYPE_CHECKING:
    from wsgi_bridge.processes.board import Board
    from wsgi_bridge.processes.orphans import Orphan

__all__ = ["Remains"]


class Remains:
    """The boards of one master's workers. Lives in the master; what a child has is a copy."""

    def __init__(self) -> None:
        self._boards: list[tuple[Any, Board]] = []

    def watch(self, worker: Any, board: Board) -> None:
        """Look after the board of a worker that was made."""
        self._boards.append((worker, board))

    def collect(self, log: Any) -> list[Orphan]:
        """Say what those who have died were busy with; return who is to be told."""
        found: list[Orphan] = []
        for worker, board in [entry for entry in self._boards if not is_unreaped(entry[0])]:
            self._boards.remove((worker, board))
            if board.lines():
                WORKER_KILLED_BUSY.log(
                    log,
                    "Worker (pid:%(pid)s) ended while busy with %(busy)s",
                    cause="ended by itself or killed",
                    pid=worker.pid,
                    busy=board,
                )
                found += board.orphans()
            board.close()
        return found
