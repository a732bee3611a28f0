"""A WebSocket connection on a descriptor: the adapter between socket, state machine and layer.

One loop: read, feed the machine, send what it says, process. The connection is a descriptor and a
small state, so it can be released by one process and adopted by another.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.server import WEBSOCKET_ANSWER_IGNORED, WEBSOCKET_INVALID_ANSWER
from wsgi_bridge.protocols.broadcast import Broadcast
from wsgi_bridge.protocols.frames import (
    ABNORMAL_CLOSURE,
    INTERNAL_ERROR,
    PING_FRAME,
)
from wsgi_bridge.protocols.handshake import Handshake
from wsgi_bridge.protocols.http import ResponseError, error_response
from wsgi_bridge.protocols.states import (
    CLOSED,
    CLOSING,
    CONNECTING,
    OPEN,
    TURN,
)
from wsgi_bridge.protocols.websocket import WebSocketConnection
from wsgi_bridge.server.backlog import BLOCK_FACTOR, PONG_ROOM, has_room
from wsgi_bridge.server.held_handshake import HeldHandshake
from wsgi_bridge.server.outbound import Outbound, Socket
from wsgi_bridge.server.pace import Pace, Pause
from wsgi_bridge.server.server import NEVER
from wsgi_bridge.server.websocket_events import WebSocketEvents

if TYPE_CHECKING:
    from wsgi_bridge.server.sockets import WebSockets

logger = logging.getLogger(__name__)

READ_SIZE = 65536
# What the machine raises for an answer it cannot encode; not a ResponseError when a type is wrong.
INVALID_ANSWER = (ResponseError, TypeError, ValueError, AttributeError)


class WebSocketOwner:
    """The owner of one WebSocket: its socket, its state machine and its place in the registry.

    Made by an HTTP connection that read an opening handshake, or by ``WebSockets.adopt``. Everyone
    else posts to its reply channel. All methods run in the hub.
    """

    __slots__ = ("__weakref__", "_events", "_handshake", "_is_closing", "_is_disconnected",
                 "_is_going_on", "_pace", "_pings", "deadline", "is_reading", "machine", "out",
                 "path", "reply_channel", "request", "silent_since", "sock", "sockets", "started",
                 "watcher")  # fmt: skip

    def __init__(
        self,
        sockets: WebSockets,
        sock: Socket,
        watcher: Any,
        machine: WebSocketConnection,
        path: str,
        request: Any = None,
    ) -> None:
        """Take over ``sock`` and its (stopped) read watcher.

        ``request`` is what the access log wants to know of it, kept only if there is one.
        """
        self.sockets = sockets
        self.sock = sock
        self.watcher = watcher
        self.machine = machine
        self.path = path
        self.request = request
        self.reply_channel = ""
        self.started = sockets.server.clock()
        self.out = Outbound(sockets.server.loop, sock, self._on_progress, self._on_lost)
        self.deadline = NEVER
        sockets.server.timed.add(self)
        self._events = WebSocketEvents(self)
        self._handshake: HeldHandshake | None = None
        self.is_reading = True
        self._is_disconnected = False
        self._is_closing = False
        self._is_going_on = False  # whether to go on with bytes that are held is due already
        rate = sockets.server.settings.max_frame_rate
        self._pace = Pace(rate) if rate else None
        self.silent_since = 0.0  # when the ping was sent that nothing followed; 0: none
        self._pings = None if sockets.pinger is None else sockets.pinger.add(self)
        watcher.start(self._on_readable)

    # Replies: messages from the layer

    def deliver(self, message: dict[str, Any]) -> None:
        """Take one message from the reply channel."""
        machine = self.machine
        handshake = self._handshake
        if handshake is not None and handshake.is_due and handshake.take_answer(message):
            return
        counters = self.sockets.server.counters
        counters.websocket_answers_count += "text" in message or "bytes" in message
        ack = message.get("ack")
        try:
            machine.answer(message, self.sockets.server.preamble)
        except INVALID_ANSWER as exc:
            self._answer_invalid(exc)
        if machine.ignored:
            self._count_ignored()
        if type(ack) is int and "lost" not in message:
            machine.acknowledge(ack)
        elif ack is not None:
            self._take_lost(ack)
        if machine.state is OPEN and machine.acked == machine.order:
            self.deadline = NEVER
        elif ack is not None and machine.state is OPEN and machine.acked >= self._events.awaited:
            self._events.await_acknowledgements()
        if self.out.size:
            self._check_backlog()
        self.process()
        if handshake is not None and machine.state is not CONNECTING:
            self._end_handshake(handshake)

    def _take_lost(self, order: Any) -> None:
        """Count an event as lost with its process, if it is the order of one."""
        if type(order) is int:
            self._events.take_lost(order)
        else:
            self._answer_invalid(ResponseError(f"ack is the order of an event, not {order!r}"))

    def _end_handshake(self, handshake: HeldHandshake) -> None:
        """The handshake was answered, with whatever: an open socket needs to know no more."""
        if not handshake.is_due and not handshake.was_accepted:
            self._handshake = None
        handshake.deliver_held()

    def deliver_broadcast(self, broadcast: Broadcast) -> None:
        """Take one group message: its frame is shared, the policy for slow clients is ours."""
        machine = self.machine
        if machine.state is CONNECTING:
            if self._handshake is not None:
                self._handshake.hold(broadcast)
            return
        if machine.state is not OPEN:
            return
        if not broadcast.is_plain:
            self.deliver(dict(broadcast.message))
            return
        settings = self.sockets.server.settings
        if self.out.size > settings.write_buffer and not has_room(self, settings.slow_client):
            self.sockets.server.counters.slow_client_lost_count += 1
            return
        try:
            frame = broadcast.encode(machine.deflate_bits, settings.compress_threshold)
        except INVALID_ANSWER as exc:
            self._answer_invalid(exc)
            return
        self.sockets.server.counters.websocket_sent_count += 1
        if not self.out.write(frame):
            self._on_lost()

    def leave_will(self) -> None:
        """Have others say that the socket is gone, should this process be killed."""
        self.sockets.server.wills.leave_for_websocket(self.reply_channel, self.path)

    def _answer_invalid(self, exc: Exception) -> None:
        """A consumer's answer cannot be sent: 500 in the handshake, 1011 when open (section 5)."""
        WEBSOCKET_INVALID_ANSWER.log(
            logger, "answer for %(path)s cannot be sent: %(cause)s", cause=exc, path=self.path
        )
        self.sockets.server.counters.invalid_answers_count += 1
        self.machine.refuse(error_response(500), self.sockets.server.preamble)
        self.machine.close(INTERNAL_ERROR)
        self.process()

    def _count_ignored(self) -> None:
        """Text and bytes in one answer, or a close code that no endpoint may send (section 3)."""
        WEBSOCKET_ANSWER_IGNORED.log(
            logger,
            "an answer for %(path)s was ignored: both text and bytes, or a bad close code",
            cause="invalid answer",
            path=self.path,
        )
        self.sockets.server.counters.invalid_answers_count += self.machine.ignored
        self.machine.ignored = 0

    def _check_backlog(self) -> None:
        """A consumer's own answers are bounded too: it ran ahead of its client."""
        self.machine.is_stalled = self.out.size > PONG_ROOM
        if self.out.size > BLOCK_FACTOR * self.sockets.server.settings.write_buffer:
            has_room(self, "close")

    # The socket

    def _on_readable(self) -> None:
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.silent_since = 0.0
            self.machine.receive_data(data)
            if self._pace is not None:
                self._keep_pace(self._pace)
            if self.out.size:
                self._check_backlog()  # pongs, too, wait for a client that does not read
        else:
            self._take_eof()
        self.process()

    def _take_eof(self) -> None:
        self.machine.receive_eof()
        self.out.close()
        self._stop_reading()

    def process(self) -> None:
        """Write what the machine has to say, send on what it has received, finish when it has."""
        machine = self.machine
        data = machine.data_to_send()
        if data and not self.out.write(data):
            self._take_eof()
        if machine.inbox:
            self._events.send_all()
        if machine.hold is TURN and not self._is_going_on:
            self._is_going_on = True
            self.sockets.server.loop.run_callback(self._go_on)
        if machine.state is OPEN:
            if machine.is_reading is not self.is_reading:
                self._stop_reading() if self.is_reading else self._start_reading()
        elif machine.state is not CONNECTING:
            self._finish()
        elif not machine.is_reading and self.is_reading:
            self._stop_reading()

    def _go_on(self) -> None:
        """Look at bytes that were held: the others had their turn, or a pause is over."""
        self._is_going_on = False
        self.machine.go_on()
        if self._pace is not None:
            self._keep_pace(self._pace)
        self.process()

    def _keep_pace(self, pace: Pace) -> None:
        """Do not read on for a while, if the client sent more frames than it may."""
        machine, server = self.machine, self.sockets.server
        delay = pace.take(machine.frames_count, server.clock())
        if delay and machine.pause() and not self._is_going_on:
            self._is_going_on = True
            Pause(server, delay, self._go_on)

    def _start_reading(self) -> None:
        if not self._is_disconnected and not self.out.is_lost:
            self.silent_since = 0.0  # a pong may be there, and was not read
            self.watcher.start(self._on_readable)
            self.is_reading = True

    def _stop_reading(self) -> None:
        self.watcher.stop()
        self.is_reading = False

    def _on_progress(self) -> None:
        self.silent_since = 0.0
        if self.machine.is_stalled and self.out.size <= PONG_ROOM:
            self.machine.end_stall()
            self.process()
        if self.machine.state is CLOSED:
            self._finish()

    def _on_lost(self) -> None:
        self._take_eof()
        self.process()

    # Events: messages to the layer

    def connect(self, message: dict[str, Any]) -> None:
        """Register, and ask a consumer for an answer to the held handshake."""
        server = self.sockets.server
        self.reply_channel = message["reply_channel"] = server.register(self)
        server.counters.websockets += 1
        server.counters.websocket_connects_count += 1
        self._set_deadline(server.settings.handshake_timeout)
        if self._events.send("websocket.connect", message):
            self._handshake = HeldHandshake(self)
        else:
            server.counters.refused_full_count += 1
            self.answer_status(503, [(b"Retry-After", b"1")])

    def answer_status(self, status: int, headers: Any = ()) -> None:
        """Refuse the held handshake with a status of the server's own."""
        self.machine.refuse(error_response(status, headers=headers), self.sockets.server.preamble)
        self.process()

    def on_due(self) -> None:
        """What this connection waits for did not come in time."""
        self.deadline = NEVER
        if self.machine.state is CONNECTING:
            self.sockets.server.counters.late_answers_count += 1
            self.answer_status(504)
        elif not self._is_disconnected and self.machine.state is not OPEN:
            self._lose()  # the peer did not answer our close frame, or does not read it
        elif self._handshake is not None and self._handshake.is_due:
            self._handshake = None  # nor will it be answered now
            self.depart()
        else:
            self._events.give_up()
            self.process()

    def _set_deadline(self, delay: float) -> None:
        self.deadline = self.sockets.server.clock() + delay

    # Pings

    def ping(self, now: float) -> bool:
        """Send a ping; whether a sign of the client is awaited from now on."""
        if self.machine.state is not OPEN or self.silent_since:
            return False
        self.silent_since = now
        if not self.out.write(PING_FRAME):
            self._on_lost()
        return True

    def give_up(self, reason: str) -> None:
        """The client is gone, without a word: 1006, and ``reason`` for the consumers."""
        self._take_eof()
        self.machine.close_reason = reason
        self.process()

    # The end

    def stop(self, code: int) -> None:
        """The server stops: 1012 to an open socket, soon, and 503 to a held handshake."""
        if self.machine.state is CONNECTING:
            self.answer_status(503, [(b"Retry-After", b"1")])
        else:
            self.sockets.close_soon(self, code)

    def close(self, code: int, reason: str = "") -> None:
        """Close an open socket."""
        self.machine.close(code, reason)
        self.process()

    def _leave_pings(self) -> None:
        if self._pings is not None:
            self._pings.discard(self)
            self._pings = None

    def _lose(self) -> None:
        """Close the socket without waiting for the peer."""
        data = self.machine.data_to_send()
        if data and not self.out.size:
            self.out.write(data)
        self._take_eof()
        self.process()

    def _finish(self) -> None:
        """Close the socket when its bytes are out, the connection when all is acknowledged."""
        machine = self.machine
        if not self._is_closing:
            self._is_closing = True
            self._set_deadline(self.sockets.server.settings.close_timeout)
        if machine.state is CLOSING:
            if not self.is_reading:
                self._start_reading()  # for the peer's close frame, whatever waits for a consumer
            return
        if not self._is_disconnected and (self.out.is_lost or not self.out.size):
            self._disconnect()
        if self._is_disconnected and not machine.inbox and machine.acked == machine.order:
            self.depart()

    def _disconnect(self) -> None:
        """Give up the socket; events that wait for a consumer still go out, in order."""
        self._is_disconnected = True
        self._leave_pings()
        self._events.await_acknowledgements()
        self._stop_reading()
        if self.out.is_lost:
            self.watcher.close()
            self.sock.close()
        else:
            self.out.shutdown()
            self.sockets.server.linger(self.sock, self.watcher)
        self.out.close()
        self.sockets.on_closed(self)

    def depart(self) -> None:
        """Say that the socket has gone, once every earlier event is done with."""
        server = self.sockets.server
        handshake = self._handshake
        is_due = handshake is not None and handshake.is_due
        if self.reply_channel not in server.connections or is_due:
            return
        machine = self.machine
        if machine.status == 101 or (handshake is not None and handshake.was_accepted):
            message = {
                "reply_channel": self.reply_channel,
                "path": self.path,
                "order": machine.order + 1,
                "code": machine.close_code,
                "reason": machine.close_reason,
            }
            if not self._events.send("websocket.disconnect", message):
                server.retry(self.depart)
                return
        server.timed.discard(self)
        server.unregister(self.reply_channel)
        server.layer.forget_channel(self.reply_channel)  # which revokes the will as well

    # Hand-over

    def resume(self, unread: bytes) -> None:
        """Go on where another process left off, with the bytes it had read but not understood."""
        self.machine.receive_data(unread)
        self.process()

    def detach(self) -> Socket:
        """Give the socket away, as it is; this connection is over and nobody is told."""
        self._is_disconnected = True
        self._leave_pings()
        self._stop_reading()
        self.watcher.close()
        self.out.close()
        self.machine.state = CLOSED
        self.machine.close_code = ABNORMAL_CLOSURE
        self.machine.inbox = None  # the new owner's; a retry of ours may still be due
        self.sockets.server.timed.discard(self)
        self.sockets.server.unregister(self.reply_channel)
        return self.sock


def new_machine(handshake: Handshake, sockets: WebSockets) -> WebSocketConnection:
    """Return the state machine for a handshake, with the site's limits."""
    settings = sockets.server.settings
    return WebSocketConnection(handshake, settings.max_message_size, settings.compress_threshold)
