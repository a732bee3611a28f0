"""WebSockets: what the WebSocket connections of one process share, and how one changes its process.

Deadlines, the origin check, and the hand-over: a live connection is a descriptor and a small state
(`release`), from which another process goes on (`adopt`) without its client noticing.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate

from wsgi_bridge.protocols.handshake import (
    Handshake,
    HandshakeError,
    is_origin_allowed,
    read_handshake,
)
from wsgi_bridge.server.farewell import Farewell
from wsgi_bridge.server.outbound import Socket
from wsgi_bridge.server.pings import Pinger
from wsgi_bridge.server.server import TICK, ProtocolServer
from wsgi_bridge.server.tls import TlsSocket
from wsgi_bridge.server.websocket import WebSocketOwner, new_machine

READ = 1  # libev's EV_READ


class WebSockets:
    """The WebSocket connections of one process. Used in the hub only."""

    def __init__(self, server: ProtocolServer) -> None:
        self.server = server
        self._farewell: Farewell | None = None
        self.pinger: Pinger | None = None
        if server.settings.ping_interval:
            self.pinger = Pinger(server, TICK)
            server.watch_ticks(self.pinger.on_tick)

    def check_handshake(self, message: dict[str, Any], method: str) -> Handshake:
        """Check a ``websocket.connect`` message's handshake and origin; raises HandshakeError."""
        if self.server.is_stopping:
            raise HandshakeError("this server is stopping", 503, [(b"Retry-After", b"1")])
        settings = self.server.settings
        headers = message["headers"]
        handshake = read_handshake(method, message["http_version"], headers, settings.compression)
        fields = dict(headers)
        origin, host = fields.get(b"origin"), fields.get(b"host")
        if not is_origin_allowed(origin, host, settings.allowed_origins):
            raise HandshakeError("this origin may not open WebSockets here", 403)
        return handshake

    def open(
        self,
        sock: Socket,
        watcher: Any,
        handshake: Handshake,
        message: dict[str, Any],
        request: Any = None,
    ) -> WebSocketOwner:
        """Own a socket on which a valid opening handshake was read, and ask a consumer."""
        message["subprotocols"] = list(handshake.subprotocols)
        machine = new_machine(handshake, self)
        owner = WebSocketOwner(self, sock, watcher, machine, message["path"], request)
        owner.connect(message)
        return owner

    def on_closed(self, owner: WebSocketOwner) -> None:
        """Count and log a socket that was given up."""
        server = self.server
        server.counters.websockets -= 1
        if server.access_log is not None and owner.request is not None:
            seconds = server.clock() - owner.started
            server.access_log(owner.request, owner.machine.status, (), owner.out.total, seconds)

    def close_soon(self, owner: WebSocketOwner, code: int) -> None:
        """Close a socket of a server that stops, when its turn has come."""
        if not self.server.stop_window:
            owner.close(code)
            return
        if self._farewell is None:
            self._farewell = Farewell(self.server, code, self.server.stop_window)
        self._farewell.add(owner)

    # Hand-over

    def release(self, owner: WebSocketOwner) -> tuple[Socket, dict[str, Any]] | None:
        """Give up an open connection: return its socket and a msgpack-able state.

        The state has a few hundred bytes. None when it cannot change hands now: not open, in the
        middle of a fragmented message, with an event unacknowledged or bytes unsent. Try again
        later, or close it with 1012. Never over TLS, whose keys stay in this process.
        """
        state = owner.machine.dump_state()
        if state is None or owner.out.size or isinstance(owner.sock, TlsSocket):
            return None
        state |= {"reply_channel": owner.reply_channel, "path": owner.path}
        self.server.counters.websockets -= 1
        return owner.detach(), state

    def adopt(self, sock: Socket, state: dict[str, Any]) -> WebSocketOwner:
        """Go on with a connection that another process released.

        The reply channel is the same; whoever reads its part before ``!`` must hand it over too.
        """
        machine = new_machine(Handshake(b""), self)
        bits = state["deflate"]
        machine.open(
            [PerMessageDeflate(True, True, bits[0], bits[1], {"memLevel": 5})] if bits else []
        )
        machine.status = 101
        machine.order = machine.acked = state["order"]
        machine.window = state.get("window", 1)  # a process of an earlier version does not say
        machine.inbox = deque(state["inbox"]) or None
        watcher = self.server.loop.io(sock.fileno(), READ)
        owner = WebSocketOwner(self, sock, watcher, machine, state["path"])
        owner.reply_channel = state["reply_channel"]
        self.server.connections[owner.reply_channel] = owner
        self.server.counters.websockets += 1
        owner.leave_will()  # its former process may die now, and it lives
        owner.resume(state["unread"])
        return owner
