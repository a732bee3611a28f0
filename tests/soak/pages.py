"""Visits over HTTP: pages, uploads, streams, and clients that leave."""

from __future__ import annotations

import asyncio
import hashlib
import time

from tests.soak.site import HELLO
from tests.soak.visitor import Kind, Visitor, expect
from tests.soak.wire import Answer, ClosedBetweenError, Wire, connected, request

__all__ = ["KINDS"]

#: Requests of one kept connection, at most.
MOST_REQUESTS = 30
#: Seconds between two of them.
THINKING = 0.15
CLOSE = "Connection: close"


async def visit_kept(visitor: Visitor) -> None:
    """Ask for some pages over one connection."""
    async with connected(visitor.port) as wire:
        answer = await ask_page(visitor, wire)
        for _ in range(visitor.chance.randrange(MOST_REQUESTS)):
            if answer.is_last:
                return
            await asyncio.sleep(visitor.chance.random() * 2 * THINKING)
            try:
                answer = await ask_page(visitor, wire, is_kept=True)
            except ClosedBetweenError:
                # RFC 9112 section 9.3.1: a client asks again, on a new connection.
                visitor.note("kept connections closed between two requests")
                await visit_fresh(visitor)
                return


async def visit_fresh(visitor: Visitor) -> None:
    """Ask for a page over a connection of its own."""
    async with connected(visitor.port) as wire:
        await ask_page(visitor, wire, CLOSE)


async def ask_page(visitor: Visitor, wire: Wire, *fields: str, is_kept: bool = False) -> Answer:
    visitor.begin()
    data = request("/", *fields)
    answer = await (wire.ask_again(data) if is_kept else wire.ask(data))
    now = time.monotonic()
    visitor.ledger.latencies.append((now, now - visitor.began))
    expect(answer.content, HELLO)
    return answer


async def upload(visitor: Visitor) -> None:
    """Send a body with its length, for which the server is asked first (100-continue) at times."""
    body = visitor.chance.randbytes(visitor.chance.randrange(1, 400_000))
    asks = ("Expect: 100-continue",) if visitor.chance.random() < 0.5 else ()
    async with connected(visitor.port) as wire:
        answer = await wire.ask(request("/digest", *asks, method="POST", body=body))
    expect_digest(answer, body)


async def upload_chunked(visitor: Visitor) -> None:
    """Send chunks of all sizes."""
    chunks = [visitor.chance.randbytes(visitor.chance.randrange(1, 30_000)) for _ in range(12)]
    async with connected(visitor.port) as wire:
        await send_chunked(wire, chunks, 0)
        expect_digest(await wire.read_answer(200), b"".join(chunks))


async def upload_slowly(visitor: Visitor) -> None:
    """Send chunks with pauses, as over a bad line."""
    chunks = [visitor.chance.randbytes(visitor.chance.randrange(1, 3_000)) for _ in range(20)]
    async with connected(visitor.port) as wire:
        await send_chunked(wire, chunks, 0.15)
        expect_digest(await wire.read_answer(200), b"".join(chunks))


async def send_chunked(wire: Wire, chunks: list[bytes], pause: float) -> None:
    await wire.send(request("/digest", "Transfer-Encoding: chunked", method="POST"))
    for chunk in chunks:
        await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await asyncio.sleep(pause)
    await wire.send(b"0\r\n\r\n")


def expect_digest(answer: Answer, body: bytes) -> None:
    expect(answer.content.decode(), f"{len(body)} {hashlib.sha256(body).hexdigest()}")


async def read_stream(visitor: Visitor) -> None:
    """Read a stream of pieces that come one by one."""
    count, size = visitor.chance.randrange(5, 25), visitor.chance.randrange(8, 20_000)
    async with connected(visitor.port) as wire:
        target = f"/stream?count={count}&size={size}&pause=0.1"
        answer = await wire.ask(request(target, CLOSE))
    pieces = [b"%08d" % number + b"." * (size - 8) for number in range(count)]
    expect(hashlib.sha256(answer.content).digest(), hashlib.sha256(b"".join(pieces)).digest())


async def read_events(visitor: Visitor) -> None:
    """Read server-sent events, fed by what the site sends itself five times a second.

    A server that stops ends them early: who reads them opens them again.
    """
    count = visitor.chance.randrange(5, 20)
    async with connected(visitor.port) as wire:
        try:
            answer = await wire.ask(request(f"/events?count={count}", CLOSE))
        except EOFError:
            if not visitor.ledger.is_reloading(time.monotonic()):
                raise
            visitor.note("event streams ended by a reload")
            return
    if answer.content.count(b"data: ") < count and visitor.ledger.is_reloading(time.monotonic()):
        visitor.note("event streams ended by a reload")
        return
    expect(answer.content.count(b"data: "), count)


async def leave_early(visitor: Visitor) -> None:
    """Go away: in a stream, in an upload, or before the answer; politely or not."""
    async with connected(visitor.port) as wire:
        choice = visitor.chance.randrange(3)
        if choice == 0:
            await wire.send(request("/stream?count=30&size=5000&pause=0.1"))
            await wire.read_head()
        elif choice == 1:
            await wire.send(request("/digest", "Content-Length: 100000", method="POST"))
            await wire.send(bytes(visitor.chance.randrange(1, 90_000)))
        else:
            await wire.send(request("/digest", method="POST", body=b"x"))
        await asyncio.sleep(visitor.chance.random() * 0.3)
        if visitor.chance.random() < 0.5:
            wire.reset()


async def ask_for_error(visitor: Visitor) -> None:
    """Ask for the page that fails: a 500, and the connection goes on."""
    async with connected(visitor.port) as wire:
        await wire.ask(request("/fail"), 500)


KINDS = (
    Kind("page, kept connection", visit_kept, 8, 0.3),
    Kind("page, new connection", visit_fresh, 4, 0.2),
    Kind("upload", upload, 2, 0.5),
    Kind("upload, chunked", upload_chunked, 2, 0.5),
    Kind("upload, slow", upload_slowly, 2, 0.5),
    Kind("stream", read_stream, 4, 0.5),
    Kind("server-sent events", read_events, 3, 0.5),
    Kind("left early", leave_early, 2, 0.5),
    Kind("error asked for", ask_for_error, 1, 5.0),
)
