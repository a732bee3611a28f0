"""WebSocket: a test's socket, connected to the server's own machine for it.

The client's side is the ``websockets`` library's. The server's is `WebSocketOwner` with its state
machine, fed with the same bytes as in a real server: the handshake and its origin check, the order
of events and their acknowledgements, close codes and limits are not imitated here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as HandshakeResponse
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from wsgi_bridge.layers.closing import Closing
from wsgi_bridge.protocols.frames import ABNORMAL_CLOSURE, NORMAL_CLOSURE
from wsgi_bridge.protocols.handshake import HandshakeError
from wsgi_bridge.protocols.http import HttpExchange, error_response
from wsgi_bridge.testing.engine import Engine, describe
from wsgi_bridge.testing.exceptions import HandshakeRefused, NothingReceived, SocketClosed
from wsgi_bridge.testing.headers import Fields, Headers
from wsgi_bridge.testing.loop import ServerEnd, Watcher
from wsgi_bridge.testing.request import Request, make_request

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from 3.11

# Fields of the handshake that the library has written.
_HANDSHAKE_FIELDS = frozenset(
    ("upgrade", "connection", "sec-websocket-key", "sec-websocket-version",
     "sec-websocket-extensions", "sec-websocket-protocol")
)  # fmt: skip


class WebSocket(Closing):
    """An open socket. Made by `Client.websocket`; a context manager that closes it with 1000.

    Whatever it does, everything that this makes due is run before it returns, and what a consumer
    raised is raised here.
    """

    def __init__(self, engine: Engine, timeout: float) -> None:
        self.status = 0
        self.headers = Headers()
        self._engine = engine
        self._timeout = timeout
        self._end = ServerEnd()
        self._protocol: ClientProtocol
        self._received: deque[str | bytes] = deque()
        self._fragments: list[bytes] = []
        self._is_text = False

    def connect(
        self, url: str, fields: Fields, subprotocols: Sequence[str], client: tuple[str, int]
    ) -> None:
        """Do the opening handshake. Raise HandshakeRefused, NothingReceived."""
        self._protocol = ClientProtocol(
            parse_uri(url),
            extensions=[ClientPerMessageDeflateFactory()],
            subprotocols=list(subprotocols) or None,  # type: ignore[arg-type]
            max_size=None,
        )
        request = self._protocol.connect()
        ours = [(name, value) for name, value in request.headers.raw_items() if name != "Host"]
        given = [
            pair for pair in Headers(fields).fields() if pair[0].lower() not in _HANDSHAKE_FIELDS
        ]
        self._protocol.send_request(request)
        self._protocol.data_to_send()  # its server reads it as a message
        self._open(make_request("GET", url, [*ours, *given]), client)
        self._engine.run_until(lambda: self._take() or bool(self.status), self._timeout)
        self._check_handshake(url)

    def _open(self, request: Request, client: tuple[str, int]) -> None:
        """Do as a server that has read an upgrade: check it, and give it to an owner."""
        message = request.to_message(client)
        message["order"] = 0
        method = message.pop("method")
        del message["body"]
        engine = self._engine
        try:
            handshake = engine.sockets.check_handshake(message, method)
        except HandshakeError as exc:
            response = error_response(exc.status, str(exc), exc.headers)
            self._end.sent += HttpExchange(False, False, False).encode(
                response, engine.server.preamble
            )
            self._end.close()
            return
        engine.sockets.open(self._end, Watcher(engine.loop, self._end), handshake, message)

    def _check_handshake(self, url: str) -> None:
        exc = self._protocol.handshake_exc
        if self.status == 101 and exc is None:
            return
        if isinstance(exc, InvalidHandshake) and self.status not in (0, 101):
            raise HandshakeRefused(self.status, self.headers, self._refusal) from None
        self.abort()
        waiting = describe(self._engine.strands.channels)
        raise NothingReceived(f"{url}: the handshake has no answer{waiting}") from exc

    # What a page does

    def send(self, message: str | bytes) -> None:
        """Send text, or bytes. Raise SocketClosed, and what the consumer raised."""
        self._check_open()
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    def send_json(self, value: Any) -> None:
        """Send a value as JSON, in text."""
        self.send(json.dumps(value))

    def receive(self, timeout: float | None = None) -> str | bytes:
        """Return the next message; wait up to ``timeout`` real seconds for what others send.

        Raise SocketClosed when there is none left and the socket is closed, NothingReceived when
        none came in time; and what a consumer raised.
        """
        wait = self._timeout if timeout is None else timeout
        if self._wait(wait):
            return self._received.popleft()
        self._check_open()
        waiting = describe(self._engine.strands.channels)
        raise NothingReceived(f"no message came, although everything that was due has run{waiting}")

    def receive_json(self, timeout: float | None = None) -> Any:
        """Return the next message, which is JSON. Raise ValueError if it is not."""
        return json.loads(self.receive(timeout))

    def receive_nothing(self, timeout: float = 0.0) -> bool:
        """Whether there is no message, nor comes one in ``timeout`` real seconds."""
        return not self._wait(timeout)

    def ping(self, content: bytes = b"") -> None:
        """Send a ping, which the server answers without a consumer."""
        self._check_open()
        self._protocol.send_ping(content)
        self._flush()

    def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye; idempotent. ``close_code`` is what the server says to it."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Lose the connection, without a word: the consumer hears 1006."""
        self._end.is_lost = True
        self._protocol.receive_eof()
        self._engine.run()

    @property
    def close_code(self) -> int | None:
        """The close code that the server sent; None while the socket is open."""
        self._take()
        if self._protocol.state is OPEN:
            return None
        received = self._protocol.close_rcvd
        return ABNORMAL_CLOSURE if received is None else int(received.code)

    @property
    def close_reason(self) -> str:
        """The reason that the server gave for closing."""
        received = self._protocol.close_rcvd
        return "" if received is None else received.reason

    @property
    def accepted_subprotocol(self) -> str | None:
        """The subprotocol that the consumer chose."""
        return self._protocol.subprotocol

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        """Return the next message, until the server has closed the socket."""
        try:
            return self.receive()
        except SocketClosed:
            raise StopIteration from None

    def _wait(self, timeout: float) -> bool:
        """Whether there is a message, or comes one in time; a closed socket is not waited for."""
        self._engine.run_until(self._has_news, timeout)
        return bool(self._received)

    def _has_news(self) -> bool:
        while self._take():
            self._engine.run()
        return bool(self._received) or self._protocol.state is not OPEN

    # Bytes

    def _check_open(self) -> None:
        code = self.close_code
        if code is not None:
            raise SocketClosed(code, self.close_reason)

    def _flush(self) -> None:
        """Send what the library has to send, and let everybody have their turn."""
        self._write()
        try:
            self._engine.run()
        finally:
            while self._take():
                self._engine.run()

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._end.received += data
            else:  # how the library says that it sends no more
                self._end.is_eof = True

    def _take(self) -> bool:
        """Read what the server sent; whether an answer to it is on its way."""
        end, protocol = self._end, self._protocol
        if end.sent:
            data = bytes(end.sent)
            end.sent.clear()
            protocol.receive_data(data)
        if end.is_shut and not end.is_eof:
            end.is_eof = True
            protocol.receive_eof()
        for event in protocol.events_received():
            if isinstance(event, HandshakeResponse):
                self._take_answer(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        before = len(end.received), end.is_eof
        self._write()
        return before != (len(end.received), end.is_eof)

    def _take_answer(self, response: HandshakeResponse) -> None:
        self.status = response.status_code
        self.headers = Headers(response.headers.raw_items())
        self._refusal = bytes(response.body or b"")

    def _take_frame(self, frame: Frame) -> None:
        """RFC 6455 section 5.4: a message is its fragments, joined."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            payload = b"".join(self._fragments)
            self._fragments.clear()
            self._received.append(payload.decode() if self._is_text else payload)
