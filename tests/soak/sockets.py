"""Visits over WebSocket: sockets that come and go, a room, and answers that come later."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.soak.visitor import ClosedSocketError, Kind, Visitor, expect
from tests.soak.wire import WrongAnswerError

__all__ = ["KINDS"]

#: Seconds that any answer may take on a busy machine.
PATIENCE = 40.0
#: How often a handshake is tried that a server which stops refuses, and the seconds between.
TRIES, TRY_AGAIN = 10, 0.3


@asynccontextmanager
async def opened(visitor: Visitor, path: str) -> AsyncIterator[ClientConnection]:
    """Open a socket, compressed at times; raises ClosedSocketError if the server closes it."""
    visitor.begin()
    connection = await open_socket(visitor, path)
    visitor.begin()
    try:
        async with connection:
            yield connection
    except ConnectionClosed as exc:
        code, reason = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd else (1006, "")
        raise ClosedSocketError(int(code), reason) from exc


async def open_socket(visitor: Visitor, path: str) -> ClientConnection:
    compression = "deflate" if visitor.chance.random() < 0.3 else None
    for left in reversed(range(TRIES)):
        try:
            return await connect(
                f"ws://127.0.0.1:{visitor.port}{path}",
                compression=compression,
                ping_interval=None,
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
                proxy=None,
            )
        except InvalidStatus as exc:
            # A server that stops answers with 503 and Retry-After.
            if exc.response.status_code != 503 or not left:
                raise WrongAnswerError(f"{exc.response.status_code} to a handshake") from exc
            visitor.note("handshakes tried again")
            await asyncio.sleep(TRY_AGAIN)
    raise AssertionError


async def receive(connection: ClientConnection) -> str | bytes:
    return await asyncio.wait_for(connection.recv(), PATIENCE)


async def talk(visitor: Visitor) -> None:
    """Send texts and bytes, of all sizes, and get them back."""
    async with opened(visitor, "/echo") as connection:
        for _ in range(visitor.chance.randrange(1, 20)):
            data = visitor.chance.randbytes(visitor.chance.randrange(4_000))
            sent: str | bytes = data.hex() if visitor.chance.random() < 0.5 else data
            await connection.send(sent)
            expect(await receive(connection), sent)
            visitor.begin()
            await asyncio.sleep(visitor.chance.random() * 0.6)


async def come_and_go(visitor: Visitor) -> None:
    """Open a socket and leave: at once, with a word, or without a close frame."""
    async with opened(visitor, "/echo") as connection:
        choice = visitor.chance.randrange(3)
        if choice:
            await connection.send("x")
        if choice == 2:
            connection.transport.abort()


async def talk_in_room(visitor: Visitor) -> None:
    """Say something to all who are in the room, of whatever process; hear it oneself."""
    async with opened(visitor, "/room") as connection:
        for number in range(visitor.chance.randrange(5, 20)):
            text = f"{id(connection)} {number}"
            await connection.send(text)
            await hear(connection, text)
            visitor.begin()
            await asyncio.sleep(visitor.chance.random() * 1.5)


async def hear(connection: ClientConnection, text: str) -> None:
    """Read what all say, until this is said. Raises WrongAnswerError if it never is."""
    end = time.monotonic() + PATIENCE
    while await receive(connection) != text:
        if time.monotonic() > end:
            raise WrongAnswerError(f"{text!r} was never heard")


async def be_answered_later(visitor: Visitor) -> None:
    """Ask for answers after a delay, several at a time."""
    async with opened(visitor, "/later") as connection:
        for _ in range(4):
            texts = [str(number) for number in range(3)]
            for text in texts:
                asked = {"text": text, "delay": 0.2 + visitor.chance.random()}
                await connection.send(json.dumps(asked))
            expect(sorted([str(await receive(connection)) for _ in texts]), texts)
            visitor.begin()


async def stay(visitor: Visitor) -> None:
    """Say nothing for as long as a visit may last; answer pings."""
    async with opened(visitor, "/room") as connection:
        end = time.monotonic() + 5 + visitor.chance.random() * 15
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(connection.recv(), left)
            except asyncio.TimeoutError:
                return
            visitor.begin()


KINDS = (
    Kind("echo", talk, 12, 0.5),
    Kind("come and go", come_and_go, 4, 0.2),
    Kind("room", talk_in_room, 6, 0.5),
    Kind("answered later", be_answered_later, 4, 0.5),
    Kind("silent member", stay, 8, 0.5),
)
