"""The HTTP load client of a moderate, steady rate: what somebody has of a server that is busy.

    python -m tests.benchmarks.http_client PORT RATE

An open loop: requests are sent when they are due, so many a second, whether or not the one before
was answered, and how long each took is counted from when it was due. A server that pauses is not
spared the requests of its pause. It does what child.py says.
"""

import argparse
import gc
import select
import socket
import sys
import time
from collections import deque

from tests.benchmarks.child import serve_runs
from tests.benchmarks.websocket_wire import ANSWER_SECONDS, READ_BYTES, UnexpectedAnswerError

# Connections among which the requests go round: each rests for some tenths of a second.
CONNECTIONS = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Page:
    """One connection, and when its unanswered requests were due, the oldest first."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due: deque[float] = deque()
        self._answer = b""
        self._buffer = b""
        self._learn_answer()

    def _learn_answer(self) -> None:
        """See how many bytes an answer has; all later ones have as many."""
        self.sock.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"!\n"):
            if not (data := self.sock.recv(READ_BYTES)):
                raise UnexpectedAnswerError(f"closed after {answer!r}")
            answer += data
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise UnexpectedAnswerError(f"{answer!r} is no success")
        self._answer = answer
        self.sock.setblocking(False)

    def ask(self, due: float) -> None:
        """Send a request that is due at `due`."""
        self.due.append(due)
        if self.sock.send(REQUEST) != len(REQUEST):
            raise UnexpectedAnswerError("the server does not read what it is sent")

    def read(self) -> int:
        """Read once; return how many answers are whole."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise UnexpectedAnswerError("the server closed a connection")
        self._buffer += data
        count, rest = divmod(len(self._buffer), len(self._answer))
        if not self._buffer.startswith(self._answer[: len(self._buffer)]) and count == 0:
            raise UnexpectedAnswerError(f"{self._buffer!r:.200} came")
        self._buffer = self._buffer[len(self._buffer) - rest :]
        return count


class PagesLoad:
    """Requests at a steady rate, over connections in turn."""

    def __init__(self, port: int, rate: float) -> None:
        self._pages = [Page(port) for _ in range(CONNECTIONS)]
        self._rate = rate

    def run(self, seconds: float) -> tuple[int, list[float]]:
        """Return the number of answers, and how long after it was due each came."""
        clock, pages = time.perf_counter, {page.sock.fileno(): page for page in self._pages}
        latencies: list[float] = []
        begun, sent, total = clock(), 0, round(seconds * self._rate)
        with select.epoll() as poll:
            for descriptor in pages:
                poll.register(descriptor, select.EPOLLIN)
            while len(latencies) < total:
                due = begun + sent / self._rate
                wait = ANSWER_SECONDS if sent == total else due - clock()
                events = poll.poll(max(0.0, wait)) if wait > 0 else []
                for descriptor, _ in events:
                    page = pages[descriptor]
                    for _ in range(page.read()):
                        latencies.append(clock() - page.due.popleft())
                if sent == total and not events:
                    raise UnexpectedAnswerError(f"{total - len(latencies)} answers did not come")
                if sent < total and clock() >= due:
                    self._pages[sent % CONNECTIONS].ask(due)
                    sent += 1
        return len(latencies), latencies


def main(arguments: list[str]) -> None:
    """Open the connections, then serve runs until the standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float)
    options = parser.parse_args(arguments)
    load = PagesLoad(options.port, options.rate)
    gc.disable()
    serve_runs(load.run)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (UnexpectedAnswerError, TimeoutError, ConnectionError) as error:
        sys.exit(f"http_client: {error!r}")
