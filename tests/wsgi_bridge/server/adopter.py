"""A process that adopts WebSockets: for each it is sent over a Unix socket, it goes on with it.

    python -m tests.wsgi_bridge.server.adopter FD

FD is the Unix socket. It answers every text with its process id and the text, and ends with FD.
"""  # fmt: skip

from __future__ import annotations

import _socket
import os
import socket
import sys

import gevent
import msgpack
from gevent import socket as gevent_socket

from wsgi_bridge import open_layer
from wsgi_bridge.server.server import ProtocolServer
from wsgi_bridge.server.sockets import WebSockets
from wsgi_bridge.settings import load_settings


def consume(layer) -> None:
    """Answer every event that there is."""
    for channel, message in layer.receive_many(["websocket.receive", "websocket.disconnect"], 10):
        if channel == "websocket.receive":
            answer = {"text": f"{os.getpid()} {message['text']}", "ack": message["order"]}
            layer.send(message["reply_channel"], answer)


def main(fd: int) -> None:
    inbound = gevent_socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fd)
    layer = open_layer("memory://")
    server = ProtocolServer(layer, load_settings({}, environ={}))
    layer.listen(["websocket.receive"], lambda: gevent.spawn(consume, layer))
    sockets = WebSockets(server)
    while True:
        gevent_socket.wait_read(inbound.fileno())
        packet, fds, _, _ = socket.recv_fds(socket.socket(fileno=os.dup(fd)), 1 << 20, 4)
        if not packet:
            return
        state = msgpack.unpackb(packet)
        # Whoever reads the part of the reply channels before `!` takes it over with the sockets.
        server.reply_prefix = state["reply_channel"].partition("!")[0] + "!"
        server.start()
        sockets.adopt(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fds[0]), state)


if __name__ == "__main__":
    main(int(sys.argv[1]))
