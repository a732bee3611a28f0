"""Who is there while something happens to a uWSGI: sockets that are to stay, and requests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.integration.servers import Server
from tests.integration.sockets import RawSocket
from tests.integration.wire import ask, request
from tests.wsgi_bridge.protocols.frames import PING, PONG, TEXT, client_frame

# Handshakes at once: fewer than uWSGI's queue of connections (`listen`, 100) has room for.
PORTION = 50
# Requests at once, and seconds between two of one client.
CLIENTS = 2
PAUSE = 0.002


class Crowd:
    """So many open sockets on a path, in which `{}` stands for the number of each.

    ``connect`` makes one, called with ``server`` and a path.
    """

    def __init__(
        self, server: Any, path: str, size: int, connect: Callable[..., RawSocket] = RawSocket
    ) -> None:
        self.sockets: list[RawSocket] = []
        self._said = 0
        self._stack = ExitStack()
        for first in range(0, size, PORTION):
            numbers = range(first, min(first + PORTION, size))
            opened = [connect(server, path.format(number)) for number in numbers]
            self.sockets += [self._stack.enter_context(each) for each in opened]
            for each in opened:
                assert each.read_response().status == 101

    def say(self) -> None:
        """Send a text of its own on each, none of which was sent before."""
        self._said += 1
        for number, each in enumerate(self.sockets):
            each.send(client_frame(TEXT, self._text(number)))

    def check_echoes(self) -> None:
        """Fail unless each has what was said last, and nothing else."""
        for number, each in enumerate(self.sockets):
            frame = self._read(each)
            assert frame == (TEXT, self._text(number)), f"socket {number}: {frame!r}"

    def check_open(self) -> None:
        """Fail if a socket was closed or has lost anything."""
        self.say()
        self.check_echoes()

    @staticmethod
    def _read(each: RawSocket) -> object:
        """Return the next frame that is no ping; those are answered."""
        while True:
            opcode, payload = each.read_frame()
            if opcode is not PING:
                return opcode, payload
            each.send(client_frame(PONG, payload))

    def _text(self, number: int) -> bytes:
        return b"%d of socket %d" % (self._said, number)

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()


class HttpLoad:
    """Asks for a page again and again, over few connections at once, while its block runs."""

    def __init__(self, server: Server, path: str = "/", expected: bytes = b'"a page"') -> None:
        self.answers = 0
        #: What came instead of the page, or was raised.
        self.failures: list[object] = []
        self._server = server
        self._path, self._expected = path, expected
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def _ask(self) -> None:
        while not self._stop.wait(PAUSE):
            try:
                answer = ask(self._server, request(self._path))
            except (OSError, EOFError, ValueError) as exc:
                self.failures.append(exc)
                continue
            if (answer.status, answer.content) == (200, self._expected):
                self.answers += 1
            else:
                self.failures.append(answer)

    def wait_for_more(self, count: int = 10) -> None:
        """Wait for so many more answers."""
        enough = self.answers + count
        self._server.wait_for(lambda: self.answers >= enough, f"{count} answers")

    def __enter__(self) -> HttpLoad:
        for thread in self._threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
