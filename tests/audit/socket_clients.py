"""Clients of the audits of sockets: each has a WebSocket, and sends frames with rising numbers.

They are tasks of one asyncio loop, in a thread of its own. A client sends in bursts, so that more
is on its way than the server may hand on at once, and goes on while a frame of its is lost.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["Clients", "Socket"]

#: Frames of a burst, at most, and of those without an answer.
BURST = 4
MOST_AHEAD = 16

#: Handshakes at a time.
AT_ONCE = 20

#: Frames that a client sends in the end, at most, until one is answered.
LAST_TRIES = 5


@dataclass
class Socket:
    """What one client knows: the number of its last frame, and those of the answers."""

    name: int
    sent: int = 0
    answers: list[int] = field(default_factory=list)
    #: How it was closed, if not by its client.
    closed: str = ""
    #: Whether its last frame was answered.
    is_settled: bool = False


class Clients:
    """Opens `number` sockets; a context manager, which closes them.

    `rate` is frames a second of each; `patience` the seconds that any answer may take.
    """

    def __init__(self, url: str, number: int, rate: float, patience: float, seed: int = 0) -> None:
        self.sockets = [Socket(name) for name in range(number)]
        self._url = url
        self._rate = rate
        self._patience = patience
        self._chance = random.Random(f"{seed} clients")
        self._connections: list[ClientConnection] = []
        self._heard = [asyncio.Event() for _ in range(number)]
        self._tasks: list[asyncio.Task[None]] = []
        self._is_ending = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients")

    def __enter__(self) -> Clients:
        self._thread.start()
        try:
            self._do(self._open)
        except BaseException:
            self._stop()
            raise
        return self

    def start(self) -> None:
        """Begin to send."""
        self._do(self._begin)

    def settle(self) -> None:
        """Send no more, but one last frame on each socket; wait for its answer."""
        self._do(self._end)

    @property
    def answered(self) -> int:
        """How many frames were answered."""
        return sum(len(each.answers) for each in self.sockets)

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._do(self._close)
        finally:
            self._stop()

    def _do(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # In the loop.

    async def _open(self) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def open_one(name: int) -> ClientConnection:
            async with limit:
                return await connect(
                    f"{self._url}/socket/{name}",
                    open_timeout=self._patience,
                    close_timeout=self._patience,
                    ping_interval=None,
                    compression=None,
                    proxy=None,
                )

        self._connections = await asyncio.gather(*(open_one(each.name) for each in self.sockets))
        for socket in self.sockets:
            self._tasks.append(asyncio.create_task(self._hear(socket)))

    async def _begin(self) -> None:
        self._senders = [asyncio.create_task(self._talk(each)) for each in self.sockets]

    async def _talk(self, socket: Socket) -> None:
        interval = 1 / self._rate
        await asyncio.sleep(self._chance.random() * interval)
        while not self._is_ending and not socket.closed:
            burst = self._chance.randrange(1, BURST + 1)
            for _ in range(burst):
                last = socket.answers[-1] if socket.answers else 0
                if socket.sent - last < MOST_AHEAD:
                    await self._send(socket)
            await asyncio.sleep(burst * interval)

    async def _send(self, socket: Socket) -> None:
        socket.sent += 1
        try:
            await self._connections[socket.name].send(str(socket.sent))
        except ConnectionClosed as exc:
            socket.sent -= 1
            socket.closed = socket.closed or str(exc)

    async def _hear(self, socket: Socket) -> None:
        try:
            async for text in self._connections[socket.name]:
                socket.answers.append(int(text))
                self._heard[socket.name].set()
        except ConnectionClosed as exc:
            socket.closed = str(exc)
        if not self._is_ending and not socket.closed:
            socket.closed = "closed by the server"

    async def _end(self) -> None:
        self._is_ending = True
        await asyncio.gather(*self._senders)
        await asyncio.gather(*(self._settle_one(each) for each in self.sockets))

    async def _settle_one(self, socket: Socket) -> None:
        """Send until there is an answer to the last frame: then all before it are settled."""
        for _ in range(LAST_TRIES):
            await self._send(socket)
            try:
                await asyncio.wait_for(self._wait_for_last(socket), self._patience)
            except asyncio.TimeoutError:
                continue
            socket.is_settled = True
            return

    async def _wait_for_last(self, socket: Socket) -> None:
        heard = self._heard[socket.name]
        while not socket.answers or socket.answers[-1] != socket.sent:
            heard.clear()
            await heard.wait()

    async def _close(self) -> None:
        self._is_ending = True
        closing = [connection.close() for connection in self._connections]
        await asyncio.gather(*closing, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)
