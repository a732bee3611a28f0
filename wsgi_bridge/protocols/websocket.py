"""A WebSocket connection as a sans-I/O state machine: frames and answers in, events out.

Framing is the ``websockets`` library's (its sans-I/O ``Protocol``); this module adds what the
contract asks for: the table of answers and the order and flow of MESSAGES.md section 3. It knows
no socket, layer or clock. Its owner (``server/websocket.py``) feeds it and writes what it has to
send.

A connection holds back the next ``websocket.receive`` while ``window`` earlier ones, one unless an
answer said otherwise, are unacknowledged; what arrives meanwhile waits in ``inbox``, and
``is_reading`` says when the socket should not be read. Acknowledgements are of one event each: with
a window above one they come in any order.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol
from websockets.protocol import State as ProtocolState

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

from wsgi_bridge.messages import MAX_WINDOW
from wsgi_bridge.protocols.frames import (
    ABNORMAL_CLOSURE,
    FINAL_BINARY,
    FINAL_TEXT,
    INTERNAL_ERROR,
    INVALID_DATA,
    NORMAL_CLOSURE,
    cut_reason,
    encode_frame,
    find_frame_end,
    is_close_code,
    read_length,
)
from wsgi_bridge.protocols.handshake import Handshake, encode_accept
from wsgi_bridge.protocols.http import HttpExchange, ResponseError, error_response


class _Silence:
    """The logger given to the library: logging connections is their owner's to do."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802 - as logging has it
        return False

    def info(self, *args: object, **kwargs: object) -> None:
        """Drop it."""

    error = debug = info


_SILENCE: Any = _Silence()


class State(enum.Enum):
    """Where the connection is (RFC 6455 sections 4 and 7)."""

    CONNECTING = enum.auto()  # the handshake is held until a consumer answers
    OPEN = enum.auto()
    CLOSING = enum.auto()  # a close frame was sent or received
    CLOSED = enum.auto()  # nothing more to send or to receive but what waits in the inbox


# Names of the module: reading them off an Enum class costs as much as a function call.
CONNECTING, OPEN, CLOSING, CLOSED = State
CONT, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY


