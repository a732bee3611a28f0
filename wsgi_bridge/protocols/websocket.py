"""A WebSocket connection as a sans-I/O state machine: frames and answers in, events out.

Framing is the ``websockets`` library's (its sans-I/O ``Protocol``); this module adds what the
contract asks for: the table of answers and the order and flow of MESSAGES.md section 3. It knows
no socket, layer or clock. Its owner (``server/websocket.py``) feeds it and writes what it has to
send.

A connection holds back the next ``websocket.receive`` while ``window`` earlier ones, one unless an
answer said otherwise, are unacknowledged; what arrives meanwhile waits in ``inbox``, and
``is_reading`` says when the socket should not be read. Acknowledgements are of one event each: with
a window above one they come in any order.

Nothing here is HTTP/1.1's but the answer to the handshake (``encode_accept``, ``encode_refusal``):
a WebSocket over another version's stream (RFC 8441) needs another of those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

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
    FINAL_PING,
    FINAL_PONG,
    FINAL_TEXT,
    INTERNAL_ERROR,
    INVALID_DATA,
    NORMAL_CLOSURE,
    cut_reason,
    encode_frame,
    find_frame_end,
    is_close_code,
    read_length,
    skip_frames,
)
from wsgi_bridge.protocols.handshake import Handshake, encode_accept, encode_refusal
from wsgi_bridge.protocols.http import ResponseError
from wsgi_bridge.protocols.library_frames import LibraryFrames
from wsgi_bridge.protocols.silence import SILENCE
from wsgi_bridge.protocols.states import (
    ANSWERS,
    CLOSED,
    CLOSING,
    CONNECTING,
    OPEN,
    RATE,
    TURN,
    Hold,
)

# Frames that are no message by themselves (pings, fragments) taken in one turn of the hub: some
# milliseconds at most. A peer that floods us with them gets its turn, and no more.
FRAMES_A_TURN = 128

TEXT, BINARY = Opcode.TEXT, Opcode.BINARY
# The opcodes that the library looks at whatever waits for a consumer.
_CONTROL = frozenset((Opcode.CLOSE, Opcode.PING, Opcode.PONG))


class WebSocketConnection:
    """One WebSocket connection. Owned by ``server.websocket.WebSocketOwner``.

    After any call, the owner writes ``data_to_send()`` and, when ``is_finished``, closes the
    socket.
    """

    __slots__ = ("_acked_early", "_awaited", "_handshake", "_library", "_outgoing", "_pong",
                  "_protocol", "_unread", "acked", "barren", "close_code",
                 "close_reason", "compress_threshold", "deflate_bits", "hold", "ignored", "inbox",
                 "is_stalled", "max_size", "order", "state", "status", "window")  # fmt: skip

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
        self.hold: Hold | None = None
        self.barren = 0  # frames that were no message by themselves, counted
        self.is_stalled = False  # whether the peer does not read: then pongs do not queue up
        self._pong: bytes | None = None  # of the latest ping of a peer that is stalled
        self._library: LibraryFrames  # of an open connection
        self._unread: bytes | bytearray = b""  # of a frame that is not whole; or came too early
        self._awaited = 0  # how many bytes make that frame whole, at least
        self._outgoing: list[bytes] = []

    # Towards the consumer

    @property
    def is_reading(self) -> bool:
        """Whether to read the socket: nothing waits for a consumer, or a close frame is due."""
        if self.inbox or self.hold is not None:
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
        if self.hold is ANSWERS and not self.inbox and self.acked == self.order:
            self.go_on()

    def give_up(self, last: int) -> int:
        """Take the events up to ``last`` for acknowledged; return how many were not."""
        before = self.unacknowledged
        for order in range(self.acked + 1, min(last, self.order) + 1):
            self.acknowledge(order)
        return before - self.unacknowledged

    @property
    def frames_count(self) -> int:
        """How many frames came so far."""
        return self.order + len(self.inbox or ()) + self.barren

    def pause(self) -> bool:
        """Have no more read until ``go_on``; False if there is another reason for that already."""
        if self.state is not OPEN or self.hold is ANSWERS:
            return False
        self.hold = RATE
        return True

    def go_on(self) -> None:
        """Look at the bytes that were held."""
        self.hold = None
        self.receive_data(b"")

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
        self._protocol = Protocol(SERVER, max_size=self.max_size, logger=SILENCE)
        self._protocol.extensions = list(extensions)
        self._library = LibraryFrames(self._protocol)
        for extension in extensions:
            if isinstance(extension, PerMessageDeflate):
                self.deflate_bits = extension.local_max_window_bits
        self._handshake = None
        self.state = OPEN

    def refuse(self, message: Mapping[str, Any], preamble: bytes) -> None:
        """Answer the held handshake with an HTTP response: 403, or the message's own status."""
        if self.state is not CONNECTING:
            return
        response, self.status = encode_refusal(message, preamble)
        self._outgoing.append(response)
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
        if self.hold is not None:
            self.go_on()  # the peer's own close frame may be there

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
            if len(self._unread) < self._awaited or self.hold is not None:
                if self._library.preview is not None:
                    self._look_ahead()
                return  # joined once, when whole: else each byte would cost a copy of the rest
            data, self._unread = bytes(self._unread), b""
            self._library.preview = None
        turn_end = self.barren + FRAMES_A_TURN
        position, size = self._take_plain_frames(data, 0, turn_end), len(data)
        while position < size and self.state is not CLOSED:
            end = find_frame_end(data, position, self._room)
            if end > size:
                self._keep(data[position:], end - position)
                self._look_ahead()
                return
            hold = self._find_hold(data[position], turn_end)
            if hold is not None:
                self._keep(data[position:], 0)
                self.hold = hold
                return
            # One frame at a time: what a frame does must not depend on what came in the same
            # packet.
            self._take_frame(protocol, data[position:end])
            position = self._take_plain_frames(data, end, turn_end)

    @property
    def _room(self) -> int:
        """How many bytes the message may still have."""
        fragments = self._library.fragments
        return self.max_size if fragments is None else self.max_size - len(fragments.payload)

    def _keep(self, data: bytes, awaited: int) -> None:
        """Keep bytes that cannot be looked at yet; not before there are ``awaited`` of them."""
        self._unread, self._awaited = bytearray(data), awaited

    def _find_hold(self, first: int, turn_end: int) -> Hold | None:
        """Whether the frame that begins with this byte has to wait, and for what.

        What breaks the protocol fails the connection, and that must not forestall the answers to
        the messages before it.
        """
        if self.state is not OPEN:
            return None
        if self.barren >= turn_end:
            return TURN
        is_busy = self.inbox or self.order - self.acked >= self.window
        return ANSWERS if is_busy and first & 0x0F not in _CONTROL else None

    def _look_ahead(self) -> None:
        """Fail fast, if what has come of a text is not UTF-8 (RFC 6455 section 8.1)."""
        is_next = self.state is OPEN and not self.inbox and self.order == self.acked
        try:
            self._library.look_ahead(self._unread, is_next)
        except UnicodeDecodeError:
            self._refuse_text()

    def _take_frame(self, protocol: Protocol, frame: bytes) -> None:
        """Have the library read a whole frame that is not one of the plain ones."""
        library = self._library
        try:
            content = library.take(frame)
        except UnicodeDecodeError:
            self._refuse_text()
            return
        if content is None:
            self.barren += 1
        elif self.state is OPEN:
            self._take_message(content, library.is_text)
        if protocol.state is not ProtocolState.OPEN and self.state is not CLOSED:
            self._take_close(protocol)

    def _take_plain_frames(self, data: bytes, position: int, turn_end: int) -> int:
        """Take the whole, final, masked, uncompressed frames at ``position`` and behind it.

        Nearly all frames are of this kind, and a tenth of the library's work is enough for them
        (RFC 6455 section 5.2). Returns the offset of the first other one, which the library takes.
        """
        size = len(data)
        if self.state is not OPEN or self._library.fragments is not None:
            return skip_frames(data, position) if self.state is CLOSING else position
        while position + 6 <= size:
            opcode, length = data[position], data[position + 1] - 0x80
            if (opcode != FINAL_TEXT and opcode != FINAL_BINARY) or length < 0:
                end = position
                if self.barren < turn_end:
                    end = self._take_ping(data, position, length)
                if end == position:
                    return position
                position = end
                continue
            start = position + 6
            if length > 125:
                start, length = read_length(data, position, length)
            end = start + length
            if end > size or length > self.max_size:
                return position
            payload = apply_mask(data[start:end], data[start - 4 : start])
            self._take_message(payload, opcode == FINAL_TEXT)
            if self.state is not OPEN:
                return size
            position = end
        return position

    def _take_ping(self, data: bytes, position: int, length: int) -> int:
        """Take a ping or pong; return the offset behind it, its own if it is something else."""
        first, start = data[position], position + 6
        end = start + length
        is_whole = 0 <= length <= 125 and end <= len(data)
        if not is_whole or (first != FINAL_PING and first != FINAL_PONG):
            return position
        self.barren += 1
        if first == FINAL_PING:
            pong = encode_frame(Opcode.PONG, apply_mask(data[start:end], data[start - 4 : start]))
            if self.is_stalled:
                self._pong = pong
            else:
                self._outgoing.append(pong)
        return end

    def end_stall(self) -> None:
        """The peer reads again: answer its latest ping (section 5.5.3 lets us leave the others)."""
        self.is_stalled = False
        if self._pong is not None and self.state is OPEN:
            self._outgoing.append(self._pong)
        self._pong = None

    def receive_eof(self) -> None:
        """Take the stream's end: code 1006 unless one was agreed on (RFC 6455 section 7.1.5)."""
        self.hold = None
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
        if self.state is not OPEN or self._protocol is None:
            return None
        if self._library.fragments is not None or self.acked != self.order:
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

    def _take_message(self, payload: bytes, is_text: bool) -> None:
        content: str | bytes = payload
        if is_text:
            try:
                content = payload.decode()
            except UnicodeDecodeError:
                self._refuse_text()
                return
        if self.inbox is None:
            self.inbox = deque()
        self.inbox.append(content)

    def _refuse_text(self) -> None:
        """Fail the connection (section 8.1)."""
        assert self._protocol is not None
        self._protocol.fail(INVALID_DATA, "text is not UTF-8")
        self._take_close(self._protocol)

    def _take_close(self, protocol: Protocol) -> None:
        """Note the code: the peer's, or ours when the peer's bytes made us fail the connection."""
        close = protocol.close_rcvd if protocol.parser_exc is None else None
        close = close or protocol.close_sent
        if close is not None:
            self.close_code, self.close_reason = int(close.code), close.reason
        self.state = CLOSED if protocol.eof_sent else CLOSING
