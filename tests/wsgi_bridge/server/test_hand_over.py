"""A live WebSocket changes its owner, in a process and between two; its client does not notice."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import msgpack
import pytest

from tests.wsgi_bridge.protocols.frames import CLOSE, PONG, TEXT, client_frame, deflate
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for
from wsgi_bridge import open_layer


@pytest.fixture
def pair():
    """Two servers on one layer, the second of which reads the first's reply channels once asked."""
    layer = open_layer("memory://")
    with Rig(layer) as old, Rig(layer) as new:
        yield old, new


def hand_over(old, new, owner):
    """Release `owner` from `old`, and have `new` adopt it; return its new owner."""
    released = old.sockets.release(owner)
    assert released is not None
    sock, state = released
    old.server.close()
    new.server.close()
    new.server.reply_prefix = old.server.reply_prefix
    new.server.start()
    return new.sockets.adopt(sock, msgpack.unpackb(msgpack.packb(state)))


def test_a_connection_goes_on_where_it_was(pair):
    old, new = pair
    owner, client = old.open()
    client.send(client_frame(TEXT, b"a"))
    assert old.take()[1]["order"] == 1
    old.acknowledge(owner, 1)
    settle()
    adopted = hand_over(old, new, owner)
    assert adopted.reply_channel == owner.reply_channel
    assert (old.counters.websockets, new.counters.websockets) == (0, 1)
    client.send(client_frame(TEXT, b"b"))
    message = new.take()[1]
    assert (message["text"], message["order"], message["path"]) == ("b", 2, "/chat")
    new.reply(adopted, {"text": "c", "ack": 2})
    assert client.read_frame() == (TEXT, b"c")
    new.server.stop(1012)
    assert client.read_frame() == (CLOSE, (1012, ""))


def test_membership_and_reply_channel_survive(pair):
    old, new = pair
    owner, client = old.open()
    old.layer.group_add("g", owner.reply_channel)
    hand_over(old, new, owner)
    new.layer.send_group("g", {"text": "to all"})
    assert client.read_frame() == (TEXT, b"to all")
    client.close()
    assert new.take()[0] == "websocket.disconnect"
    wait_for(new.is_empty)
    assert new.layer.group_channels("g") == []


def test_nobody_is_told_of_the_change(pair):
    old, new = pair
    owner, _ = old.open()
    hand_over(old, new, owner)
    settle()
    assert old.poll() is None
    assert old.is_empty()


def test_bytes_of_a_partial_frame_are_carried_over(pair):
    old, new = pair
    owner, client = old.open()
    frame = client_frame(TEXT, b"in two halves")
    client.send(frame[:7])
    wait_for(lambda: owner.machine._unread)
    hand_over(old, new, owner)
    client.send(frame[7:])
    assert new.take()[1]["text"] == "in two halves"


def test_compression_goes_on(pair):
    old, new = pair
    owner, client = old.open(extensions=(deflate(),))
    adopted = hand_over(old, new, owner)
    client.send(client_frame(TEXT, b"x" * 500, compressed=True))
    assert new.take()[1]["text"] == "x" * 500
    new.reply(adopted, {"text": "x" * 2000})
    client._reader.feed_data(client.sock.recv(65536))
    assert client._reader.buffer[0] == 0xC1
    assert len(client._reader.buffer) < 100


def test_a_connection_in_the_middle_of_an_event_stays(pair):
    old, _ = pair
    owner, client = old.open()
    client.send(client_frame(TEXT, b"a"))
    assert old.take()[1]["order"] == 1
    assert old.sockets.release(owner) is None
    old.acknowledge(owner, 1)
    settle()
    assert old.sockets.release(owner) is not None


def test_a_connection_with_unsent_bytes_or_a_held_handshake_stays(pair):
    old, _ = pair
    connecting, _ = old.connect()
    assert old.sockets.release(connecting) is None
    old.take()
    busy, _ = old.open(buffer=4096)
    old.reply(busy, {"text": "x" * 500_000})
    wait_for(lambda: busy.out.size)
    assert old.sockets.release(busy) is None


def test_what_waits_for_a_full_channel_is_sent_by_the_new_owner_alone():
    layer = open_layer("memory://", channel_capacity={"websocket.receive": 1})
    with Rig(layer) as old, Rig(layer) as new:
        owner, client = old.open()
        layer.send("websocket.receive", {"in the way": True})
        client.send(client_frame(TEXT, b"a"))
        wait_for(lambda: old.server._retries)
        released = old.sockets.release(owner)
        assert released is not None
        assert new.take()[1] == {"in the way": True}
        old.server._run_retries()
        assert new.poll() is None
        new.sockets.adopt(*released)
        assert new.take()[1]["text"] == "a"


# Between two processes, over SCM_RIGHTS


@pytest.fixture
def adopter():
    """A process that adopts what is sent over the socket returned with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.wsgi_bridge.server.adopter", str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        yield ours, process
        ours.close()
        assert process.wait(10) == 0


def test_a_connection_changes_its_process(adopter):
    channel, process = adopter
    with Rig() as rig:
        owner, client = rig.open()
        client.send(client_frame(TEXT, b"here"))
        message = rig.take()[1]
        rig.reply(owner, {"text": f"{os.getpid()} here", "ack": message["order"]})
        assert client.read_frame() == (TEXT, b"%d here" % os.getpid())
        client.send(client_frame(TEXT, b"there")[:5])
        wait_for(lambda: owner.machine._unread)
        sock, state = rig.sockets.release(owner)
        packet = msgpack.packb(state)
        assert len(packet) < 500
        socket.send_fds(channel, [packet], [sock.fileno()])
        sock.close()
        client.send(client_frame(TEXT, b"there")[5:] + client_frame(9, b"p"))
        frames = [client.read_frame(), client.read_frame()]
        assert sorted(frames) == sorted([(TEXT, b"%d there" % process.pid), (PONG, b"p")])
        client.close()
