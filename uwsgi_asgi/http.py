"""Plain requests that were handed over: a connection with one request, whose body is there already.

The half that faces the client; the other one is `wsgi_bridge.server.request_at_work`, as with every
protocol server. Nothing is parsed: the worker has done that. The answer ends with its connection,
as uWSGI's own does: a front end that speaks the uwsgi protocol would take chunks for content.
"""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

from wsgi_bridge.server.outbound import Outbound, Socket
from wsgi_bridge.server.request_at_work import RequestAtWork
from wsgi_bridge.server.server import NEVER, ProtocolServer
from wsgi_bridge.server.stalls import Stalls

__all__ = ["HandedConnection", "HandedRequest", "HttpConnections"]

logger = logging.getLogger(__name__)

READ = 1  # libev's EV_READ
READ_SIZE = 65536
# Seconds that an answer is awaited for a client that sends no more: most have gone.
GONE_TIMEOUT = 10.0


class HttpConnections:
    """What the connections of one process share."""

    # Each request is the last of its connection.
    is_last = True
    keepalive = 0.0
    root_path = ""

    def __init__(self, server: ProtocolServer) -> None:
        self.server = server
        self.layer = server.layer
        self.settings = server.settings
        self.loop = server.loop
        self.clock = server.clock
        self.access_log = server.access_log
        self.stalls = Stalls(server)
        self.http_timeout = server.settings.http_timeout or NEVER
        self.connections: set[HandedConnection] = set()
        if server.wills:
            server.watch_slowly(self._leave_wills)

    def count_request(self) -> bool:
        """Count a request; there is no other on its connection."""
        self.server.counters.requests_count += 1
        return False

    def open(
        self, sock: Socket, watcher: Any, message: dict[str, Any], body: BinaryIO | None
    ) -> HandedConnection:
        """Own a connection, and have a consumer answer its request."""
        connection = HandedConnection(self, sock, watcher, body)
        connection.begin(HandedRequest(message, self.clock(), is_complete=body is None))
        return connection

    def _leave_wills(self) -> None:
        for connection in list(self.connections):
            connection.leave_will()


class HandedRequest:
    """A request as a worker has put it in the queue. A value."""

    # HTTP/1.0, whatever the client speaks: no chunks, no interim responses.
    version = "1.0"
    keep_alive = False
    forwarded: str | None = None
    expects_continue = False

    def __init__(self, message: dict[str, Any], started: float, *, is_complete: bool) -> None:
        self.method: str = message["method"]
        self.path: str = message["path"]
        self.target: bytes = message["raw_path"]
        self.started = started
        self.is_complete = is_complete
        self._message = message

    def to_message(
        self,
        reply_channel: str,
        scheme: str,  # noqa: ARG002 - the worker knows, here and below
        root_path: str,  # noqa: ARG002
        client: Any,  # noqa: ARG002
        server: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Return the ``http.request`` message."""
        return {**self._message, "reply_channel": reply_channel}


class HandedConnection:
    """The owner of one socket, until its answer is written.

    ``body`` is a file with the request's, if that does not fit into a message.
    """

    # What a connection has that reads requests; a worker has read this one.
    scheme = "http"
    client: Any = None
    server: Any = None
    queue: list[Any] | None = None

    def __init__(
        self, http: HttpConnections, sock: Socket, watcher: Any, body: BinaryIO | None
    ) -> None:
        """Own ``sock``, and its (stopped) read watcher."""
        self.http = http
        self.out = Outbound(http.loop, sock, self._on_progress, self.lose, http.stalls)
        self.deadline = http.clock() + http.http_timeout
        self.is_eof = False
        self.is_left = False
        self._sock = sock
        self._watcher = watcher
        self._body = body
        self._work = RequestAtWork(self)
        http.server.timed.add(self)
        http.connections.add(self)

    def begin(self, request: HandedRequest) -> None:
        """Have a consumer answer the request."""
        self._watcher.start(self._on_readable)
        self._work.begin(request)
        self._send_body()

    # The body

    def start_reading(self) -> None:
        """Send more of the body: its reader asks for it."""
        self._send_body()

    def stop_reading(self) -> None:
        """Do nothing: what the client sends is not what the reader waits for."""

    def on_body_late(self) -> None:
        """Do nothing: a file is never late."""

    def _send_body(self) -> None:
        work, file = self._work, self._body
        while work.body is not None and work.body.is_open and not work.body.is_complete:
            assert file is not None
            data = file.read(READ_SIZE)
            if not data:
                file.close()
                work.body.finish()
                return
            work.body.send(data)

    # The client

    def _on_readable(self) -> None:
        """See that the client goes; what it sends is no request any more."""
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self.is_eof = self.is_left = True
            self._watcher.stop()
            self.deadline = min(self.deadline, self.http.clock() + GONE_TIMEOUT)
            self._work.tell_gone()

    def _on_data(self, data: bytes) -> None:
        """Ignore it: it is no request any more."""

    def _on_progress(self) -> None:
        self._work.report_progress()
        if self._work.exchange is None and not self.out.size:
            self.close_gracefully()

    def on_due(self) -> None:
        """No consumer has answered in time."""
        self.deadline = NEVER
        self._work.abandon_body()
        self._work.answer(504)

    def lose(self) -> None:
        """The client is gone, or was given up: nothing more can be written."""
        self.out.close()
        if not self.is_left:
            self.is_eof = self.is_left = True
            self._watcher.stop()
            self._work.tell_gone()
        if self._work.exchange is not None:
            self._work.break_off()
        else:
            self._close()

    # The end

    def go_on(self) -> None:
        """There is no next request."""
        self.close_gracefully()

    def stop(self, code: int) -> None:
        """The server stops: what was asked is still answered."""

    def leave_will(self) -> None:
        """Have others tell whom it concerns that the client is gone, should this process die."""
        self._work.leave_will()

    def close_gracefully(self) -> None:
        """Close when everything is written, in a way that lets the client read it."""
        if self.out.is_lost:
            self._close()
        elif not self.out.size:
            self.out.shutdown()
            self._watcher.stop()
            self._leave()
            self.http.server.linger(self._sock, self._watcher)

    def _close(self) -> None:
        self._watcher.stop()
        self._leave()
        self._watcher.close()
        self._sock.close()

    def _leave(self) -> None:
        self.out.close()
        if self._body is not None:
            self._body.close()
        self.http.server.timed.discard(self)
        self.http.connections.discard(self)
