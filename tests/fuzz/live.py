"""A real gunicorn with our worker, fed with damaged requests and frames over its socket.

Afterwards it answers as before, by the same worker, which has logged no error and has not a
connection or descriptor more.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

import psutil
from hypothesis import strategies as st

from gunicorn_asgi.policy import RequestPolicy
from tests.fuzz import frames, request_streams
from tests.fuzz.answers import read_answers
from tests.fuzz.damage import cut, damaged, places
from tests.fuzz.frames import CLOSE
from tests.fuzz.parsers import read_ours
from tests.fuzz.target import Target
from tests.integration.servers import Server, run_server
from tests.integration.sockets import handshake
from tests.integration.wire import ask, request
from tests.wsgi_bridge.protocols.frames import server_frames

NAME = "live"
RESET = struct.pack("ii", 1, 0)
# How a client leaves: it ends sending and reads on, does not read, or resets the connection.
ENDS = ("reads", "reads", "reads", "leaves", "resets")
# (end, whether a handshake comes first, where to cut, the bytes)
http = st.tuples(
    st.sampled_from(ENDS),
    st.just(False),
    places(),
    damaged(request_streams.good, request_streams.PIECES),
)
websocket = st.tuples(
    st.sampled_from(ENDS), st.just(True), places(), damaged(frames.streams, frames.PIECES)
)


def check_sent(is_websocket: bool, data: bytes, sent: bytes) -> None:
    """Check what a client read that stayed to the end."""
    methods = [each.method for each in read_ours([data], RequestPolicy()).requests]
    statuses, rest = read_answers(methods, sent)
    if is_websocket:
        assert statuses == [101]
        kinds = [frame.opcode for frame in server_frames(rest)]
        assert CLOSE not in kinds[:-1]
    else:
        assert len(statuses) <= len(methods) + 1


class Attack:
    """What is done to one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.worker = server.worker_pid()
        self.ask()
        self.process = psutil.Process(self.worker)
        self.descriptors = self.process.num_fds()

    def ask(self) -> None:
        """Check that a request is answered."""
        assert ask(self.server, request("/", "Connection: close")).content == b"read 0"

    def check(self, value: tuple[str, bool, list[int], bytes]) -> None:
        """Be a client."""
        end, is_websocket, cuts, data = value
        if is_websocket:
            data = handshake(self.server, "/socket") + data
        with self.server.connect() as sock:
            with contextlib.suppress(BrokenPipeError):  # it was refused before its end
                for piece in cut(data, cuts):
                    sock.sendall(piece)
            if end == "reads":
                sock.shutdown(socket.SHUT_WR)
                sent = b"".join(iter(lambda: sock.recv(65536), b""))
                check_sent(is_websocket, data, sent)
            elif end == "resets":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def finish(self) -> None:
        """See the module's docstring."""
        self.server.wait_for(lambda: self.process.num_fds() <= self.descriptors, "its descriptors")
        self.ask()
        assert self.server.worker_pids() == [self.worker]


@contextlib.contextmanager
def attacked() -> Iterator[Target]:
    """Run a server; the target's checks are conversations with it."""
    # What the site's own log says of clients that left is in warnings; errors fail at the end.
    with run_server("tests.apps.fuzzed:application") as server:
        attack = Attack(server)
        yield Target(NAME, http | websocket, attack.check, examples=300)
        attack.finish()
