"""A protocol server on this thread's hub, without an HTTP side; clients are ends of socketpairs.

Nothing is monkey-patched. The test's own greenlet is the consumer: it takes events from the layer
and answers them. The clock stands still until the test moves it.
"""

from __future__ import annotations

import _socket
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import socket as gevent_socket
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from tests.wsgi_bridge.protocols.frames import close_frame
from wsgi_bridge import open_layer
from wsgi_bridge.protocols.handshake import Handshake
from wsgi_bridge.server.server import ProtocolServer
from wsgi_bridge.server.sockets import READ, WebSockets
from wsgi_bridge.settings import load_settings

PATIENCE = 5.0  # seconds for what happens in the next turns of the hub
EVENTS = ["websocket.connect", "websocket.receive", "websocket.disconnect"]


def wait_for(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Let the hub turn until `condition` returns something true; return that."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        gevent.sleep(0.001)
    return found


def settle() -> None:
    """Let the hub turn until what is ready has been done."""
    for _ in range(5):
        gevent.sleep(0.001)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client's end of a socketpair."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self._reader = StreamReader()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_head(self) -> bytes:
        """Return an HTTP response's head, blank line included."""
        return self._until(b"\r\n\r\n")

    def _until(self, end: bytes) -> bytes:
        while end not in self._reader.buffer:
            self._fill()
        size = self._reader.buffer.index(end) + len(end)
        head = bytes(self._reader.buffer[:size])
        del self._reader.buffer[:size]
        return head

    def read_frame(self) -> tuple[Opcode, Any]:
        """Return the next frame as (opcode, payload), a close frame's as (code, reason)."""
        parser = Frame.parse(self._reader.read_exact, mask=False)
        frame = self._read(parser)
        if frame.opcode is Opcode.CLOSE:
            close = Close.parse(frame.data)
            return frame.opcode, (int(close.code), close.reason)
        return frame.opcode, bytes(frame.data)

    def _read(self, parser: Any) -> Any:
        while True:
            try:
                next(parser)
            except StopIteration as done:
                return done.value
            self._fill()

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._reader.feed_data(data)

    def read_to_end(self) -> bytes:
        """Return everything until the server closes."""
        parts = [bytes(self._reader.buffer)]
        while data := self.sock.recv(65536):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        self.sock.close()

    def answer_close(self, code: int) -> None:
        """Do what a client does with the server's close frame."""
        self.send(close_frame(code))


class Rig:
    """A server, its layer, and a log of what it did."""

    def __init__(self, layer: Any = None, *, gathers: bool = False, **settings: Any) -> None:
        self.clock = Clock()
        self.layer = layer or open_layer("memory://", clock=self.clock)
        self.logged: list[tuple[Any, ...]] = []
        self.server = ProtocolServer(
            self.layer,
            load_settings(settings, environ={}),
            access_log=lambda *entry: self.logged.append(entry),
            gathers=gathers,
            clock=self.clock,
        )
        self.sockets = WebSockets(self.server)
        self._clients: list[Client] = []

    def __enter__(self) -> Rig:
        self.server.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for client in self._clients:
            client.close()
        settle()
        self.server.close()

    @property
    def counters(self) -> Any:
        return self.server.counters

    def pair(self, *, buffer: int = 0) -> tuple[Any, Client]:
        """Return the server's (C) socket, and the client."""
        ours, theirs = gevent_socket.socketpair()
        if buffer:
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, buffer)
            theirs.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, buffer)
        sock = _socket.socket(ours.family, ours.type, 0, ours.detach())
        sock.setblocking(False)
        client = Client(theirs)
        self._clients.append(client)
        return sock, client

    def connect(self, *, buffer: int = 0, **handshake: Any) -> tuple[Any, Client]:
        """Open a connection whose handshake was read; its `websocket.connect` is in the layer."""
        sock, client = self.pair(buffer=buffer)
        watcher = self.server.loop.io(sock.fileno(), READ)
        message = {"path": "/chat", "headers": [], "order": 0}
        request = ("GET /chat", None)
        opening = Handshake(b"KEY", **handshake)
        return self.sockets.open(sock, watcher, opening, message, request), client

    def open(self, **options: Any) -> tuple[Any, Client]:
        """Open a connection and accept it."""
        owner, client = self.connect(**options)
        channel, _ = self.take()
        assert channel == "websocket.connect"
        self.reply(owner, {"accept": True})
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        return owner, client

    def take(self, *channels: str) -> tuple[str, dict[str, Any]]:
        """Return the next event for a consumer; wait for it."""
        return wait_for(lambda: self.poll(*channels), "an event")

    def poll(self, *channels: str) -> tuple[str, dict[str, Any]] | None:
        batch = self.layer.receive_many(list(channels or EVENTS), 1)
        return batch[0] if batch else None

    def reply(self, owner: Any, message: dict[str, Any]) -> None:
        self.layer.send(owner.reply_channel, message)

    def acknowledge(self, owner: Any, order: int) -> None:
        self.reply(owner, {"ack": order})

    def advance(self, seconds: float) -> None:
        """Move the clock, and let the server look at it."""
        self.clock.now += seconds
        self.server._tick()

    def is_empty(self) -> bool:
        """Whether the server holds nothing any more."""
        return not (self.server.connections or self.server.timed or self.counters.websockets)
