"""The hijack convention: a WSGI app that takes the socket for itself.

Under gunicorn an app finds the raw socket in ``environ["gunicorn.socket"]`` and, when it has talked
over it, raises StopIteration out of its callable. flask-sock (simple-websocket) and others do this
for WebSockets. Here the socket belongs to a connection on the hub until the app touches it. Over
TLS it stays there, and the app has one end of a pair of sockets (pump.py).
"""

from __future__ import annotations

import contextlib
import socket as blocking
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import socket
from gevent.monkey import get_original

from wsgi_bridge.protocols.states import CONNECTING
from wsgi_bridge.server.pump import Pump, make_pair
from wsgi_bridge.server.tls import TlsSocket
from wsgi_bridge.server.websocket import WebSocketOwner

if TYPE_CHECKING:
    _Base = blocking.socket
else:
    _Base = object


class _EarlyBytes(_Base):
    """Bytes that came in one packet with the handshake are read first."""

    early = b""

    def recv(self, size: int, *flags: int) -> bytes:
        """Return up to ``size`` bytes."""
        early = self.early
        if not early:
            return bytes(super().recv(size, *flags))
        self.early = early[size:]
        return early[:size]

    def recv_into(self, buffer: Any, size: int = 0, *flags: int) -> int:
        """Read up to ``size`` bytes into ``buffer``; return how many."""
        if not self.early:
            return int(super().recv_into(buffer, size, *flags))
        data = self.recv(size or len(buffer))
        buffer[: len(data)] = data
        return len(data)


class HijackedSocket(_EarlyBytes, socket.socket):
    """The socket of an app in a greenlet."""

    def send(self, data: Any, *flags: int) -> int:
        """Send all of ``data``: a socket that blocks does, and apps rely on it.

        gevent's sends what the kernel takes at once; simple-websocket would lose the rest.
        """
        view, sent = memoryview(data).cast("B"), 0
        while sent < len(view):
            sent += super().send(view[sent:], *flags)
        return sent


class HijackedNativeSocket(_EarlyBytes, get_original("socket", "socket")):  # type: ignore[misc]
    """The socket of an app in a native thread."""

    def close(self) -> None:
        """Close it, also for a thread that waits in a read: the kernel would wait for that one."""
        with contextlib.suppress(OSError):  # the client has gone
            self.shutdown(blocking.SHUT_RDWR)
        super().close()


def _call_here(function: Callable[[], Any]) -> Any:
    return function()


class LazySocket:
    """Stands for the socket of a held opening handshake; touching it takes it.

    ``is_taken`` says whether an app did. From then on it behaves as the socket it has become, and
    the connection is the app's alone. To be used in a greenlet, not in the hub; or in a native
    thread, with ``call``, which runs a function in the hub (``ProtocolServer.call``).
    """

    def __init__(
        self, owner: WebSocketOwner, call: Callable[[Callable[[], Any]], Any] | None = None
    ) -> None:
        self._owner = owner
        self._kind = HijackedSocket if call is None else HijackedNativeSocket
        self._call = call or _call_here
        self._taken: HijackedSocket | HijackedNativeSocket | None = None
        self._on_close: Callable[[], None] | None = None
        self._pump: Pump | None = None  # over TLS

    @property
    def is_taken(self) -> bool:
        """Whether the app has taken the socket."""
        return self._taken is not None

    def __getattr__(self, name: str) -> Any:
        if self._taken is None:
            self._taken = self._call(self._take)
            self._taken.setblocking(True)
        return getattr(self._taken, name)

    def _take(self) -> HijackedSocket | HijackedNativeSocket:
        owner = self._owner
        if owner.machine.state is not CONNECTING:
            raise ConnectionAbortedError("the client has gone, or its handshake was answered")
        if isinstance(owner.sock, TlsSocket):
            return self._take_decrypted(owner)
        raw = owner.detach()
        self._on_close, raw.on_close = raw.on_close, None
        taken = self._kind(raw.family, raw.type, raw.proto, fileno=raw.detach())
        taken.early = owner.machine.take_unread()
        return taken

    def _take_decrypted(self, owner: WebSocketOwner) -> HijackedSocket | HijackedNativeSocket:
        """Give the app a socket that what comes over TLS is carried to."""
        near, far = make_pair()
        client = owner.detach()  # closed, and counted so, when the pump is done with it
        self._pump = Pump(owner.sockets.server, client, near, owner.machine.take_unread())
        return self._kind(far.family, far.type, far.proto, fileno=far.detach())

    def finish(self) -> None:
        """Close the socket, which the app is done with, and log the connection."""
        if self._taken is None:
            return
        self._taken.close()
        self._call(self._count_out)

    def _count_out(self) -> None:
        owner = self._owner
        if self._pump is not None:
            self._pump.leave()
        owner.machine.status = 101
        owner.sockets.on_closed(owner)
        if self._on_close is not None:
            self._on_close()
