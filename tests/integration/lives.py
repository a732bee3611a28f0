"""Clients of every kind, and what each must see when its server stops, goes on, or is killed.

    with open_all(server) as clients:
        server.kill(signal.SIGTERM)
        clients.check("stopped", gate)

``check`` takes a fate: "kept", the client notices nothing; "moved", another process does what is
still to do; "stopped", it has all the time of a graceful stop; "dropped", and does not use it;
"hurried", it has no time (QUIT); "killed", its process has no last word. In none of them may a
client take for whole what is not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.apps.life import BLOCK, BLOCKS
from tests.integration.servers import Server
from tests.integration.sockets import RawSocket
from tests.integration.wire import Response, Wire, ask, request
from tests.wsgi_bridge.protocols.frames import CLOSE, TEXT, client_frame, close_frame

NEWS = b"data: news\n\n"
UPLOAD = 100_000
UPLOADED = 70_000  # more than the server takes before it is asked for the rest


class Client:
    """One connection, with something under way."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wire = self.connect()
        self.begin()

    def connect(self) -> Wire:
        """Return a new connection."""
        return Wire(self.server.connect())

    @property
    def holder(self) -> int:
        """The process that has the other end."""
        port = self.wire.sock.getsockname()[1]
        for pid in self.server.worker_pids():
            for found in psutil.Process(pid).net_connections(kind="tcp"):
                if found.raddr and found.raddr.port == port:
                    return pid
        raise AssertionError(f"no worker has {self}")

    def begin(self) -> None:
        """Have something under way."""

    def see_kept(self) -> None:
        """Go on."""

    def see_moved(self) -> None:
        """Go on with a new consumer; what has begun is finished by the old one."""
        self.see_kept()

    def see_stopped(self) -> None:
        """See a graceful stop."""

    def see_dropped(self) -> None:
        """See the end of a graceful stop whose time was not enough."""
        self.see_hurried()

    def see_hurried(self) -> None:
        """See a stop that waits for nothing."""
        self.see_killed()

    def see_killed(self) -> None:
        """See the connection end, in a way that says that something is missing."""
        rest = self.read_rest()
        assert not rest.endswith(b"\r\n0\r\n\r\n"), rest[-50:]
        assert b"200 OK" not in rest

    def read_rest(self) -> bytes:
        """Return what comes until the end of the connection, or until it is reset."""
        data = b""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                data += self.wire.read_some(65536)
        return data


class Socket(Client):
    """An open WebSocket."""

    def connect(self) -> Wire:
        self.socket = RawSocket(self.server, "/echo")
        return self.socket.wire

    def begin(self) -> None:
        assert self.socket.read_response().status == 101

    def see_kept(self) -> None:
        self.socket.send(client_frame(TEXT, b"still here"))
        assert self.socket.read_frame() == (TEXT, b"still here")

    def see_stopped(self) -> None:
        assert self.socket.read_frame() == (CLOSE, (1012, ""))
        self.socket.send(close_frame(1012))
        with pytest.raises(EOFError):
            self.socket.read_frame()

    def see_hurried(self) -> None:
        """The same, but that nobody may be left to read its answer."""
        assert self.socket.read_frame() == (CLOSE, (1012, ""))
        with contextlib.suppress(ConnectionError):
            self.socket.send(close_frame(1012))
        self.see_killed()

    def see_killed(self) -> None:
        with pytest.raises((EOFError, ConnectionError)):
            self.socket.read_frame()


class Events(Client):
    """Server-sent events, which never end."""

    page = "/events"

    def begin(self) -> None:
        self.wire.send(request(self.page))
        assert self.wire.read_head().status == 200
        assert self.wire.read_chunk() == b": hello\n\n"

    def see_kept(self) -> None:
        assert ask(self.server, request("/publish?text=news")).status == 200
        assert self.wire.read_chunk() == NEWS

    def see_moved(self) -> None:
        self.see_stopped()

    def see_stopped(self) -> None:
        """Whole events and the end of the connection, which is no end of the content."""
        rest = self.wire.read_rest()
        assert rest.replace(b"c\r\n%b\r\n" % NEWS, b"") == b""


class Ticks(Events):
    """Server-sent events that an app waits for elsewhere than in the layer."""

    page = "/ticks"

    def see_kept(self) -> None:
        pass


class Download(Client):
    """A response that is half out."""

    def begin(self) -> None:
        self.wire.send(request("/download"))
        assert self.wire.read_head().status == 200
        assert self.wire.read_chunk() == BLOCK

    def see_moved(self) -> None:
        content = b"".join(iter(self.wire.read_chunk, b""))
        assert len(content) == len(BLOCK) * (BLOCKS - 1)

    def see_stopped(self) -> None:
        self.see_moved()
        assert self.wire.is_ended()


class Upload(Client):
    """A request that is half in."""

    def begin(self) -> None:
        head = request("/count", f"Content-Length: {UPLOAD}", method="POST")
        self.wire.send(head + b"x" * UPLOADED)

    def see_moved(self) -> None:
        assert "connection" not in self.finish()

    def see_stopped(self) -> None:
        assert self.finish()["connection"] == "close"
        assert self.wire.is_ended()

    def finish(self) -> Response:
        """Send the rest; return the answer."""
        self.wire.send(b"x" * (UPLOAD - UPLOADED))
        response = self.wire.read_response()
        assert (response.status, response.text) == (200, str(UPLOAD))
        return response


class Idle(Client):
    """A kept-alive connection between two requests."""

    def begin(self) -> None:
        self.see_kept()

    def see_kept(self) -> None:
        assert self.wire.ask(request()).status == 200

    def see_stopped(self) -> None:
        assert self.wire.is_ended()


class Pipeline(Client):
    """A request at work, and another behind it."""

    def begin(self) -> None:
        waiting = self.server.log().count("site: waiting")
        self.wire.send(request("/wait-for-file") + request("/pid"))
        self.server.wait_for_log("site: waiting", count=waiting + 1)

    def see_moved(self) -> None:
        assert [self.wire.read_response().status for _ in range(2)] == [200, 200]

    def see_stopped(self) -> None:
        """The first answer, which says that there is no other; the client asks again elsewhere."""
        response = self.wire.read_response()
        assert (response.status, response["connection"]) == (200, "close")
        assert self.wire.is_ended()


# Sockets last: a worker that leaves after so many requests keeps them until these are done.
KINDS = (Download, Upload, Pipeline, Events, Ticks, Idle, Socket)


class Clients:
    """Some of each kind."""

    def __init__(self, members: list[Client]) -> None:
        self.members = members

    def held_by(self, pid: int) -> Clients:
        """Return those whose connections a process has."""
        return Clients([client for client in self.members if client.holder == pid])

    def without(self, others: Clients) -> Clients:
        """Return all but those."""
        return Clients([client for client in self.members if client not in others.members])

    def check(self, fate: str, gate: Path | None = None) -> None:
        """Let each see what it must; open the gate before, if there is one."""
        if gate is not None:
            gate.touch()
        for client in self.members:
            getattr(client, f"see_{fate}")()
            if fate != "kept":
                client.wire.sock.close()


@contextlib.contextmanager
def open_all(server: Server, *kinds: type[Client], count: int = 1) -> Iterator[Clients]:
    """Open ``count`` clients of each kind, of all kinds unless some are named."""
    with contextlib.ExitStack() as stack:
        members = []
        for kind in (kinds or KINDS) * count:
            members.append(kind(server))
            stack.callback(members[-1].wire.sock.close)
        yield Clients(members)