class WebSocketConnection:
    """One WebSocket connection. Owned by ``server.websocket.WebSocketOwner``.

    After any call, the owner writes ``data_to_send()`` and, when ``is_finished``, closes the
    socket.
    """

    __slots__ = ("_acked_early", "_awaited", "_fragments", "_handshake", "_is_text", "_outgoing",
                 "_protocol", "_unread", "acked", "close_code", "close_reason",
                 "compress_threshold", "deflate_bits", "ignored", "inbox", "max_size", "order",
                 "state", "status", "window")  # fmt: skip

    def __init__(self, handshake: Handshake, max_size: int, compress_threshold: int) -> None:
        self.state = CONNECTING
        self.status = 0  # of the handshake's answer, for the access log
        self.max_size = max_size
        self.compress_threshold = compress_threshold
        self.order = 0
        self.acked = 0  # every event up to this one is acknowledged
        self._acked_early: set[int] | None = None  # those beyond the first that is not
        self.window = 1
        self.inbox: deque[str | bytes] | None = None
        self.deflate_bits = 0  # the window bits that frames are compressed with; 0: not compressed
        self.ignored = 0  # answers that the contract says to ignore, counted
        self.close_code = ABNORMAL_CLOSURE
        self.close_reason = ""
        self._handshake: Handshake | None = handshake
        self._protocol: Protocol | None = None
        self._fragments: list[bytes] | None = None
        self._is_text = False
        self._unread: bytes | bytearray = b""  # of a frame that is not whole; or came too early
        self._awaited = 0  # how many bytes make that frame whole, at least
        self._outgoing: list[bytes] = []

    # Towards the consumer

    @property
    def is_reading(self) -> bool:
        """Whether to read the socket: nothing waits for a consumer, or a close frame is due."""
        if self.inbox:
            return self.state is CLOSING
        return not (self.state is CONNECTING and self._unread)

    @property
    def is_finished(self) -> bool:
        """Whether the TCP connection is to be closed once the data is sent."""
        return self.state is CLOSED

    def next_message(self) -> str | bytes | None:
        """Return the next text or bytes for a consumer, if the window allows one.

        The caller sends it as a ``websocket.receive`` with ``order``, which this has advanced.
        """
        if not self.inbox or self.unacknowledged >= self.window:
            return None
        self.order += 1
        return self.inbox.popleft()

    def unsend(self, content: str | bytes) -> None:
        """Take back what ``next_message`` gave: the layer was full."""
        self.order -= 1
        if self.inbox is None:
            self.inbox = deque()
        self.inbox.appendleft(content)

    @property
    def unacknowledged(self) -> int:
        """How many events a worker is not done with yet."""
        outstanding = self.order - self.acked
        return outstanding - len(self._acked_early) if self._acked_early else outstanding

    def acknowledge(self, order: int) -> None:
        """Note that the worker is done with the event ``order``, and with no other."""
        if not self.acked < order <= self.order:
            return
        early = self._acked_early
        if order > self.acked + 1:
            if early is None:
                early = self._acked_early = set()
            early.add(order)
            return
        self.acked = order
        while early and self.acked + 1 in early:
            self.acked += 1
            early.remove(self.acked)

    def give_up(self, last: int) -> int:
        """Take the events up to ``last`` for acknowledged; return how many were not."""
        before = self.unacknowledged
        for order in range(self.acked + 1, min(last, self.order) + 1):
            self.acknowledge(order)
        return before - self.unacknowledged

    # Answers of a consumer: the table of MESSAGES.md section 3, a return per row

    def answer(self, message: Mapping[str, Any], preamble: bytes) -> None:
        """Do what an answer says. Raises ResponseError, nothing changed, when it cannot be sent."""
        text, data = message.get("text"), message.get("bytes")
        if text is not None and data is not None:
            self.ignored += 1
            return
        if self.state is CONNECTING and not self._answer_handshake(message, preamble):
            return
        if self.state is not OPEN:
            return
        window = message.get("window")
        if window is not None:
            self.window = max(1, min(window, MAX_WINDOW))
        if text is not None or data is not None:
            self._send_data(text, data)
        close = message.get("close")
        if close:
            code = NORMAL_CLOSURE if close is True else close
            self.close(code, message.get("reason") or "")

    def _answer_handshake(self, message: Mapping[str, Any], preamble: bytes) -> bool:
        """Answer the handshake; return whether it was accepted."""
        accept = message.get("accept")
        has_data = message.get("text") is not None or message.get("bytes") is not None
        if accept is False or (not accept and not has_data and message.get("close")):
            self.refuse(message, preamble)
            return False
        if not accept and not has_data:
            return False
        self._accept(message, preamble)
        return True

    def _accept(self, message: Mapping[str, Any], preamble: bytes) -> None:
        handshake = self._handshake
        assert handshake is not None
        headers = message.get("headers") or ()
        self._outgoing.append(
            encode_accept(handshake, message.get("subprotocol"), headers, preamble)
        )
        self.status = 101
        self.open(handshake.extensions)
        unread = self.take_unread()
        if unread:
            self.receive_data(unread)

    def open(self, extensions: Sequence[Extension]) -> None:
        """Go on as an open connection with these extensions."""
        self._protocol = Protocol(SERVER, max_size=self.max_size, logger=_SILENCE)
        self._protocol.extensions = list(extensions)
        for extension in extensions:
            if isinstance(extension, PerMessageDeflate):
                self.deflate_bits = extension.local_max_window_bits
        self._handshake = None
        self.state = OPEN

    def refuse(self, message: Mapping[str, Any], preamble: bytes) -> None:
        """Answer the held handshake with an HTTP response: 403, or the message's own status."""
        if self.state is not CONNECTING:
            return
        response = error_response(403)
        if message.get("status") is not None:
            response = {
                key: message[key] for key in ("status", "headers", "content") if key in message
            }
        exchange = HttpExchange(is_head=False, is_http10=False, keep_alive=False)
        self._outgoing.append(exchange.encode(response, preamble))
        self.status = exchange.status
        self._handshake = None
        self.state = CLOSED

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame, if the connection is open. A forbidden code becomes 1011."""
        if self.state is not OPEN:
            return
        assert self._protocol is not None
        if not is_close_code(code):
            self.ignored += 1
            code, reason = INTERNAL_ERROR, ""
        self._protocol.send_close(code, cut_reason(reason))
        self.close_code, self.close_reason = code, reason
        self.state = CLOSING

    def _send_data(self, text: str | None, data: bytes | None) -> None:
        assert self._protocol is not None
        opcode = TEXT
        if text is not None:
            try:
                payload = text.encode()
            except UnicodeEncodeError as exc:  # a lone surrogate has no UTF-8 (RFC 3629)
                raise ResponseError(f"text is not Unicode: {exc.reason}") from exc
        else:
            assert data is not None
            payload, opcode = data, BINARY
        extensions = self._protocol.extensions
        if extensions and len(payload) >= self.compress_threshold:
            self._outgoing.append(
                Frame(opcode, payload).serialize(mask=False, extensions=extensions)
            )
        else:
            self._outgoing.append(encode_frame(opcode, payload))

    # From and to the network

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the network. Raises nothing: a peer's error closes with its code."""
        protocol = self._protocol
        if protocol is None:
            if self.state is CONNECTING:
                self._unread += data
            return
        if self._unread:
            self._unread += data
            if len(self._unread) < self._awaited:
                return  # joined once, when whole: else each byte would cost a copy of the rest
            data, self._unread = bytes(self._unread), b""
        position, size = self._take_plain_frames(data, 0), len(data)
        while position < size and self.state is not CLOSED:
            end = find_frame_end(data, position, self.max_size)
            if end > size:
                self._unread, self._awaited = bytearray(data[position:]), end - position
                return
            # One frame at a time: what a frame does must not depend on what came in the same
            # packet.
            protocol.receive_data(data[position:end])
            self._take_events(protocol)
            position = self._take_plain_frames(data, end)

    def _take_plain_frames(self, data: bytes, position: int) -> int:
        """Take the whole, final, masked, uncompressed data frames at ``position`` and behind it.

        Nearly all frames are of this kind, and a tenth of the library's work is enough for them
        (RFC 6455 section 5.2). Returns the offset of the first other one, which the library takes.
        """
        size = len(data)
        if self.state is not OPEN or self._fragments is not None:
            return position
        while position + 6 <= size:
            opcode, length = data[position], data[position + 1] - 0x80
            if (opcode != FINAL_TEXT and opcode != FINAL_BINARY) or length < 0:
                return position
            start = position + 6
            if length > 125:
                start, length = read_length(data, position, length)
            end = start + length
            if end > size or length > self.max_size:
                return position
            self._is_text = opcode == FINAL_TEXT
            self._take_message(apply_mask(data[start:end], data[start - 4 : start]))
            if self.state is not OPEN:
                return size
            position = end
        return position

    def receive_eof(self) -> None:
        """Take the stream's end: code 1006 unless one was agreed on (RFC 6455 section 7.1.5)."""
        if self._protocol is not None and self.state is not CLOSED:
            self._protocol.receive_eof()
            self._protocol.data_to_send()
            if self._protocol.close_rcvd is None:
                self.close_code, self.close_reason = ABNORMAL_CLOSURE, ""
        self.state = CLOSED

    def take_unread(self) -> bytes:
        """Return the bytes that were read but not understood yet, and forget them."""
        unread, self._unread = bytes(self._unread), b""
        return unread

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping frame, if the connection is open."""
        if self.state is OPEN and self._protocol is not None:
            self._protocol.send_ping(payload)

    def data_to_send(self) -> bytes:
        """Return what is to be written now, and forget it."""
        protocol = self._protocol
        if protocol is not None and protocol.writes:
            self._outgoing += [data for data in protocol.data_to_send() if data]
        outgoing = self._outgoing
        if not outgoing:
            return b""
        self._outgoing = []
        return outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)

    def dump_state(self) -> dict[str, Any] | None:
        """Return what another process needs to go on, or None when it cannot now.

        It cannot in the middle of a fragmented message (the decompressor's state stays here), while
        an event is unacknowledged, and unless the connection is open.
        """
        idle = self._fragments is None and self.acked == self.order
        if self.state is not OPEN or self._protocol is None or not idle:
            return None
        first = self._protocol.extensions[0] if self._protocol.extensions else None
        bits = None
        if isinstance(first, PerMessageDeflate):
            bits = [first.remote_max_window_bits, first.local_max_window_bits]
        return {
            "order": self.order,
            "window": self.window,
            "unread": bytes(self._unread),
            "inbox": list(self.inbox or ()),
            "deflate": bits,
        }

    def _take_events(self, protocol: Protocol) -> None:
        for frame in cast("list[Frame]", protocol.events_received()):
            receive = _FRAME_RULES.get(frame.opcode)
            if receive is not None and self.state is not CLOSED:
                receive(self, frame)
        if protocol.state is not ProtocolState.OPEN and self.state is not CLOSED:
            self._take_close(protocol)

    def _take_data(self, frame: Frame) -> None:
        """RFC 6455 section 5.4: a message is its fragments, joined."""
        if self.state is not OPEN:
            return
        if frame.opcode is not CONT:
            self._is_text = frame.opcode is TEXT
            if frame.fin:
                self._take_message(bytes(frame.data))
            else:
                self._fragments = [bytes(frame.data)]
            return
        assert self._fragments is not None  # the library refuses a stray continuation
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            fragments, self._fragments = self._fragments, None
            self._take_message(b"".join(fragments))

    def _take_message(self, payload: bytes) -> None:
        content: str | bytes = payload
        if self._is_text:
            try:
                content = payload.decode()
            except UnicodeDecodeError as exc:  # section 8.1: fail the connection
                assert self._protocol is not None
                self._protocol.fail(INVALID_DATA, f"{exc.reason} at position {exc.start}")
                self._take_close(self._protocol)
                return
        if self.inbox is None:
            self.inbox = deque()
        self.inbox.append(content)

    def _take_close(self, protocol: Protocol) -> None:
        """Note the code: the peer's, or ours when the peer's bytes made us fail the connection."""
        close = protocol.close_rcvd if protocol.parser_exc is None else None
        close = close or protocol.close_sent
        if close is not None:
            self.close_code, self.close_reason = int(close.code), close.reason
        self.state = CLOSED if protocol.eof_sent else CLOSING


_FRAME_RULES: dict[Opcode, Callable[[WebSocketConnection, Frame], None]] = {
    TEXT: WebSocketConnection._take_data,
    BINARY: WebSocketConnection._take_data,
    CONT: WebSocketConnection._take_data,
}
