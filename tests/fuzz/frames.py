"""Bytes of an open WebSocket: messages, or one close frame with the right code, however cut.

Two judges: the `websockets` library, one whole frame after the other, since the machine takes
shortcuts around it; and wsproto, which has nothing of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

from hypothesis import strategies as st
from websockets.frames import Opcode
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError

from tests.fuzz.damage import cut, damaged, places
from tests.fuzz.target import Target
from tests.wsgi_bridge.protocols.frames import (
    MAX_SIZE,
    client_frame,
    close_frame,
    deflate,
    opened,
    raw_frame,
    server_frames,
)
from tests.wsgi_bridge.protocols.test_websocket_differential import Reference
from wsgi_bridge.protocols.states import CLOSED, TURN

CLOSE = Opcode.CLOSE
PIECES = [
    b"\x81\x80\0\0\0\0", b"\x82\x81\0\0\0\0a", b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0",
    b"\x01\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b", b"\x00\x80\0\0\0\0", b"\x88\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\xfe\0\x01\0\0\0\0a", b"\x81\xff\0\0\0\0\0\0\0\x01\0\0\0\0a",
    b"\xc1\x82\0\0\0\0\x02\x00", b"\x81", b"\xfe", b"\xff", b"\x83", b"\x7f", b"\xc3",
    b"\xed\xa0\x80",
]  # fmt: skip

payloads = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(str.encode),
    st.sampled_from(
        [b"", b"x" * 125, b"x" * 126, b"\xff", b"\xe2\x82", b"\xac", "€".encode() * 50,
         b"x" * MAX_SIZE, b"x" * (MAX_SIZE + 1)]
    ),
)  # fmt: skip
data_opcodes = st.sampled_from([1, 2])
frames = st.one_of(
    st.builds(client_frame, data_opcodes, payloads),
    st.builds(client_frame, st.sampled_from([0, 1, 2]), payloads, fin=st.booleans()),
    st.builds(client_frame, st.sampled_from([0, 1]), payloads, fin=st.booleans()),
    st.builds(client_frame, data_opcodes, payloads, compressed=st.just(True)),
    st.builds(lambda rest: raw_frame(0x41, rest) + raw_frame(0x80, rest), st.binary(max_size=9)),
    st.builds(raw_frame, st.just(0xC1), st.binary(max_size=9)),
    st.builds(client_frame, st.sampled_from([9, 10]), payloads),
    st.builds(close_frame, st.integers(0, 5001), st.text(max_size=4)),
    st.builds(raw_frame, st.integers(0, 255), payloads, st.binary(min_size=4, max_size=4)),
    st.sampled_from([client_frame(9) * 130, client_frame(1, b"a") * 5]),
)
streams = st.lists(frames, max_size=6).map(b"".join)
# (compressed, window, whether a consumer answers as they come, where to cut, the bytes)
inputs = st.tuples(
    st.booleans(), st.integers(1, 4), st.booleans(), places(), damaged(streams, PIECES)
)


def split(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield frames by RFC 6455 section 5.2 alone, and whether each is whole."""
    while data:
        head = data.ljust(14, b"\0")
        length, start = head[1] & 0x7F, 2
        if length > 125:
            start = 4 if length == 126 else 10
            length = int.from_bytes(head[2:start], "big")
        end = start + (4 if head[1] & 0x80 else 0) + length
        yield data[:end], end <= len(data)
        data = data[end:]


def judge(is_deflated: bool, data: bytes) -> tuple[list[str | bytes], list[object], bytes]:
    """Return the messages, the ends that are right (None: open), and what is answered till then.

    Of a frame that is not whole the end may be seen already or not.
    """
    reference = Reference(is_deflated)
    ends = []
    for frame, is_whole in split(data):
        if not is_whole:
            ends = [reference.close()]
            ends += [(1007, "text is not UTF-8")] if _is_bad_text(reference, frame) else []
        reference.receive(frame)
    return (
        reference.messages,
        [*ends, reference.close()],
        b"".join(reference.protocol.data_to_send()),
    )


