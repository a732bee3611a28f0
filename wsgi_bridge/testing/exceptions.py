"""What the test client raises beside what consumers raise.

BridgeError
 ├─ HandshakeRefused   a WebSocket's opening handshake was answered with another status than 101
 ├─ NothingReceived    (TimeoutError) what was waited for did not come
 └─ SocketClosed       (ConnectionError) the WebSocket is closed
"""

from __future__ import annotations

from wsgi_bridge.exceptions import BridgeError
from wsgi_bridge.testing.headers import Headers


class HandshakeRefused(BridgeError):
    """A WebSocket's opening handshake was refused: ``status``, ``headers``, ``content``."""

    def __init__(self, status: int, headers: Headers, content: bytes) -> None:
        super().__init__(f"{status}: {content.decode('utf-8', 'replace').strip()}")
        self.status = status
        self.headers = headers
        self.content = content


class NothingReceived(BridgeError, TimeoutError):
    """No message, or no answer, although everything that was due has run."""


class SocketClosed(BridgeError, ConnectionError):
    """The WebSocket is closed: ``code`` and ``reason`` of the other side's close frame.

    ``code`` is 1006 when the connection ended without one, 1005 for one without a code.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason
