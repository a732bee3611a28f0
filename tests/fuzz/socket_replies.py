"""Whatever is sent to a WebSocket's reply channel, and whatever its client sends meanwhile.

A real server on a socketpair. The client reads a refusal that is valid HTTP, or a 101 and frames
that the `websockets` library reads as a client, with one close frame at most, which is the last.
"""

from __future__ import annotations

from typing import Any

import gevent
import h11
from gevent import socket
from hypothesis import strategies as st
from websockets.frames import EXTERNAL_CLOSE_CODES, Opcode
from websockets.protocol import CLIENT, Protocol

from tests.fuzz.messages import bad_fields, fields, message, wrong
from tests.fuzz.replies import read
from tests.fuzz.target import Target
from tests.wsgi_bridge.protocols.frames import client_frame, close_frame, deflate
from tests.wsgi_bridge.server.rig import Rig, wait_for
from wsgi_bridge.protocols.broadcast import Broadcast

OFFERED = ("chat", "rooms")
codes = st.one_of(st.booleans(), st.integers(0, 5001), st.sampled_from([1000, 1001, 1005, 4000]))
texts = st.sampled_from(["", "a", "é" * 300, "\x00"])
data = message({"text": texts, "window": st.integers(0, 100)}) | message(
    {"bytes": st.sampled_from([b"", b"\xff", b"x" * 70_000])}
)
accepts = message(
    {"subprotocol": st.sampled_from([*OFFERED, "other"]), "headers": fields | bad_fields,
     "text": texts, "close": codes}
).map(lambda rest: {"accept": True, **rest})  # fmt: skip
refusals = message(
    {"status": st.sampled_from([200, 204, 301, 401, 403, 500, 101, 1000]), "content":
     st.sampled_from([b"", b"no"]), "headers": fields | bad_fields, "close": codes}
).map(lambda rest: {"accept": False, **rest})  # fmt: skip
closes = message({"close": codes, "reason": texts, "text": texts})
acknowledgements = message({"ack": st.integers(0, 4), "lost": st.booleans()})
odd = st.dictionaries(
    st.sampled_from(["status", "text", "bytes", "close", "accept", "ack", "lost", "order",
                     "window", "headers"]),
    wrong, max_size=3,
)  # fmt: skip
logged = message({"text": texts, "epoch": st.just("e"), "offset": st.just(1), "close": codes})
replies = st.one_of(data, data, closes, acknowledgements, odd, accepts, refusals)
sent_frames = st.sampled_from(
    [client_frame(1, b"a"), client_frame(2, b"b"), client_frame(1, b"\xff"), client_frame(9),
     client_frame(1, b"a", fin=False), close_frame(1000), close_frame(4001, "x"), b"\x81", b"\xff"]
)  # fmt: skip
steps = st.lists(st.tuples(st.just("reply"), replies) | st.tuples(st.just("frame"), sent_frames) |
                 st.tuples(st.just("group"), data | closes | odd | logged), max_size=6)  # fmt: skip
# (whether frames are compressed, what happens)
inputs = st.tuples(
    st.booleans(),
    st.builds(
        lambda first, rest: [("reply", first), *rest], accepts | accepts | refusals | replies, steps
    ),
)


def turn() -> None:
    """Let the hub do what is ready: what is sent here is there at once."""
    for _ in range(4):
        gevent.sleep(0)


class Talk:
    """A client that does as it is told, and has its server do so."""

    def __init__(self, rig: Rig, is_deflated: bool) -> None:
        self.rig = rig
        self.extensions = [deflate()] if is_deflated else []
        self.owner, self.client = rig.connect(subprotocols=OFFERED, extensions=self.extensions)
        self.sent = b""
        self.is_ended = False

    def do(self, kind: str, value: Any) -> None:
        if kind == "reply":
            self.owner.deliver(value)
        elif kind == "group":
            self.owner.deliver_broadcast(Broadcast(value))
        else:
            try:
                self.client.sock.sendall(value)
            except OSError:
                pass  # it has gone
        turn()
        self.read()

    def read(self) -> None:
        if not self.is_ended:
            data, self.is_ended = read(self.client.sock)
            self.sent += data

    def finish(self) -> None:
        """Leave, and answer for the consumer what it has not answered."""
        self.client.sock.shutdown(socket.SHUT_WR)
        turn()
        self.read()
        self.client.sock.close()
        for _ in range(3):
            self.owner.deliver({"ack": self.owner.machine.order, "close": True})
            turn()
            self.owner.machine.give_up(self.owner.machine.order)
            self.owner.process()


def check_answer(talk: Talk) -> None:
    """Check what the client was sent."""
    if not talk.sent:
        return
    handshake = h11.Connection(h11.CLIENT)
    fields = [("Host", "a"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    handshake.send(h11.Request(method="GET", target="/", headers=fields))
    handshake.send(h11.EndOfMessage())
    handshake.receive_data(talk.sent)
    if talk.is_ended:
        handshake.receive_data(b"")
    response = handshake.next_event()
    if type(response) is not h11.InformationalResponse:
        assert type(response) is h11.Response
        check_refusal(handshake, response)
        return
    assert response.status_code == 101
    names = [name for name, _ in response.headers]
    assert names.count(b"sec-websocket-accept") == 1
    assert set(names).isdisjoint((b"content-length", b"transfer-encoding"))
    check_frames(talk, handshake.trailing_data[0])


def check_refusal(client: h11.Connection, response: h11.Response) -> None:
    """Check that the response is complete, or less than its consumer said it would be."""
    try:
        while type(event := client.next_event()) is h11.Data:
            pass
        assert type(event) is h11.EndOfMessage
    except h11.RemoteProtocolError:
        assert b"content-length" in dict(response.headers)
    assert client.trailing_data[0] == b""


def check_frames(talk: Talk, sent: bytes) -> None:
    """Check that a client reads frames, and that a close frame is the last."""
    client = Protocol(CLIENT, max_size=None)
    client.extensions = [deflate()] if talk.extensions else []
    client.receive_data(sent)
    assert client.parser_exc is None, client.parser_exc
    found = client.events_received()
    assert not client.reader.buffer
    kinds = [frame.opcode for frame in found]
    assert Opcode.CLOSE not in kinds[:-1]
    if kinds and kinds[-1] is Opcode.CLOSE:
        code = client.close_rcvd.code if client.close_rcvd else 1000
        assert code in EXTERNAL_CLOSE_CODES or code == 1005 or 3000 <= code < 5000


def check(value: tuple[bool, list[tuple[str, Any]]]) -> None:
    """See the module's docstring."""
    is_deflated, happening = value
    with Rig() as rig:
        talk = Talk(rig, is_deflated)
        for kind, what in happening:
            talk.do(kind, what)
        talk.finish()
        check_answer(talk)
        wait_for(rig.is_empty, "the end of the socket")


TARGET = Target("sockets", inputs, check, examples=120)