def _is_bad_text(reference: Reference, frame: bytes) -> bool:
    """Whether what is there of a text frame is no UTF-8."""
    head = {126: 8, 127: 14}.get(frame[1] & 0x7F, 6) if len(frame) > 1 else 6
    key, payload = frame[head - 4 : head], frame[head:]
    plain = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
    decoder = codecs.getincrementaldecoder("utf-8")()
    if frame[0] & 15 == 0 and reference._decoder is not None:
        decoder.setstate(reference._decoder.getstate())
    elif frame[0] & 15 != Opcode.TEXT:
        return False
    try:
        decoder.decode(plain)
    except UnicodeDecodeError:
        return True
    return False


def take(machine) -> list[str | bytes]:
    """Be a consumer that answers all it is given, the latest first."""
    found = []
    while True:
        orders = []
        while (content := machine.next_message()) is not None:
            found.append(content)
            orders.append(machine.order)
        for order in reversed(orders):
            machine.acknowledge(order)
        if machine.hold is TURN:
            machine.go_on()
        elif not orders:
            return found


def ask_machine(is_deflated, window, is_answered, pieces):
    """Return the messages, the end, and what is answered."""
    machine = opened(*([deflate()] if is_deflated else []))
    machine.window = window
    messages = []
    for piece in pieces:
        machine.receive_data(piece)
        if is_answered:
            messages += take(machine)
    messages += take(machine)
    end = (machine.close_code, machine.close_reason) if machine.state is CLOSED else None
    return messages, end, machine.data_to_send()


def ask_wsproto(is_deflated: bool, data: bytes) -> tuple[list[str | bytes], int | None]:
    """Return the messages and the close code, None while it is open."""
    extensions = []
    if is_deflated:
        extensions = [PerMessageDeflate()]
        extensions[0].accept(
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
        )
    connection = Connection(ConnectionType.SERVER, extensions)
    messages: list[str | bytes] = []
    part: str | bytes | None = None
    try:
        connection.receive_data(data)
    except LocalProtocolError:
        pass
    for event in connection.events():
        if isinstance(event, (TextMessage, BytesMessage)):
            content = event.data if isinstance(event, TextMessage) else bytes(event.data)
            part = content if part is None else part + content  # type: ignore[operator]
            if event.message_finished:
                messages.append(part)
                part = None
        elif isinstance(event, CloseConnection):
            return messages, int(event.code)
    return messages, None


def _has_long_length(found: Iterable[bytes]) -> bool:
    """Whether a length is written longer than need be: wsproto refuses that, receivers may."""
    heads = [(frame[1] & 0x7F, frame) for frame in found if len(frame) > 1]
    return any(
        (length == 126 and frame[2:4] < b"\0\x7e") or (length == 127 and frame[2:8] == bytes(6))
        for length, frame in heads
    )


def _has_two_faults(code: int | None, end: tuple[int, str] | None) -> bool:
    """Whether 1002 is as right as 1007: a close frame with a bad code and a bad reason, say.

    For what cannot be decompressed RFC 7692 names no code.
    """
    return end is not None and {code, end[0]} == {1002, 1007} and end[1] != "text is not UTF-8"


def check(value: tuple[bool, int, bool, list[int], bytes]) -> None:
    """See the module's docstring."""
    is_deflated, window, is_answered, cuts, data = value
    messages, ends, answer = judge(is_deflated, data)
    found, end, sent = ask_machine(is_deflated, window, is_answered, cut(data, cuts))
    assert found == messages
    assert end in ends
    if end == ends[-1]:
        assert sent == answer
    closes = [frame for frame in server_frames(sent) if frame.opcode is CLOSE]
    assert len(closes) == (end is not None), closes
    if end is not None:
        assert server_frames(sent)[-1].opcode is CLOSE
    wholes = [frame for frame, is_whole in split(data) if is_whole]
    is_too_long = end is not None and end[0] == 1009  # it knows no limit
    if not is_too_long and not _has_long_length(frame for frame, _ in split(data)):
        # It sees the end in a frame that is not whole, or earlier.
        theirs, code = ask_wsproto(is_deflated, data if end else b"".join(wholes))
        assert theirs == messages
        assert code == (end and end[0]) or _has_two_faults(code, end)


TARGET = Target("frames", inputs, check, examples=500)
