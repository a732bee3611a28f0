"""The machine against the library around which it takes its shortcuts: they agree on all."""

from __future__ import annotations

import codecs
import itertools

from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Opcode
from websockets.protocol import SERVER, Protocol

from tests.wsgi_bridge.protocols.frames import (
    MAX_SIZE,
    client_frame,
    close_frame,
    consumed,
    deflate,
    opened,
    raw_frame,
    sent,
    server_frames,
)
from wsgi_bridge.protocols.states import State

DATA = (Opcode.TEXT, Opcode.BINARY)


class Reference:
    """The library alone, in the most literal way: one frame after the other."""

    def __init__(self, is_deflated):
        self.protocol = Protocol(SERVER, max_size=MAX_SIZE)
        self.protocol.extensions = [deflate()] if is_deflated else []
        self.messages = []
        self._parts = []
        self._decoder = None

    def receive(self, frame):
        if self.protocol.eof_sent:
            return
        if frame[0] & 0x0F == Opcode.CLOSE:  # among fragments it is no error
            self.protocol.current_size = None
        self.protocol.receive_data(frame)
        for event in self.protocol.events_received():
            self._take(event)

    def _take(self, frame):
        if frame.opcode in DATA:
            self._parts = []
            is_text = frame.opcode is Opcode.TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        elif frame.opcode is not Opcode.CONT:
            return
        try:
            self._parts.append(self._decode(bytes(frame.data), frame.fin))
        except UnicodeDecodeError:
            self.protocol.fail(1007, "text is not UTF-8")
            return
        if frame.fin:
            self.messages.append(("" if self._decoder else b"").join(self._parts))

    def _decode(self, data, is_last):
        return self._decoder.decode(data, is_last) if self._decoder else data

    def close(self):
        """Return the code and reason of the end; None while it is open."""
        protocol = self.protocol
        if not protocol.eof_sent:
            return None
        received = protocol.close_rcvd if protocol.parser_exc is None else None
        close = received or protocol.close_sent
        return int(close.code), close.reason


payloads = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(str.encode),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"\xff", b"x" * MAX_SIZE, b"x" * (MAX_SIZE + 1)]),
)
frames = st.one_of(
    st.builds(client_frame, st.sampled_from(DATA), payloads),
    st.builds(client_frame, st.sampled_from(DATA), payloads),
    st.builds(client_frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans()),
    st.builds(client_frame, st.sampled_from(DATA), payloads, compressed=st.just(True)),
    st.builds(client_frame, st.sampled_from([9, 10]), payloads),
    st.builds(close_frame, st.integers(0, 5001), st.text(max_size=4)),
    st.builds(raw_frame, st.integers(0, 255), payloads),
    st.just(b"\x81\x01a"),
)


def cut(data, cuts):
    edges = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(frames, max_size=6),
    st.lists(st.integers(0, 5000), max_size=6),
    st.booleans(),
)
@example([client_frame(10), client_frame(1, b"\xff"), close_frame(1000)], [], False)
@example([client_frame(1, b"a", fin=False), client_frame(1, b"b"), client_frame(1, b"c")], [], True)
def test_the_machine_and_the_library_agree(stream, cuts, is_deflated):
    reference = Reference(is_deflated)
    for frame in stream:
        reference.receive(frame)
    machine = opened(*([deflate()] if is_deflated else []))
    for piece in cut(b"".join(stream), cuts):
        machine.receive_data(piece)
    assert consumed(machine) == reference.messages
    is_closed = machine.state is State.CLOSED
    close = (machine.close_code, machine.close_reason) if is_closed else None
    assert close == reference.close()
    data = b"".join(reference.protocol.data_to_send())
    assert machine.data_to_send() == data


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_bytes_of_any_kind_raise_nothing(data, cuts):
    machine = opened()
    for piece in cut(data, cuts):
        machine.receive_data(piece)
    machine.receive_eof()
    assert machine.is_finished
    assert all(frame.opcode in (8, 10) for frame in server_frames(machine.data_to_send()))


@given(st.one_of(st.text(), st.binary()), st.booleans())
def test_what_we_send_the_library_reads(content, is_deflated):
    machine = opened(*([deflate()] if is_deflated else []))
    key = "text" if isinstance(content, str) else "bytes"
    machine.answer({key: content}, b"")
    extensions = (deflate(),) if is_deflated else ()
    [frame] = server_frames(machine.data_to_send(), extensions)
    payload = bytes(frame.data)
    assert (payload.decode() if frame.opcode is Opcode.TEXT else payload) == content
    assert sent(machine) == []
