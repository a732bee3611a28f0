"""StreamEnds: a server that stops ends the streams that would never end by themselves.

Server-sent events and the like: their clients come back, as those of WebSockets do, and the makers
of the streams learn that nobody waits (wsgi_bridge/streams.py). Any other response may be a
download, and has all the time there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsgi_bridge.server.farewell import Farewell
from wsgi_bridge.server.request_at_work import RequestAtWork

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

# A WebSocket's code, which a stream has no use for.
NO_CODE = 0


class StreamEnds:
    """Cuts endless streams after ``grace`` seconds, those there are within ``window`` seconds.

    Also those that begin later. In the hub.
    """

    def __init__(self, server: ProtocolServer, grace: float, window: float) -> None:
        self._server = server
        self._window = window
        self._due = server.clock() + grace
        self._begun: set[RequestAtWork] = set()
        server.watch_ticks(self.look)

    def hurry(self) -> None:
        """Cut them all now; may be said again and again."""
        if self._window:
            self._begun.clear()
        self._due = self._window = 0.0
        self.look()

    def look(self) -> None:
        """Begin to cut what is due."""
        if self._server.clock() < self._due:
            return
        works = [each for each in self._server.connections.values() if type(each) is RequestAtWork]
        found = [work for work in works if work.is_endless and work not in self._begun]
        if not found:
            return
        self._begun.update(found)
        farewell = Farewell(self._server, NO_CODE, self._window)
        for work in found:
            farewell.add(work)
