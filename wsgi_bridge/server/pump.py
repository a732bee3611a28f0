"""Pump: a client's bytes for an app that wants a socket, where the client's own is none it can use.

Over TLS the descriptor carries what only this process can read. So the app gets one end of a pair
of sockets, and the pump carries bytes between the other end and the client, in the hub. No more
than MAX_WAITING of them wait here in either direction: who sends too much is not read meanwhile.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from wsgi_bridge.server.outbound import Outbound, Socket
from wsgi_bridge.server.server import NEVER, READ

if TYPE_CHECKING:
    from wsgi_bridge.server.server import ProtocolServer

READ_SIZE = 65536
# Bytes that wait for a reader; the kernel's buffers hold some more.
MAX_WAITING = 65536


class _Way:
    """One direction.

    ``on_move`` is called when bytes that waited went out, with how many wait still; and at the
    source's end, with 0 when that is out, too.
    """

    __slots__ = ("_on_move", "_out", "_source", "is_ended", "watcher")

    def __init__(
        self,
        server: ProtocolServer,
        source: Socket,
        sink: Socket,
        on_move: Callable[[int], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._source = source
        self._on_move = on_move
        self.is_ended = False
        self._out = Outbound(server.loop, sink, self._on_progress, on_lost)
        self.watcher = server.loop.io(source.fileno(), READ)
        self.watcher.start(self._on_readable)

    def send(self, data: bytes) -> bool:
        """Carry bytes; False when nobody is there to take them."""
        if not self._out.write(data):
            return False
        if self._out.size > MAX_WAITING:
            self.watcher.stop()
        return True

    def stop(self) -> None:
        """Carry nothing more."""
        self.is_ended = True
        self.watcher.stop()
        self._out.close()

    def _on_readable(self) -> None:
        try:
            data = self._source.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a reset is an end as good as any here
        if not data:
            self.is_ended = True
            self.watcher.stop()
            self._on_progress()
        elif not self.send(data):
            self.stop()
            self._on_move(0)

    def _on_progress(self) -> None:
        if not self.is_ended and self._out.size <= MAX_WAITING:
            self.watcher.start(self._on_readable)
        elif self.is_ended and not self._out.size:
            self._out.shutdown()
        self._on_move(self._out.size)


class Pump:
    """Owns a client's socket, and the end of a pair that the app does not have, until both close.

    When the client ends, the app reads that end and may still answer. When the app closes its end,
    the connection is over as soon as the client has taken what was sent; a client that takes
    nothing for ``close_timeout`` is cut off then.
    """

    __slots__ = ("_client", "_from_app", "_from_client", "_is_left", "_near", "_server", "deadline")

    def __init__(self, server: ProtocolServer, client: Socket, near: Socket, early: bytes) -> None:
        """Begin, with the client's ``early`` bytes. Both sockets are non-blocking."""
        self._server = server
        self._client = client
        self._near = near
        self._is_left = False  # whether the app is done
        self._from_client = _Way(server, client, near, self._on_taken_by_app, self._on_deaf)
        self._from_app = _Way(server, near, client, self._on_taken_by_client, self._close)
        self.deadline = NEVER
        server.timed.add(self)
        if early:
            self._from_client.send(early)

    def leave(self) -> None:
        """The app has closed its end: what it sent is the client's to take, and that soon."""
        self._is_left = True
        self._set_deadline()

    def _set_deadline(self) -> None:
        self.deadline = self._server.clock() + self._server.settings.close_timeout

    def _on_taken_by_app(self, left: int) -> None:
        """After the client's end the app reads the rest, and the end: then it closes."""

    def _on_deaf(self) -> None:
        """The app closed its end, and may have sent something before: that is read still."""
        self._from_client.stop()

    def _on_taken_by_client(self, left: int) -> None:
        if self._from_app.is_ended and not left:
            self._release()
            self._server.linger(self._client, self._from_client.watcher)
        elif self._from_app.is_ended or self._is_left:
            self._set_deadline()

    def on_due(self) -> None:
        """The app is done, and the client does not read."""
        self._close()

    def _close(self) -> None:
        self._release()
        self._from_client.watcher.close()
        self._client.close()

    def _release(self) -> None:
        self._server.timed.discard(self)
        self._from_client.stop()
        self._from_app.stop()
        self._from_app.watcher.close()
        self._near.close()


def make_pair() -> tuple[Socket, Socket]:
    """Return the two ends of a connection: for the pump, and for the app. Raises OSError.

    Neither is gevent's, whatever is patched: in the hub nothing may wait.
    """
    near, far = _socket.socketpair()
    near.setblocking(False)
    return near, far
