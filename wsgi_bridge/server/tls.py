"""TLS over a non-blocking socket, with the manners of a plain one.

``TlsSocket`` stands where a socket stands, so that the owners of connections do not know of TLS:
``recv`` and ``send`` raise BlockingIOError, and a descriptor that is not readable has nothing to
read. What that takes, since TLS buffers:

- ``recv`` decrypts all that has come. Nothing stays behind where no poll would see it.
- ``send`` counts bytes as sent when their ciphertext is with the kernel, not before: a slow client
  is seen as one, and a close loses nothing. Until then the same bytes must be offered again, which
  is what ``Outbound`` does.
- The end of the client's TLS is made the end of its socket too.

There is no renegotiation (certificates.py), so that no read waits for a write or the reverse.
"""

from __future__ import annotations

import contextlib
import socket
import ssl

from wsgi_bridge.server.outbound import Socket

# Bytes of plaintext in one record, at most (RFC 8446 section 5.1). Encrypted one by one: a memory
# BIO keeps the size that it once had, and there may be ten thousand connections.
RECORD_SIZE = 16384
# Bytes of ciphertext taken from the kernel at once: a record with its envelope.
CIPHERTEXT_SIZE = RECORD_SIZE + 1024
# Bytes of our own (alerts, answers to key updates) that may wait for a client that reads nothing.
MAX_UNSENT = 65536


class TlsSocket:
    """The server's end of a TLS connection. Owns the socket under it."""

    __slots__ = ("_incoming", "_is_shut", "_outgoing", "_sock", "_under_way", "_unsent", "tls")

    def __init__(self, sock: Socket, context: ssl.SSLContext, early: bytes = b"") -> None:
        """Begin TLS on an accepted, non-blocking socket: ``handshake`` comes first.

        ``early`` are bytes of the client's TLS that were read already.
        """
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._incoming.write(early)
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._unsent = b""  # ciphertext that the kernel did not take
        self._under_way = 0  # bytes of plaintext that `_unsent` ends with, not yet counted as sent
        self._is_shut = False

    @property
    def has_input(self) -> bool:
        """Whether bytes have been read from the kernel and from nowhere else yet."""
        return self._incoming.pending > 0

    @property
    def has_unsent(self) -> bool:
        """Whether ciphertext waits for the kernel."""
        return bool(self._unsent)

    def fileno(self) -> int:
        """Return the descriptor, for polling."""
        return int(self._sock.fileno())

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is complete.

        To be called when the socket is readable, or writable with ``has_unsent``. Raises
        ssl.SSLError, of which the client has been told, or another OSError.
        """
        with contextlib.suppress(BlockingIOError):
            self._fill()
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._flush()
        return True

    def recv(self, size: int) -> bytes:
        """Return bytes that came, no more than ``size``, which is two records at least.

        Empty at the end, also at one that was not announced: requests say themselves whether they
        are complete. Raises BlockingIOError when there is nothing, another OSError when the
        connection cannot be used any more.
        """
        if self._is_shut:
            return bytes(self._sock.recv(size))  # to be thrown away: see linger.py
        self._fill()
        try:
            data = self._decrypt()
        finally:
            self._flush()
        if len(self._unsent) > MAX_UNSENT:
            raise ConnectionResetError("the client makes us answer, and does not read")
        return data

    def _fill(self) -> None:
        try:
            data = self._sock.recv(CIPHERTEXT_SIZE)
        except BlockingIOError:
            if not self._incoming.pending:
                raise
            return
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes:
        parts: list[bytes] = []
        try:
            while data := self.tls.read(RECORD_SIZE):
                parts.append(data)
        except ssl.SSLWantReadError:
            if not parts:
                raise BlockingIOError from None
            return b"".join(parts)
        except ssl.SSLEOFError:
            pass
        except ssl.SSLError:
            if not parts:
                raise
        if parts:
            # The end will be read when this has been: the socket has to look readable for that.
            self._sock.shutdown(socket.SHUT_RD)
        return b"".join(parts)

    def send(self, data: bytes | memoryview) -> int:
        """Send; return how many bytes went out. Raises BlockingIOError when none did.

        What was not sent must be what the next call begins with.
        """
        if self._under_way:
            if not self._flush():
                raise BlockingIOError
            sent, self._under_way = self._under_way, 0
            return sent
        view, sent = memoryview(data), 0
        while sent < len(view):
            size = self.tls.write(view[sent : sent + RECORD_SIZE])
            if not self._flush():
                self._under_way = size
                break
            sent += size
        if self._under_way and not sent:
            raise BlockingIOError
        return sent

    def _flush(self) -> bool:
        """Send ciphertext; whether all of it is out."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return False
            self._unsent = self._unsent[sent:]
        return True

    def shutdown(self, how: int) -> None:
        """Say that no more comes: in TLS (close_notify), then in TCP."""
        self._notify_close()
        self._sock.shutdown(how)

    def _notify_close(self) -> None:
        """Send close_notify, if the kernel has room; the client's own is not awaited."""
        if not self._is_shut:
            self._is_shut = True
            with contextlib.suppress(ssl.SSLError):  # it wants the client's; or TLS has failed
                self.tls.unwrap()
            self._flush()

    def close(self) -> None:
        """Close the socket, with a close_notify if there was none."""
        with contextlib.suppress(OSError):  # the client has gone
            self._notify_close()
        self._sock.close()
