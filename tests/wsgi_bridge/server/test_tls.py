"""A TLS socket behaves as a plain non-blocking one, to its owner."""

from __future__ import annotations

import contextlib
import socket
import ssl
from types import SimpleNamespace

import pytest

from tests.integration.certificates import Authority, client_context
from wsgi_bridge.server.sockets import WebSockets
from wsgi_bridge.server.tls import TlsSocket

SIZE = 65536


class Pair:
    """A TlsSocket, and a client that reads and writes when the test says so."""

    def __init__(self, authority: Authority, version: str) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*map(str, authority.issue("site")))
        plain, self.wire = socket.socketpair()
        plain.setblocking(False)
        self.server = TlsSocket(plain, context)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client_context(authority, version=version).wrap_bio(
            self._incoming, self._outgoing, server_hostname="127.0.0.1"
        )
        self.wire.setblocking(False)

    def shake_hands(self) -> None:
        is_done = False
        while not is_done:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.exchange()
            is_done = self.server.handshake()
            self.exchange()

    def exchange(self) -> None:
        """Send what the client has to say, and fetch what the server's kernel holds."""
        if self._outgoing.pending:
            self.wire.sendall(self._outgoing.read())
        with contextlib.suppress(BlockingIOError):
            while data := self.wire.recv(SIZE):
                self._incoming.write(data)

    def say(self, data: bytes, *, goodbye: bool = False) -> None:
        self.client.write(data)
        if goodbye:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.unwrap()
        self.exchange()

    def hear(self) -> bytes:
        self.exchange()
        data = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            while some := self.client.read(SIZE):
                data += some
        return data


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["TLSv1_2", "TLSv1_3"])
def pair(request, authority):
    pair = Pair(authority, request.param)
    pair.shake_hands()
    pair.hear()
    yield pair
    pair.server.close()
    pair.wire.close()


def test_there_is_nothing_to_read_until_something_came(pair):
    with pytest.raises(BlockingIOError):
        pair.server.recv(SIZE)
    pair.say(b"hello")
    assert pair.server.recv(SIZE) == b"hello"
    with pytest.raises(BlockingIOError):
        pair.server.recv(SIZE)


def test_what_came_in_one_read_is_read_at_once(pair):
    """A second record behind the first would be seen by no poll."""
    for number in range(10):
        pair.client.write(b"%d" % number)
    pair.exchange()
    assert pair.server.recv(SIZE) == b"0123456789"


def test_half_a_record_is_nothing(pair):
    pair.client.write(b"whole")
    record = pair._outgoing.read()
    pair.wire.sendall(record[:10])
    with pytest.raises(BlockingIOError):
        pair.server.recv(SIZE)
    pair.wire.sendall(record[10:])
    assert pair.server.recv(SIZE) == b"whole"


def test_bytes_count_as_sent_when_the_kernel_has_them(pair):
    data = bytes(range(256)) * 20_000
    sent, blocked = 0, 0
    heard = b""
    while sent < len(data):
        try:
            sent += pair.server.send(data[sent:])
        except BlockingIOError:
            blocked += 1
            before = len(heard)
            heard += pair.hear()
            assert len(heard) > before  # what was said to be sent is on its way
    heard += pair.hear()
    assert (heard, blocked > 3) == (data, True)
    assert not pair.server.has_unsent


def test_a_goodbye_behind_data_makes_the_descriptor_readable(pair):
    pair.say(b"last words", goodbye=True)
    assert pair.server.recv(SIZE) == b"last words"
    assert pair.server.recv(SIZE) == b""  # the kernel has an end to tell of, and so does a poll


def test_an_end_without_a_goodbye_is_an_end(pair):
    pair.say(b"last words")
    pair.wire.shutdown(socket.SHUT_WR)
    assert pair.server.recv(SIZE) == b"last words"
    assert pair.server.recv(SIZE) == b""


def test_what_was_tampered_with_is_the_end_of_what_was_not(pair):
    pair.say(b"good")
    pair.client.write(b"bad")
    record = bytearray(pair._outgoing.read())
    record[-1] ^= 1
    pair.wire.sendall(record)
    assert pair.server.recv(SIZE) == b"good"
    with contextlib.suppress(ssl.SSLError):
        assert pair.server.recv(SIZE) == b""


def test_a_shutdown_says_goodbye_and_what_still_comes_is_thrown_away(pair):
    pair.server.shutdown(socket.SHUT_WR)
    pair.exchange()
    assert pair.client.read(SIZE) == b""
    pair.say(b"too late")
    assert b"too late" not in pair.server.recv(SIZE)


def test_a_close_says_goodbye_once(pair):
    pair.server.close()
    pair.exchange()
    assert pair.client.read(SIZE) == b""
    pair.server.close()


def test_it_cannot_be_handed_to_another_process(pair):
    machine = SimpleNamespace(dump_state=dict)
    owner = SimpleNamespace(machine=machine, out=SimpleNamespace(size=0), sock=pair.server)
    assert WebSockets.release(None, owner) is None
